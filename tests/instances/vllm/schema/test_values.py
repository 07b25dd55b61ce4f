"""Values of flags: what each kind takes, what it says of the rest, and what is the default anyway."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.vllm.schema import Flag, shipped
from instances.vllm.schema.values import Wrong, is_default, judge, size_of

FLAGS = shipped().flags
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def wrong(name: str, value: Any) -> str:
    with pytest.raises(Wrong) as caught:
        judge(FLAGS[name], value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "judged"),
    [
        ("seed", "7", 7),
        ("seed", 7.0, 7),
        ("seed", "-1", -1),
        ("max-num-seqs", "1,024", 1024),
        ("max-num-seqs", "1_024", 1024),
        ("max-num-batched-tokens", "8k", "8k"),
        ("max-num-batched-tokens", "8192", 8192),
        ("kv-cache-memory-bytes", "1.5g", "1.5g"),
        ("kv-cache-dtype", "FP8", "fp8"),
        ("kv-cache-dtype", "fp8-e4m3", "fp8_e4m3"),
        ("enforce-eager", "true", True),
        ("enforce-eager", "off", False),
        ("compilation-config", '{"mode": 3}', {"mode": 3}),
        ("compilation-config", {"mode": 3}, {"mode": 3}),
        ("cudagraph-capture-sizes", "1 2,4", [1, 2, 4]),
        ("cudagraph-capture-sizes", "[1, 2]", [1, 2]),
        ("lora-modules", "a=x/a\nb=x/b", ["a=x/a", "b=x/b"]),
        ("chat-template", " {{ messages }} ", "{{ messages }}"),
        ("tokenizer", "7", "7"),
        ("max-num-seqs", "None", None),
        ("max-num-seqs", "", None),
        ("max-num-seqs", None, None),
    ],
)
def test_a_value_is_read_as_vllm_reads_it(name: str, value: Any, judged: Any) -> None:
    assert judge(FLAGS[name], value) == judged


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seed", "many", "whole number"),
        ("seed", True, "takes a value"),
        ("max-num-seqs", "1k", "write 1000"),
        ("max-num-batched-tokens", "8KB", "write 8K"),
        ("kv-cache-memory-bytes", "1.5G", "1.5g"),
        ("kv-cache-dtype", "fp9", "Choose one of: fp8"),
        ("enforce-eager", "maybe", "say true or false"),
        ("compilation-config", "{'mode': 3}", 'write {"mode": 3}'),
        ("compilation-config", "mode=3", "takes JSON"),
        ("compilation-config", {"modus": 3}, "Did you mean mode?"),
        ("tokenizer", ["a"], "takes text"),
        ("seed", False, "no --no- form"),
    ],
)
def test_a_wrong_value_is_answered_with_a_right_one(name: str, value: Any, said: str) -> None:
    sentence = wrong(name, value)
    assert said in sentence and sentence.startswith(f"--{name}") and sentence.endswith((".", "?"))


def test_for_another_version_choices_and_keys_are_left_to_the_engine() -> None:
    assert judge(FLAGS["kv-cache-dtype"], "fp9", strict=False) == "fp9"
    assert judge(FLAGS["compilation-config"], {"modus": 3}, strict=False) == {"modus": 3}
    with pytest.raises(Wrong):
        judge(FLAGS["seed"], "many", strict=False)


@pytest.mark.parametrize(
    ("text", "size"),
    [("32k", 32_000), ("32K", 32_768), ("1.5g", 1_500_000_000), ("8G", 8 * 2**30), ("7", 7)],
)
def test_small_letters_are_thousands_and_capitals_powers_of_two(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "k", "1.5G", "1e3", "-1", "8GB", "8 G"])
def test_what_is_no_size(text: str) -> None:
    assert size_of(text) is None


@pytest.mark.parametrize(
    "flag", [flag for flag in FLAGS.values() if flag.default is not None], ids=lambda f: f.name
)
def test_the_default_of_every_flag_is_judged_right_and_goes_without_saying(flag: Flag) -> None:
    assert is_default(flag, judge(flag, flag.default))


@pytest.mark.parametrize(("name", "value"), [("seed", 7), ("kv-cache-dtype", "fp8"), ("enforce-eager", True)])
def test_what_differs_is_no_default(name: str, value: Any) -> None:
    assert not is_default(FLAGS[name], judge(FLAGS[name], value))


def test_a_switch_whose_default_the_engine_works_out_may_be_set_both_ways() -> None:
    flag = FLAGS["enable-prefix-caching"]
    assert flag.default is None and not is_default(flag, True) and not is_default(flag, False)


@given(st.sampled_from(sorted(FLAGS)), ANYTHING)
def test_any_value_is_judged_or_answered_with_a_sentence(name: str, value: Any) -> None:
    try:
        judged = judge(FLAGS[name], value)
    except Wrong as told:
        assert str(told).startswith(f"--{name}")
    else:
        assert judged is None or judge(FLAGS[name], judged) == judged  # once judged it stays
