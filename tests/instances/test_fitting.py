from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from instances import fit_history, fitting, model_facts
from instances.fit_card import Fit
from instances.states import State
from instances.vllm import engines
from instances.vllm.fit.room import Room
from tests.instances.made import make_instance, make_launch
from tests.instances.vllm.fit.made import GIB, QWEN3_8B, gpu, gpus, ram

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(tmp_path: Path, settings: Any) -> str:
    """A folder inside the model roots with the shape of Qwen3 8B."""
    settings.LLMOPS_MODEL_ROOTS = [tmp_path]
    folder = tmp_path / "qwen"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(QWEN3_8B))
    return str(folder)


def fit(model: str, room: Room | None = None, **config: Any) -> Fit:
    return fitting.fit_of({"model": model, **config}, room=room or gpus(gpu(total=48)), accelerator="cuda")


@pytest.mark.parametrize(
    ("total", "context", "verdict", "state", "title"),
    [
        (48, 8192, "fits", "ok", "Fits on GPU 0"),
        (24, 29000, "tight", "warn", "Just fits on GPU 0"),
        (24, 40960, "no", "error", "Does not fit"),
    ],
)
def test_the_verdict_comes_in_words(
    model: str, total: int, context: int, verdict: str, state: str, title: str
) -> None:
    found = fit(model, gpus(gpu(total=total)), max_model_len=context)
    assert (found.verdict, found.state, found.title) == (verdict, state, title)


def test_several_gpus_are_counted(model: str) -> None:
    found = fit(model, gpus(gpu(0, 48), gpu(1, 48)), tensor_parallel_size=2, max_model_len=8192)
    assert found.title == "Fits on 2 GPUs"


def test_ram_has_no_number(model: str) -> None:
    config = {"model": model, "max_model_len": 4096}
    assert fitting.fit_of(config, room=ram(64, 60), accelerator="cpu").title == "Fits into memory"


def test_a_model_that_is_not_here_is_not_known_and_not_refused(settings: Any, tmp_path: Path) -> None:
    settings.HF_CACHE = tmp_path
    found = fit("Qwen/Qwen3-8B")
    assert (found.verdict, found.title) == ("unknown", "Not known")
    assert found.reasons == ("Qwen/Qwen3-8B is not on this machine, and the hub was not asked yet.",)
    assert fitting.refusal(found) == ""


def test_a_refusal_tells_the_numbers_and_the_way_out(model: str) -> None:
    sentence = fitting.refusal(fit(model, gpus(gpu(total=24)), max_model_len=40960))
    assert sentence.startswith("A context of 40,960 tokens needs 5.6 GiB of KV cache, ")
    assert "Set the context length to " in sentence
    assert fitting.refusal(fit(model, max_model_len=8192)) == ""


def test_the_context_that_was_reckoned_with_is_told_when_it_is_another(model: str) -> None:
    assert fit(model, max_model_len=262144).used_context == 40960
    assert fit(model, max_model_len=8192).used_context is None


def test_the_largest_context_is_offered(model: str) -> None:
    found = fit(model, gpus(gpu(total=24)), max_model_len=40960)
    assert found.offered_context == found.estimate.largest
    assert json.loads(found.offered_change) == {"max_model_len": found.estimate.largest}
    assert fit(model, gpus(gpu(total=80))).offered_context is None


def test_a_bar_shows_who_holds_what_and_what_would_come(model: str) -> None:
    (bar,) = fit(model, gpus(gpu(total=48, held=2)), max_model_len=8192, gpu_memory_utilization=0.8).bars
    assert [(one.kind, one.label) for one in bar.segments] == [
        ("k1", "Weights"),
        ("k2", "KV cache"),
        ("k3", "Working memory"),
        ("k4", "coder"),
    ]
    assert [one.x for one in bar.segments][1:] == [one.x + one.width for one in bar.segments[:-1]]
    assert bar.mark == pytest.approx(0.8 * 4800, abs=1)
    assert (bar.over, bar.total) == (0, "48.0 GiB")


def test_what_is_too_much_is_drawn_within_the_bar(model: str) -> None:
    (bar,) = fit(model, gpus(gpu(total=12))).bars
    assert bar.over > 0 and sum(one.width for one in bar.segments) <= 4800
    assert bar.mark is not None and bar.mark < 4800


def test_gpus_that_were_not_chosen_come_last_and_hold_nothing_new(model: str) -> None:
    first, second = fit(model, gpus(gpu(0, 48, held=20), gpu(1, 48)), gpus=["1"], max_model_len=8192).bars
    assert (first.place.index, first.chosen) == (1, True)
    assert (second.place.index, second.chosen, len(second.segments)) == (0, False, 1)


def test_without_an_engine_and_without_a_gpu_it_is_reckoned_for_a_cpu(engine: Any, monkeypatch: Any) -> None:
    engine(engines.Missing("There is none.", "Install one."))
    monkeypatch.setattr("monitoring.latest.gpus_now", lambda: None)
    assert fitting.accelerator_of({}) == "cpu"


# ---------------------------------------------------------------- earlier launches


def test_what_an_engine_logged_corrects_the_next_estimate(mia: User, model: str) -> None:
    before = fit(model, max_model_len=8192)
    budget = before.estimate.loads[0].budget
    make_launch(
        make_instance(mia, model=model, max_model_len=8192),
        State.STOPPED,
        accelerator="cuda",
        estimate={"budget": budget},
        measured={"weights": 15 * GIB, "cache": budget - 18 * GIB},
    )
    after = fit(model, max_model_len=8192)
    assert (after.estimate.weights, after.estimate.working) == (15 * GIB, 3 * GIB)
    assert after.remarks == ["Corrected by what earlier launches of this model took."]


@pytest.mark.parametrize(
    ("config", "weights", "working"),
    [
        ({"max_model_len": 4096}, True, False),
        ({"dtype": "float16"}, False, False),
        ({"quantization": "fp8"}, False, False),
        ({"tensor_parallel_size": 2}, False, False),
        ({"args": {"max-num-seqs": 8}, "max_model_len": 8192}, True, False),
    ],
)
def test_only_a_launch_in_the_same_form_corrects(
    mia: User, model: str, config: dict[str, Any], weights: bool, working: bool
) -> None:
    make_launch(
        make_instance(mia, model=model, max_model_len=8192),
        State.STOPPED,
        accelerator="cuda",
        estimate={"budget": 20 * GIB},
        measured={"weights": 15 * GIB, "cache": 2 * GIB},
    )
    found = fit_history.correction_of({"model": model, **config}, "cuda")
    assert (found.weights is not None, found.working is not None) == (weights, working)


def test_a_launch_that_logged_odd_things_corrects_nothing(mia: User, model: str) -> None:
    instance = make_instance(mia, model=model)
    told: list[Any] = [[], {"weights": "x"}, {"weights": 12}, {"cache": None}]
    for measured in told:
        make_launch(instance, State.STOPPED, accelerator="cuda", estimate=[], measured=measured)
    found = fit_history.correction_of({"model": model}, "cuda")
    assert (found.weights, found.working) == (None, None)


def test_a_launch_tells_how_good_its_estimate_was(mia: User) -> None:
    launch = make_launch(
        make_instance(mia),
        State.RUNNING,
        estimate={"weights": 275 * 2**20, "tokens": 4096},
        measured={"checkpoint": 250 * 2**20, "tokens": 4096},
    )
    weights, cache = fit_history.compared(launch)
    assert (weights.estimated, weights.measured, weights.off) == ("275 MiB", "250 MiB", "10 % off")
    assert (cache.what, cache.estimated, cache.off) == ("KV cache", "4,096 tokens", "exact")


@pytest.mark.parametrize(
    ("estimate", "measured"), [(None, {}), ({}, None), ({}, {}), ([], "x"), ({"weights": 5}, {})]
)
def test_without_both_there_is_nothing_to_compare(mia: User, estimate: Any, measured: Any) -> None:
    launch = make_launch(make_instance(mia), State.RUNNING, estimate=estimate, measured=measured)
    assert fit_history.compared(launch) == []


def test_a_launch_keeps_what_was_expected_without_asking_anybody(model: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(model_facts, "_of_hub", lambda *_: pytest.fail("the hub was asked"))
    monkeypatch.setattr("monitoring.latest.gpus_now", lambda: pytest.fail("a driver was waited for"))
    kept = fitting.kept_estimate({"model": model, "max_model_len": 8192}, "cuda", None)
    assert kept is not None
    assert (kept["weights"], kept["context"], kept["verdict"]) == (16_381_470_720, 8192, "unknown")
    json.dumps(kept)


def test_a_machine_that_cannot_be_read_is_no_reason_not_to_start(model: str, monkeypatch: Any) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no /proc here")

    monkeypatch.setattr("instances.fitting.fit_of", broken)
    assert fitting.kept_estimate({"model": model}, "cpu", None) is None
