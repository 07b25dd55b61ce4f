from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from instances.vllm.phases import BY_SLUG, PHASES, PhaseReader
from tests.instances.vllm.samples import real, report

BEGAN = datetime(2026, 11, 25, 4, 0, tzinfo=UTC)


def read(lines: list[str]) -> PhaseReader:
    reader = PhaseReader()
    for line in lines:
        reader.feed(line)
    return reader


def test_it_knows_seven_phases_in_plain_words() -> None:
    assert [phase.label for phase in PHASES] == [
        "Import", "Download", "Weights", "Compile", "Memory", "Graphs", "Warm-up",
    ]  # fmt: skip
    assert BY_SLUG["weights"].sentence == "Loading weights"


def test_it_is_nowhere_before_the_first_word() -> None:
    reader = PhaseReader()
    assert not reader.feed("")
    assert not reader.feed("  ")
    assert reader.phase == ""
    assert reader.feed("Triton is installed, but doesn't include CPU backend. Disabling Triton.")
    assert reader.phase == "import"


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("default-start", ["import", "weights", "memory", "warm_up"]),
        ("multiprocess-start", ["import", "weights", "memory", "warm_up"]),
        ("single-process-start", ["import", "weights", "memory", "warm_up"]),
        ("sigterm-with-request-in-flight", ["import", "weights", "memory", "warm_up"]),
        ("engine-core-killed", ["import", "weights", "memory", "warm_up"]),
        ("first-start-with-compile", ["import", "weights", "compile", "memory", "warm_up"]),
        ("model-path-missing", ["import"]),
        ("port-in-use", ["import"]),
        ("bad-value", ["import"]),
        ("unknown-flag", ["import"]),
    ],
)
def test_it_follows_real_starts_on_a_cpu(name: str, seen: list[str]) -> None:
    reader = read(real(name))
    assert reader.seen == seen
    assert reader.phase == seen[-1]


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("gpu-start-0.6", ["import", "weights", "memory", "graphs"]),
        ("gpu-start-0.9", ["import", "compile", "memory", "graphs", "warm_up"]),
        ("gpu-start-0.11", ["import", "weights", "compile", "memory", "graphs"]),
        ("gpu-start-0.11-tuned", ["import", "warm_up", "graphs"]),
    ],
)
def test_it_follows_starts_on_gpus(name: str, seen: list[str]) -> None:
    assert read(report(name)).seen == seen


def test_tuning_before_the_graphs_does_not_hide_the_end() -> None:
    assert read(report("gpu-start-0.11-tuned")).phase == "warm_up"


def test_it_counts_shards() -> None:
    reader = read(real("default-start")[:-1])
    assert reader.progress is None  # it belongs to the weights, which are done
    reader = PhaseReader()
    assert reader.feed("Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03,  1.02s/it]")
    assert (reader.phase, reader.progress) == ("weights", (1, 4))
    assert not reader.feed(
        "Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:02<00:03,  1.02s/it]"
    )
    assert reader.feed("Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:02<00:02,  1.02s/it]")


def test_a_second_bar_of_graphs_stays_in_its_phase() -> None:
    reader = PhaseReader()
    for line in report("gpu-start-0.11"):
        reader.feed(line)
        if "PIECEWISE" in line:
            assert (reader.phase, reader.progress) == ("graphs", (51, 51))
    assert (reader.phase, reader.progress) == ("graphs", (35, 35))


def test_a_slower_rank_does_not_take_it_back() -> None:
    reader = PhaseReader()
    reader.feed("INFO 12-13 02:09:14 model_runner.py:1094] Loading model weights took 18.4902 GB")
    reader.feed(
        "(VllmWorkerProcess pid=1) INFO 12-13 02:10:28 worker.py:237] Memory profiling results: duration=7 s"
    )
    assert not reader.feed(
        "(VllmWorkerProcess pid=2) INFO 12-13 02:10:29 x.py:1] Loading model weights took 18.4 GB"
    )
    assert not reader.feed(
        "Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:02<00:02,  1.02s/it]"
    )
    assert (reader.phase, reader.progress) == ("memory", None)


def test_a_download_interrupts_and_goes_back() -> None:
    reader = PhaseReader()
    reader.feed(
        "(EngineCore pid=1) INFO 11-25 04:42:26 [gpu_model_runner.py:68] Starting to load model Qwen/Qwen3..."
    )
    reader.feed("Fetching 4 files:  50%|█████     | 2/4 [00:10<00:10,  5.0s/it]")
    assert (reader.phase, reader.progress) == ("download", (2, 4))
    assert not reader.feed(
        "model-00001-of-00004.safetensors:  37%|███▋      | 1.83G/4.90G [00:10<00:17, 180MB/s]"
    )
    reader.feed("Loading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]")
    assert (reader.phase, reader.progress) == ("weights", (0, 4))
    assert reader.seen == ["import", "weights", "download"]


def test_a_single_file_counts_in_percent() -> None:
    reader = PhaseReader()
    reader.feed("model.safetensors:  37%|███▋      | 1.83G/4.90G [00:10<00:17, 180MB/s]")
    assert (reader.phase, reader.progress) == ("download", (37, 100))


def test_a_model_named_like_a_milestone_does_not_fool_it() -> None:
    reader = PhaseReader()
    reader.feed(
        "(APIServer pid=1) INFO 11-25 03:54:48 [u.py:2] non-default args: {'model': 'Loading weights took'}"
    )
    assert reader.phase == "import"


def test_eager_mode_is_not_compiling() -> None:
    reader = PhaseReader()
    reader.feed(
        "WARNING 11-25 03:54:56 [vllm.py:1703] Enforce eager set, disabling torch.compile, CUDAGraphs"
    )
    assert reader.phase == "import"


def test_strange_lines_change_nothing() -> None:
    reader = read(real("default-start"))
    before = reader.snapshot()
    for line in ("\x00", "█" * 100_000, "a/b [", "100%|", "%s %d {}", "\ud800"):
        assert not reader.feed(line)
    assert reader.snapshot() == before


def test_it_measures_each_phase() -> None:
    reader = PhaseReader()
    reader.feed("hello", BEGAN)
    reader.feed("Starting to load model x...", BEGAN + timedelta(seconds=8))
    reader.feed("anything", BEGAN + timedelta(seconds=9))
    reader.feed("anything", BEGAN + timedelta(seconds=5))  # the clock was set back
    reader.feed("CPU KV cache size: 65,536 tokens", BEGAN + timedelta(seconds=7))
    assert reader.started["weights"] == BEGAN + timedelta(seconds=8)
    assert reader.snapshot() == {
        "phase": "memory",
        "progress": None,
        "seen": ["import", "weights", "memory"],
        "seconds": {"import": 8.0, "weights": 3.0, "memory": 0.0},
    }
    assert json.loads(json.dumps(reader.snapshot())) == reader.snapshot()


def test_it_hears_how_long_a_phase_took() -> None:
    reader = PhaseReader()
    for line in (
        "Starting to load model x...",
        "(Worker_TP0 pid=1) INFO 11-24 11:43:54 [x.py:1] Loading weights took 142.1 seconds",
        "(Worker_TP1 pid=2) INFO 11-24 11:43:54 [x.py:1] Loading weights took 140.0 seconds",
        "(Worker_TP1 pid=2) INFO 11-24 11:43:54 [x.py:1] Model loading took 2.0513 GiB memory and 27.2 seconds",
        "torch.compile took 39 s in total",
        "Memory profiling results: duration=71.88 seconds, total_gpu_memory=79.15GiB",
        "Graph capturing finished in 37 secs, took 0.45 GiB",
    ):
        reader.feed(line)
    assert reader.told == {"weights": 142.1, "compile": 39.0, "memory": 71.88, "graphs": 37.0}
