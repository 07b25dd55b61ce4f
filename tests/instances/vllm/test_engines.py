"""Several engines side by side: which a configuration means, and what it takes to be rid of one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from instances.vllm import engines, offered, removal, resolution
from instances.vllm.engines import Engine, Missing
from tests.fakes import fake_installed


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A machine with two chosen versions and a command of one's own, which is the default."""
    own = tmp_path / "own/bin/vllm"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    (tmp_path / "own/lib/python3.12/site-packages/vllm-0.33.0.dist-info").mkdir(parents=True)
    home = tmp_path / "engines"
    fake_installed.install(home, "0.30.0")
    fake_installed.install(home, "0.31.0")
    return {"LLMOPS_VLLM": str(own), "LLMOPS_ENGINES": str(home), "LLMOPS_DATA": str(tmp_path)}


def chosen(name: str | None, environ: dict[str, str]) -> str:
    found = engines.choose(name, environ)
    return found.slug if isinstance(found, Engine) else found.reason


def test_the_default_one_stands_first_then_the_newest(environ: dict[str, str]) -> None:
    assert [one.slug for one in engines.every(environ)] == ["own", "cpu-0.31.0", "cpu-0.30.0"]
    assert [one.default for one in engines.every(environ)] == [True, False, False]


@pytest.mark.parametrize(
    "name", ["0.31.0", "0.31.0+cpu", "cpu-0.31.0", "{home}/cpu-0.31.0", "{home}/cpu-0.31.0/bin/vllm"]
)
def test_one_is_named_by_version_folder_or_path(environ: dict[str, str], name: str) -> None:
    assert chosen(name.replace("{home}", environ["LLMOPS_ENGINES"]), environ) == "cpu-0.31.0"


@pytest.mark.parametrize("name", [None, "", "0.33.0", "own"])
def test_without_a_name_it_is_the_default_one(environ: dict[str, str], name: str | None) -> None:
    assert chosen(name, environ) == "own"


def test_one_that_is_not_here_is_refused_with_those_that_are(environ: dict[str, str]) -> None:
    found = engines.choose("9.9.9", environ)
    assert found == Missing(
        "There is no engine 9.9.9 on this host.", "Choose another one: 0.33.0, 0.31.0+cpu, 0.30.0+cpu."
    )


def test_one_that_was_cut_off_says_so_and_what_to_do(environ: dict[str, str]) -> None:
    fake_installed.install(Path(environ["LLMOPS_ENGINES"]), "0.29.0", works=False)
    assert chosen("0.29.0", environ) == "The engine's installation was cut off before it had finished."
    assert "0.29.0" not in dict(engines.choices(environ))


def test_two_of_one_version_are_told_apart_by_their_folders(environ: dict[str, str]) -> None:
    fake_installed.install(Path(environ["LLMOPS_ENGINES"]), "0.31.0", "cpu-0123456789ab")
    assert {name for name, _ in engines.choices(environ)} == {
        "0.33.0", "cpu-0.31.0", "cpu-0123456789ab", "0.30.0+cpu"
    }  # fmt: skip


# ---------------------------------------------------------------- removal


def test_a_chosen_one_is_removed_whole(environ: dict[str, str]) -> None:
    home = Path(environ["LLMOPS_ENGINES"])
    (home / "cpu-0.30.0.log").write_text("")
    (home / ".cpu-0.30.0.removed.1/lib").mkdir(parents=True)  # of a removal that was cut off
    removal.remove("cpu-0.30.0", environ)
    assert [one.slug for one in engines.every(environ)] == ["own", "cpu-0.31.0"]
    assert not [path for path in home.iterdir() if "0.30.0" in path.name and path.suffix != ".lock"]


@pytest.mark.parametrize("slug", ["own", "cpu-0123456789ab", "..", "cpu-0.9/../cpu-0.31.0", "", "cpu-0.1.0"])
def test_nothing_else_is_removed(environ: dict[str, str], slug: str) -> None:
    fake_installed.install(Path(environ["LLMOPS_ENGINES"]), "0.32.0", "cpu-0123456789ab")
    before = [one.slug for one in engines.every(environ)]
    with pytest.raises(removal.NotRemovable):
        removal.remove(slug, environ)
    assert [one.slug for one in engines.every(environ)] == before


def test_a_link_to_a_folder_elsewhere_stays(environ: dict[str, str], tmp_path: Path) -> None:
    (Path(environ["LLMOPS_ENGINES"]) / "cpu-0.28.0").symlink_to(tmp_path / "own")
    with pytest.raises(removal.NotRemovable):
        removal.remove("cpu-0.28.0", environ)
    assert (tmp_path / "own/bin/vllm").exists()


def test_one_that_is_being_installed_stays(environ: dict[str, str]) -> None:
    folder = Path(environ["LLMOPS_ENGINES"]) / "cpu-0.31.0"
    with engines.lock_file(folder).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(removal.NotRemovable, match="being installed"):
            removal.remove("cpu-0.31.0", environ)
    assert folder.exists()


# ---------------------------------------------------------------- what the package index offers


def index(folder: Path, said: str, code: int = 0) -> Path:
    """A Python whose pip says this, and counts how often it was asked."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho x >> {folder}/asked\necho '{said}'\nexit {code}\n")
    python.chmod(0o755)
    return python


def test_the_index_is_asked_once_an_hour(tmp_path: Path) -> None:
    python = index(tmp_path, "Available versions: 0.41.0, 0.40.0")
    for _ in range(2):
        assert offered.versions(tmp_path / "home", "cpu", {}, python) == ["0.41.0", "0.40.0"]
    assert (tmp_path / "asked").read_text() == "x\n"
    os.utime(resolution.kept_versions(tmp_path / "home", "cpu"), (1, 1))
    offered.versions(tmp_path / "home", "cpu", {}, python)
    assert (tmp_path / "asked").read_text() == "x\nx\n"


def test_without_an_index_those_known_before_are_offered(tmp_path: Path) -> None:
    assert "0.32.0" in offered.versions(tmp_path, "cpu", {}, index(tmp_path, "ERROR: no network", 1))
    assert "0.33.0" in offered.versions(tmp_path, "cuda", {}, tmp_path / "no-python")
