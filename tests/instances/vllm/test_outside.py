from __future__ import annotations

import pytest

from instances.vllm.diagnosis import NOTHING, Diagnosis, Outside, diagnose, stalled

OOM = "Out of memory: Killed process 4711 (VLLM::EngineCor) total-vm:9kB, anon-rss:8kB"
DEAD = (
    "(APIServer pid=6) ERROR 11-25 04:06:31 [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: "
    "EngineCore encountered an issue. See stack trace (above) for the root cause."
)


def why(
    lines: list[str], outside: Outside, signal: int | None = None, exit_code: int | None = None
) -> Diagnosis:
    return diagnose(lines, exit_code=exit_code, signal=signal, phase="weights", outside=outside)


def test_the_kernels_word_explains_a_kill() -> None:
    found = why([], Outside(1, ("other", OOM)), signal=9)
    assert found.code == "killed-for-memory"
    assert found.cause == "The kernel ended the engine because the machine's memory ran out."
    assert found.evidence == OOM and not found.final and found.line is None


def test_the_kernels_count_explains_a_kill() -> None:
    found = why([], Outside(oom_kills=2), signal=9)
    assert found.code == "killed-for-memory" and "rose by 2" in found.evidence


def test_without_either_memory_is_never_blamed() -> None:
    for lines in ([], ["torch is out of memory, perhaps"], [DEAD]):
        for signal in (9, None):
            found = why(lines, NOTHING, signal, exit_code=0)
            assert "memory ran out" not in found.cause


def test_the_kernels_word_explains_an_engine_core_that_died_without_one() -> None:
    assert why([DEAD], Outside(1, (OOM,)), exit_code=0).code == "killed-for-memory"
    assert why([DEAD], NOTHING, exit_code=0).code == "engine-core-died"


def test_what_the_log_proves_stands_before_the_kernels_count() -> None:
    line = "ValueError: No available memory for the cache blocks. Try increasing"
    assert why([line], Outside(oom_kills=1), exit_code=1).code == "no-room-for-cache"


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (79, "gpu-hardware", "fallen off the bus"),
        (48, "gpu-hardware", "ECC"),
        (94, "gpu-hardware", "ECC"),
        (95, "gpu-hardware", "ECC"),
        (74, "gpu-hardware", "NVLink"),
        (119, "gpu-hardware", "GSP"),
        (120, "gpu-hardware", "GSP"),
        (31, "gpu-fault", "not its own"),
        (13, "gpu-fault", "error"),
        (43, "gpu-fault", "stopped answering"),
        (45, "gpu-fault", "earlier error"),
        (999, "gpu-fault", "list of Xid"),
    ],
)
def test_an_xid_is_told_with_its_number(number: int, code: str, word: str) -> None:
    line = f"NVRM: Xid (PCI:0000:09:00): {number}, pid=4711, name=VLLM::Worker"
    found = why([DEAD], Outside(kernel=(line,)), exit_code=0)
    assert (found.code, found.evidence) == (code, line)
    assert f"Xid {number}" in found.cause and word in found.cause and "PCI:0000:09:00" in found.cause


def test_an_error_of_the_hardware_stands_before_its_consequences() -> None:
    lines = tuple(f"NVRM: Xid (PCI:0000:09:00): {number}, pid=1" for number in (45, 79, 45))
    assert "Xid 79" in why([], Outside(kernel=lines), signal=6).cause


def test_an_xid_does_not_explain_what_the_log_explains() -> None:
    line = "NVRM: Xid (PCI:0000:09:00): 31, pid=1"
    crash = "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"
    port = "OSError: [Errno 98] Address already in use"
    assert why([crash], Outside(kernel=(line,)), exit_code=1).evidence == line
    assert why([port], Outside(kernel=(line,)), exit_code=1).code == "port-in-use"


@pytest.mark.parametrize(
    ("exit_text", "code", "word"),
    [
        ("Failed core proc(s): {'EngineCore_DP0': -9}", "killed", "The engine's inner process was killed"),
        ("Worker proc VllmWorker-0 died unexpectedly (exit code: -11), shutting down", "crashed", "SIGSEGV"),
        ("Failed core proc(s): {'EngineCore_DP0': 1}", "engine-core-died", "does not say why"),
        ("Failed core proc(s): {}", "engine-core-died", "does not say why"),
    ],
)
def test_how_the_inner_process_ended_is_read(exit_text: str, code: str, word: str) -> None:
    line = f"RuntimeError: Engine core initialization failed. See root cause above. {exit_text}"
    found = why([line], NOTHING, exit_code=1)
    assert found.code == code and word in found.cause and found.evidence == line


@pytest.mark.parametrize(
    ("phase", "words", "hint"),
    [
        ("weights", "for 10 minutes while loading weights", "NFS"),
        ("download", "while downloading the model", "network"),
        ("compile", "while compiling the model", "eager"),
        ("graphs", "while capturing CUDA graphs", "eager"),
        ("", "for 10 minutes.", "last lines"),
    ],
)
def test_a_start_that_stalls_has_a_hint_for_its_phase(phase: str, words: str, hint: str) -> None:
    found = stalled(["first", "the last thing it said", "", "  "], phase=phase, seconds=630.0)
    assert found.code == "stalled" and not found.final
    assert words in found.cause and hint in found.advice
    assert (found.evidence, found.line) == ("the last thing it said", 1)


def test_several_gpus_that_wait_for_each_other_are_told() -> None:
    line = "INFO 01-01 00:00:00 [shm_broadcast.py:501] No available shared memory broadcast block found in 60 seconds."
    found = stalled([line], phase="memory", seconds=600)
    assert "NCCL_P2P_DISABLE=1" in found.advice
    assert found.change == {"env": {"NCCL_P2P_DISABLE": "1"}}
    assert "NCCL" not in stalled([line], phase="weights", seconds=600).advice


def test_a_start_that_said_nothing_can_stall_too() -> None:
    found = stalled([], phase="import", seconds=45)
    assert (found.evidence, found.line) == ("", None) and "45 seconds" in found.cause
