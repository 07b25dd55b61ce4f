"""What a launch was expected to take, and what its engine says that it took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instances import fitting
from instances.states import State
from tests.instances.vllm.fit.made import QWEN3_8B

from .conftest import Host

LINES = (
    "2026-11-25T04:00:21.000Z (EngineCore pid=3) INFO 11-25 04:00:21 [x.py:1] Checkpoint size: 0.25 GiB. Available RAM",
    "2026-11-25T04:00:22.000Z (EngineCore pid=3) INFO 11-25 04:00:22 [kv_cache_utils.py:2327] CPU KV cache size: "
    "65,536 tokens, Maximum concurrency for 512 tokens per request: 128.00x",
)
SAID = {"checkpoint": 2**28, "tokens": 65_536, "context": 512, "sequences": 128.0}


@pytest.fixture
def model(tmp_path: Path, settings: Any) -> str:
    settings.LLMOPS_MODEL_ROOTS = [tmp_path]
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_8B))
    return str(tmp_path)


def test_a_launch_keeps_what_it_is_expected_to_take(host: Host, model: str) -> None:
    host.deploy(config={"model": model, "max_model_len": 4096})
    launch = host.step()
    assert launch.state == State.STARTING
    assert launch.estimate is not None
    assert (launch.estimate["weights"], launch.estimate["context"]) == (16_381_470_720, 4096)


def test_a_model_of_which_nothing_is_known_starts_without(host: Host) -> None:
    host.deploy()
    launch = host.step()
    assert (launch.state, launch.estimate) == (State.STARTING, None)


def test_an_estimate_that_fails_holds_no_start_up(host: Host, monkeypatch: Any) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no /proc here")

    monkeypatch.setattr(fitting, "fit_of", broken)
    host.deploy()
    assert host.step().state == State.STARTING


def test_what_the_engine_logs_is_noted_and_stays(host: Host) -> None:
    host.deploy()
    launch = host.step()
    launch.directory.mkdir(parents=True, exist_ok=True)
    (launch.directory / "log").write_text("".join(f"{line}\n" for line in LINES))
    assert host.step().measured == SAID
    host.answers(True)
    host.begin_again()
    assert host.step(2).measured == SAID
