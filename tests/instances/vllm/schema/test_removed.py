"""What is gone from vLLM: each name with what to do, and a replacement that holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instances.vllm.flags import refused_env
from instances.vllm.schema import of_engine, shipped
from instances.vllm.schema.judging import judge_args
from instances.vllm.schema.removed import REMOVED, REMOVED_ENVIRONMENT

FLAGS = shipped()


def judged(args: dict[str, Any]) -> dict[str, Any]:
    found = judge_args(args, FLAGS, lambda path: None)
    assert not found.errors
    return found.args


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_flag_is_really_gone_and_says_what_to_do(name: str) -> None:
    assert FLAGS.exact(name) is None
    sentence = judge_args({name: "1"}, FLAGS, lambda path: None).errors[name]
    assert f"no --{name} any more" in sentence and sentence.endswith(".")


@pytest.mark.parametrize("name", REMOVED)
def test_what_a_sentence_names_instead_exists(name: str) -> None:
    words = [word.strip(".,:;()'\"") for word in REMOVED[name].instead.split()]
    for word in words:
        if word.startswith("--") and word[2:] not in REMOVED:
            assert FLAGS.find(word), word


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("task", "embed", {"runner": "pooling", "convert": "embed"}),
        ("override-pooler-config", {"normalize": True}, {"pooler-config": {"normalize": True}}),
        ("enable-microbatching", True, {"enable-dbo": True}),
        ("disable-mm-preprocessor-cache", True, {"mm-processor-cache-gb": 0}),
        ("eplb-window-size", "10", {"eplb-config": {"window_size": 10}}),
        ("use-v2-block-manager", True, {}),
    ],
)
def test_a_removed_flag_is_replaced_by_what_does_the_same(
    name: str, value: Any, instead: dict[str, Any]
) -> None:
    replace = REMOVED[name].replace
    assert replace is not None and replace(value, {name: value}) == instead


def test_a_replacement_keeps_what_its_flag_has_already() -> None:
    replace = REMOVED["eplb-window-size"].replace
    assert replace is not None
    args = {"eplb-config": {"step_interval": 5}}
    assert replace("10", args) == {"eplb-config": {"step_interval": 5, "window_size": 10}}


def test_an_older_engine_may_still_know_it(tmp_path: Path) -> None:
    older = of_engine("old", "0.8.0", tmp_path)
    assert judge_args({"task": "embed"}, older, lambda path: None).args == {"task": "embed"}


@pytest.mark.parametrize("name", REMOVED_ENVIRONMENT)
def test_a_removed_variable_is_not_refused_besides(name: str) -> None:
    assert refused_env(name) is None and REMOVED_ENVIRONMENT[name].instead.endswith(".")


def test_what_stands_instead_passes_itself() -> None:
    assert judged({"runner": "pooling", "convert": "embed"}) == {"runner": "pooling", "convert": "embed"}
