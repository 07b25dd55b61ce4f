"""Flags found by any spelling, by a near name, by words."""

from __future__ import annotations

from pathlib import Path

import pytest

from instances.vllm.refusals import SHORT
from instances.vllm.schema import Flag, Schema, load, of_engine, shipped
from instances.vllm.schema.schema import SHIPPED

FLAGS = shipped()
PARSER = Path(__file__).parents[3] / "fakes" / "flags.txt"  # what vLLM's own parser listed


def names(text: str) -> list[str]:
    return [flag.name for flag in FLAGS.search(text)]


def test_the_shipped_schema_has_all_flags_of_its_version_with_their_help() -> None:
    assert (FLAGS.version, len(FLAGS.flags)) == ("0.32.0", 316)
    assert all(flag.help for flag in FLAGS.flags.values())


def test_it_has_every_flag_that_the_parser_lists() -> None:
    listed = {word for line in PARSER.read_text().splitlines() for word in line.split()[1:]}
    assert all(FLAGS.find(word) for word in listed if word.startswith("--") and "." not in word)


def test_groups_stand_as_vllm_has_them_and_lose_no_flag() -> None:
    assert "SchedulerConfig" in FLAGS.groups
    assert sum(len(FLAGS.of_group(group)) for group in FLAGS.groups) == len(FLAGS.flags)


@pytest.mark.parametrize("flag", FLAGS.flags.values(), ids=lambda flag: flag.name)
def test_every_spelling_of_a_flag_finds_it(flag: Flag) -> None:
    for spelling in (*flag.spellings, flag.name, flag.name.replace("-", "_"), f"--{flag.name.upper()}"):
        assert FLAGS.find(spelling) is flag, spelling


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("--max_num_seqs", "max-num-seqs"),
        ("--max-num-seq", "max-num-seqs"),  # an unambiguous beginning, as argparse completes it
        ("-tp", "tensor-parallel-size"),
        ("tp", "tensor-parallel-size"),
        ("-tp=2", "tensor-parallel-size"),
        ("--seed=7", "seed"),
        ("-O3", "optimization-level"),
        ("-O=3", "optimization-level"),
        ("--compilation-config.mode", "compilation-config"),
        ("-cc.cudagraph_capture_sizes+", "compilation-config"),
        ("--no-enable-prefix-caching", "enable-prefix-caching"),
        ("--no_enable_prefix_caching", "enable-prefix-caching"),
    ],
)
def test_a_name_is_read_as_vllm_reads_it(written: str, name: str) -> None:
    found = FLAGS.find(written)
    assert found is not None and found.name == name


@pytest.mark.parametrize("written", ["", "-", "--", "--max", "--no-such", "-x", "-seed", "--no-seed", "-O9x"])
def test_what_vllm_would_not_take_is_not_found(written: str) -> None:
    assert FLAGS.find(written) is None


def test_a_spelling_tells_what_else_it_means() -> None:
    off, key, level = (FLAGS.spelling(one) for one in ("--no-enable-prefix-caching", "-cc.mode", "-O3"))
    assert off is not None and off.negated
    assert key is not None and key.keys == ("mode",)
    assert level is not None and level.value == "3"


def test_the_short_names_that_are_refused_are_those_that_exist() -> None:
    for short, name in SHORT.items():
        found = FLAGS.find(f"-{short}")
        assert found is not None and found.name == name, short


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("max-num-sequences", "max-num-seqs"),
        ("--max_seqs_num", "max-num-seqs"),
        ("tensor-parallel", "tensor-parallel-size"),
        ("--enable-prefix-cache", "enable-prefix-caching"),
        ("gpu-memory-utilisation", "gpu-memory-utilization"),
        ("enforce-eagre", "enforce-eager"),
    ],
)
def test_the_nearest_names_hold_the_one_that_was_meant(mistyped: str, meant: str) -> None:
    near = FLAGS.nearest(mistyped)
    assert meant in near and len(near) <= 3


def test_nothing_is_near_to_nonsense() -> None:
    assert FLAGS.nearest("qqqqzzzz") == ()


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("max num seqs", "max-num-seqs"),
        ("--max-num-seqs", "max-num-seqs"),
        ("max_num_seqs", "max-num-seqs"),
        ("tp", "tensor-parallel-size"),
        ("seed", "seed"),
        ("SEED", "seed"),
    ],
)
def test_a_search_puts_the_name_itself_first(words: str, first: str) -> None:
    assert names(words)[0] == first


def test_a_search_also_looks_at_help_and_groups() -> None:
    assert "kv-cache-memory-bytes" in names("size of kv cache per gpu")
    assert {flag.name for flag in FLAGS.of_group("SchedulerConfig")} <= set(names("scheduler"))


def test_every_word_of_a_search_counts() -> None:
    assert set(names("cache dtype")) < set(names("cache"))
    assert names("") == names("   ") == names("qqqqzzzz") == []


def test_an_engine_of_another_version_borrows_the_flags_and_says_so(tmp_path: Path) -> None:
    borrowed = of_engine("gpu", "0.33.0", tmp_path)
    assert (borrowed.version, borrowed.stands_in_for) == ("0.32.0", "0.33.0")
    assert of_engine("cpu", "0.32.0+cpu", tmp_path).stands_in_for == ""


def test_the_flags_that_an_engine_told_itself_win(tmp_path: Path) -> None:
    (tmp_path / "new.json").write_text(SHIPPED.read_text().replace('"0.32.0"', '"0.40.0"', 1))
    told = of_engine("new", "0.40.0", tmp_path)
    assert (told.version, told.stands_in_for) == ("0.40.0", "")


def test_what_the_engine_before_it_told_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(SHIPPED.read_text().replace('"0.32.0"', '"0.40.0"', 1))
    assert of_engine("own", "0.41.0", tmp_path).stands_in_for == "0.41.0"
    assert of_engine("own", "unknown", tmp_path).version == "0.40.0"


@pytest.mark.parametrize(
    "content",
    ["", "{", "{}", "[]", '{"version": "0.32.0", "flags": [7]}', '{"version": "1", "flags": [{}]}', "\0"],
)
def test_a_broken_file_of_flags_is_as_if_it_were_absent(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    assert of_engine("x", "0.32.0", tmp_path) is shipped()


def test_a_schema_is_read_once(tmp_path: Path) -> None:
    first: Schema = load(SHIPPED)
    assert load(SHIPPED) is first
