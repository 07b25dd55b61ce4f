"""The program itself, as a process, against a small hub on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import snapshot_download

from instances.catalog import cache
from tests.console import eventually
from tests.fakes.fake_hub import FakeHub
from tests.instances.vllm.fit.made import tensor, write_safetensors

ROOT = Path(__file__).resolve().parents[3]
MODEL = "tiny/chat"
CONFIG = json.dumps({"architectures": ["LlamaForCausalLM"]}).encode()
WEIGHTS = bytes(range(256)) * 2048  # 512 KiB
FILES = {"config.json": CONFIG, "tokenizer.json": b"{}", "model.safetensors": WEIGHTS}


@dataclass
class Program:
    """Runs the download as a job does."""

    hub: FakeHub
    folder: Path
    source: str = "hub"

    @property
    def to(self) -> Path:
        return self.folder / ("hub" if self.source == "hub" else "chat")

    @property
    def progress(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / "progress.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def begin(self, *more: str, model: str = MODEL, **environment: str) -> subprocess.Popen[str]:
        places = {"HF_ENDPOINT": self.hub.url, "MODELSCOPE_ENDPOINT": self.hub.url, "PYTHONPATH": str(ROOT)}
        progress = self.folder / "progress.json"
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "instances.catalog.download", "--source", self.source),
                *("--model", model, "--to", str(self.to), "--progress", str(progress), *more),
            ],
            env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", **places, **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *more: str, **options: str) -> tuple[int, str]:
        """Its exit code, and what it printed."""
        process = self.begin(*more, **options)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said


@pytest.fixture
def program(hub: FakeHub, tmp_path: Path) -> Program:
    hub.add(MODEL, dict(FILES))
    return Program(hub, tmp_path)


@pytest.fixture
def modelscope(program: Program) -> Program:
    program.source = "modelscope"
    return program


# ---------------------------------------------------------------- the Hugging Face hub


def test_a_model_comes_whole_into_the_cache_and_hugging_faces_own_library_finds_it(program: Program) -> None:
    code, said = program.run()
    assert code == 0, said
    folder = cache.snapshot(program.to, MODEL)
    assert folder is not None and (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert snapshot_download(MODEL, cache_dir=program.to, local_files_only=True) == str(folder)
    assert program.progress["result"] == str(folder)
    assert program.progress["done"] == program.progress["total"] == sum(map(len, FILES.values()))
    assert "3 files, 524 kB, 0 bytes of it here already." in said


def test_only_what_vllm_needs_is_fetched(program: Program) -> None:
    spare = (
        "pytorch_model.bin",
        "original/params.json",
        "model.gguf",
        "onnx/model.onnx",
        "README.md",
        ".gitattributes",
    )
    program.hub.add(MODEL, {**FILES, **dict.fromkeys(spare, b"spare")})
    assert program.run()[0] == 0
    folder = cache.snapshot(program.to, MODEL)
    assert folder is not None and {path.name for path in folder.iterdir()} == set(FILES)


def test_weights_of_pytorch_come_where_there_are_no_others(program: Program) -> None:
    program.hub.add(
        MODEL, {"config.json": CONFIG, "pytorch_model.bin": b"weights", "training_args.bin": b"no"}
    )
    assert program.run()[0] == 0
    folder = cache.snapshot(program.to, MODEL)
    assert folder is not None and {path.name for path in folder.iterdir()} == {
        "config.json",
        "pytorch_model.bin",
    }


@pytest.mark.parametrize(
    ("options", "weights"), [((), "model.safetensors"), (("--mistral",), "consolidated.safetensors")]
)
def test_of_two_kinds_of_weights_one_comes(program: Program, options: tuple[str, ...], weights: str) -> None:
    program.hub.add(MODEL, {**FILES, "consolidated.safetensors": b"again", "params.json": b"{}"})
    assert program.run(*options)[0] == 0
    (folder,) = (cache.storage(program.to, MODEL) / "snapshots").iterdir()
    assert {path.name for path in folder.glob("*.safetensors")} == {weights}


def test_what_is_here_is_not_fetched_again(program: Program) -> None:
    program.run()
    program.hub.sent.clear()
    assert program.run()[0] == 0
    assert not program.hub.sent


def test_a_connection_that_breaks_is_taken_up_again_at_that_byte(program: Program) -> None:
    program.hub.cuts["model.safetensors"] = [200_000, 300_000]
    code, said = program.run()
    assert code == 0, said
    assert [one.start for one in program.hub.sent if one.name == "model.safetensors"] == [0, 200_000, 300_000]
    assert program.hub.sent_of("model.safetensors") == len(WEIGHTS)


@pytest.mark.parametrize("source", ["hub", "modelscope"])
def test_a_cancelled_one_is_no_model_yet_and_goes_on_where_it_stopped(program: Program, source: str) -> None:
    program.source = source
    program.hub.holds["model.safetensors"] = 300_000
    process = program.begin()
    eventually(lambda: _incomplete(program) == 300_000, what="it was written")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM
    assert cache.snapshot(program.to, MODEL) is None and not cache.is_complete(program.to)
    program.hub.go.set()
    code, said = program.run()
    assert code == 0 and "300 kB of it here already" in said
    assert program.hub.sent[-1].start == 300_000 and program.hub.sent[-1].size == len(WEIGHTS) - 300_000


def _incomplete(program: Program) -> int:
    return sum(path.stat().st_size for path in program.to.rglob("*.incomplete"))


def test_a_hub_that_knows_no_ranges_sends_the_whole_again(program: Program) -> None:
    program.hub.cuts["model.safetensors"] = [200_000]
    program.hub.whole = True
    code, said = program.run()
    assert code == 0, said
    folder = cache.snapshot(program.to, MODEL)
    assert folder is not None and (folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("source", ["hub", "modelscope"])
def test_a_file_with_another_checksum_is_thrown_away(program: Program, source: str) -> None:
    program.source = source
    program.hub.models[MODEL].sums["model.safetensors"] = "0" * 64
    code, _ = program.run()
    assert code == 1 and "checksum is another" in program.progress["failed"]
    assert _incomplete(program) == 0 and cache.snapshot(program.to, MODEL) is None


def test_a_small_file_is_checked_as_git_names_it(program: Program) -> None:
    program.run()
    blobs = cache.storage(program.to, MODEL) / "blobs"
    names = {path.name for path in blobs.iterdir()}
    assert len(names) == 3 and sorted(map(len, names)) == [40, 40, 64]


def test_a_disk_that_is_too_small_is_said_with_numbers_before_anything_comes(program: Program) -> None:
    program.hub.models[MODEL].sizes["model.safetensors"] = 900 * 10**12
    code, _ = program.run()
    assert code == 1 and not program.hub.sent
    assert program.progress["failed"].startswith("It needs 900.0 TB more, and ")
    assert program.progress["mend"].startswith("Free 8")


def test_a_gated_model_says_where_its_licence_is(program: Program) -> None:
    program.hub.models[MODEL].gated = True
    code, said = program.run()
    assert code == 1 and "is gated" in program.progress["failed"]
    assert f"{program.hub.url}/tiny/chat" in program.progress["mend"] and "token" in said


def test_a_gated_model_comes_with_a_token_which_is_never_printed(program: Program) -> None:
    program.hub.models[MODEL].gated = True
    code, said = program.run(HF_TOKEN=program.hub.token)
    assert code == 0, said
    kept = " ".join(path.read_text(errors="replace") for path in program.folder.rglob("*") if path.is_file())
    assert program.hub.token not in said and program.hub.token not in kept


def test_a_refused_token_is_said(program: Program) -> None:
    program.run(HF_TOKEN="hf_wrong-token")
    assert program.progress["failed"] == "The Hugging Face hub refused the token."


def test_a_model_that_is_not_there_is_said(program: Program) -> None:
    code, _ = program.run(model="no/such")
    assert code == 1 and program.progress["failed"] == "The Hugging Face hub has no model no/such."


def test_a_revision_of_its_own_is_fetched_and_found(program: Program) -> None:
    sha = program.hub.models[MODEL].sha
    assert program.run("--revision", sha)[0] == 0
    assert cache.snapshot(program.to, MODEL, sha) and cache.snapshot(program.to, MODEL) is None
    program.run("--revision", "v9")
    assert program.progress["failed"] == "tiny/chat has no such revision."


def test_a_hub_that_wants_less_haste_is_waited_for(program: Program) -> None:
    program.hub.busy["model.safetensors"] = 4
    code, said = program.run()
    assert code == 0 and "Trying again in 0 s." in said


def test_a_hub_that_stays_busy_is_said(program: Program) -> None:
    program.hub.busy["model.safetensors"] = 5
    code, _ = program.run()
    assert code == 1 and "too many requests" in program.progress["failed"]


def test_a_hub_that_is_away_is_said(program: Program) -> None:
    code, said = program.run(HF_ENDPOINT="http://127.0.0.1:1")
    assert code == 1 and "could not be reached" in program.progress["failed"] and "Traceback" not in said


def test_a_model_without_weights_is_refused(program: Program) -> None:
    program.hub.add(MODEL, {"config.json": CONFIG, "model.gguf": b"gguf"})
    code, _ = program.run()
    assert code == 1 and "no weights that vLLM reads" in program.progress["failed"]


def test_a_name_that_leads_out_of_the_folder_is_not_written(modelscope: Program) -> None:
    modelscope.hub.add(MODEL, {**FILES, "../evil.json": b"evil", "/evil.json": b"evil"})
    assert modelscope.run()[0] == 0
    assert not list(modelscope.folder.rglob("evil.json"))


def test_a_folder_that_cannot_be_written_is_said(program: Program) -> None:
    program.to.write_text("a file is in the way")
    code, said = program.run()
    assert code == 1 and str(program.to) in program.progress["failed"] and "Traceback" not in said


# ---------------------------------------------------------------- ModelScope


def test_a_model_of_modelscope_comes_into_its_folder(modelscope: Program) -> None:
    code, said = modelscope.run()
    assert code == 0, said
    assert {path.name: path.read_bytes() for path in modelscope.to.iterdir()} == FILES
    assert modelscope.progress["result"] == str(modelscope.to)


def test_what_modelscope_gave_is_not_fetched_again(modelscope: Program) -> None:
    modelscope.run()
    modelscope.hub.sent.clear()
    assert modelscope.run()[0] == 0 and not modelscope.hub.sent


def test_its_files_are_a_model_that_the_scan_knows(program: Program, tmp_path: Path) -> None:
    from instances.catalog.scan import scan

    write_safetensors(tmp_path / "w", {"a": tensor("BF16", 10)})
    program.hub.add(MODEL, {**FILES, "model.safetensors": (tmp_path / "w").read_bytes()})
    program.run()
    (here,) = scan([], program.to)
    assert (here.model, here.where, here.parameters, here.missing) == (MODEL, "cache", 10, "")


def test_a_file_of_an_earlier_upload_of_the_same_size_is_fetched_anew(modelscope: Program) -> None:
    modelscope.hub.add(MODEL, FILES)
    modelscope.to.mkdir(parents=True)
    (modelscope.to / "model.safetensors").write_bytes(bytes(len(WEIGHTS)))
    assert modelscope.run()[0] == 0
    assert (modelscope.to / "model.safetensors").read_bytes() == WEIGHTS
