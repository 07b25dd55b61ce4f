from __future__ import annotations

from pathlib import Path

import pytest

from instances.catalog import space
from instances.catalog.failures import NoSpace


def test_too_little_room_is_told_in_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free_of", lambda _: 5_000_000_000)
    with pytest.raises(NoSpace) as caught:
        space.demand(tmp_path, 16_400_000_000)
    assert caught.value.reason == f"It needs 16.4 GB more, and 5.0 GB are free under {tmp_path}."
    assert caught.value.mend == "Free 11.6 GB, or keep models on a larger disk."


def test_room_for_all_else_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free_of", lambda _: space.RESERVE + 1000)
    space.demand(tmp_path, 1000)
    with pytest.raises(NoSpace):
        space.demand(tmp_path, 1001)


def test_a_folder_that_is_still_to_be_made_is_where_its_parent_is(tmp_path: Path) -> None:
    assert space.free_of(tmp_path / "a" / "b") > 0


@pytest.mark.parametrize(
    ("size", "said"),
    [(3, "3 bytes"), (3000, "3 kB"), (512e6, "512 MB"), (16.4e9, "16.4 GB"), (2e12, "2.0 TB")],
)
def test_sizes_in_words(size: float, said: str) -> None:
    assert space.words(size) == said
