"""Rows 1, 3, 5, 6, 13, 14 and 20 on the real engine, in several processes as it runs by default."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from instances.vllm.command import engine_environment
from instances.vllm.engines import Engine
from tests.console import ROOT, Console, eventually
from tests.faults.engines import (
    all_gone,
    answers,
    ask,
    core_of,
    deploy,
    kill,
    launches,
    lives,
    log_texts,
    page,
    port_is_free,
    tree,
)

pytestmark = pytest.mark.engine

SEVERAL = {"env": {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}}
START = 240.0  # seconds; on a busy machine the imports alone take a minute


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, real_engine: Engine) -> Iterator[Console]:
    console = Console(tmp_path_factory.mktemp("real") / "data", vllm=real_engine.path, LLMOPS_STOP_GRACE="5")
    console.start()
    console.make_administrator()
    yield console
    console.close()


@pytest.fixture(scope="module")
def engine(real: Console) -> int:
    """One instance that all tests here start and break; the first of them waits for its first start."""
    answer = real.api(
        "POST",
        "/api/models/deploy",
        json={"name": "real", "preset": "tiny-demo", "start": False, **SEVERAL},
    )
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def runs(console: Console, instance_id: int) -> dict[str, Any]:
    """Its launch, once it runs; started if need be."""
    if (console.instance(instance_id)["launch"] or {}).get("state") != "running":
        ask(console, instance_id, "start")
    launch: dict[str, Any] = console.reaches(instance_id, "running", within=START)["launch"]
    return launch


def chat(console: Console, **options: Any) -> httpx.Response:
    body = {"model": "real", "messages": [{"role": "user", "content": "What is the capital of Japan?"}]}
    return console.api("POST", "/v1/chat/completions", json=body, **options)


def test_the_engine_itself_loads_our_plug_in(real_engine: Engine, tmp_path: Path) -> None:
    environment = engine_environment(
        os.environ, {"model": "o/m"}, api_key="", accelerator="cpu", cache_dir=tmp_path
    )
    load = "import sys, vllm.plugins as them; them.load_general_plugins(); print('llmops_amx' in sys.modules)"
    done = subprocess.run(
        [str(real_engine.python), "-c", load], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "True", done.stderr


def test_row_13_a_flag_and_a_model_that_the_real_engine_refuses(real: Console) -> None:
    flag = deploy(real, "flag", args={"compilation-config": {"custom_ops": 5}})
    folder = real.data / "models" / "empty"
    folder.mkdir(parents=True)
    model = deploy(real, "model", model=str(folder))
    refused = real.reaches(flag, "error", within=START)
    assert (
        "CompilationConfig does not know a name" in refused["launch"]["error"] and refused["restart"] is None
    )
    assert refused["launch"]["exit_code"] == 2
    assert "error: argument --compilation-config/-cc: 1 validation error" in page(real, f"/instances/{flag}/")
    missing = real.reaches(model, "error", within=START)
    assert missing["restart"] is None and missing["launch"]["exit_code"] == 1
    assert "model" in missing["launch"]["error"].lower() and len(launches(real, model)) == 1


def test_row_1_it_outlives_the_console_and_is_taken_up(real: Console, engine: int) -> None:
    before = runs(real, engine)
    lines = log_texts(real, engine)
    real.end(signal.SIGKILL)
    assert answers(before)
    real.start()
    after = real.reaches(engine, "running", within=2)["launch"]
    assert (after["id"], after["pid"]) == (before["id"], before["pid"])
    assert log_texts(real, engine)[: len(lines)] == lines
    assert "Tokyo" in chat(real).text


def test_row_20_frozen_it_is_unhealthy_and_thawed_it_runs_on(real: Console, engine: int) -> None:
    launch = runs(real, engine)
    for process in (psutil.Process(launch["pid"]), core_of(launch)):
        process.suspend()
        found = real.reaches(engine, "unhealthy")
        assert "lives but" in found["launch"]["error"] and chat(real).status_code == 503
        process.resume()
        real.reaches(engine, "running")
    assert "Tokyo" in chat(real).text


def test_row_5_main_killed_alone_takes_the_whole_tree_with_it(real: Console, engine: int) -> None:
    launch = runs(real, engine)
    processes = tree(real, launch)
    assert len(processes) >= 3
    kill(launch["pid"])
    ended = real.reaches(engine, "error")
    all_gone(processes)
    assert ended["launch"]["exit_code"] == -signal.SIGKILL and ended["restart"]["attempt"] == 1
    assert port_is_free(launch)


def test_row_6_the_inner_process_killed_is_an_error_though_main_exits_with_0(
    real: Console, engine: int
) -> None:
    launch = runs(real, engine)
    processes = tree(real, launch)
    kill(core_of(launch))
    ended = real.reaches(engine, "error")["launch"]
    assert ended["exit_code"] == 0 and ended["error"]
    all_gone(processes)
    ask(real, engine, "stop")


def test_row_14_a_stop_in_the_part_of_the_start_that_ignores_sigterm(real: Console, engine: int) -> None:
    ask(real, engine, "start")
    launch = real.reaches(engine, "starting")["launch"]
    eventually(
        lambda: any("non-default args" in text for text in log_texts(real, engine)),
        within=START,
        what="imports",
    )
    processes = tree(real, launch)
    ask(real, engine, "stop")
    ended = real.reaches(engine, "stopped")["launch"]
    assert ended["ready_at"] is None and ended["error"] == ""
    all_gone(processes)


def test_row_3_a_stop_with_an_answer_in_flight_is_completed_by_the_next_supervisor(
    real: Console, engine: int
) -> None:
    launch = runs(real, engine)
    processes = tree(real, launch)
    headers = {"Authorization": f"Bearer {real.key}"}
    body = {"model": "real", "stream": True, "max_tokens": 900, "ignore_eos": True, "prompt": "Hi"}
    with httpx.stream("POST", f"{real.url}/v1/completions", json=body, headers=headers, timeout=30) as answer:
        next(answer.iter_lines())
        ask(real, engine, "stop")
        eventually(lambda: real.instance(engine)["launch"]["state"] in ("stopping", "stopped"))
        real.end(signal.SIGKILL)
    real.start()
    ended = real.reaches(engine, "stopped")["launch"]
    assert ended["id"] == launch["id"] and not any(map(lives, processes))
    assert port_is_free(launch)


def test_a_model_without_a_chat_template_runs_and_says_so(real: Console) -> None:
    folder = real.data / "models" / "plain"
    shutil.copytree(ROOT / "demo" / "tiny-chat", folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    instance_id = deploy(real, "plain", model=str(folder))
    real.reaches(instance_id, "running", within=START)
    text = page(real, f"/instances/{instance_id}/")
    assert "no chat template: chats fail" in text
