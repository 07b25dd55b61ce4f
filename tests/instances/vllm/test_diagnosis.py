from __future__ import annotations

import re

import pytest

from instances.vllm.causes import CAUSES, Cause
from instances.vllm.diagnosis import Diagnosis, diagnose
from tests.instances.vllm.samples import HERE, real, report


def why(
    lines: list[str], *, exit_code: int | None = 1, signal: int | None = None, phase: str = ""
) -> Diagnosis:
    return diagnose(lines, exit_code=exit_code, signal=signal, phase=phase)


@pytest.mark.parametrize("known", CAUSES, ids=lambda known: known.code)
def test_every_cause_is_two_sentences(known: Cause) -> None:
    assert known.cause.endswith(".") and known.advice.endswith(".")
    assert known.patterns


@pytest.mark.parametrize(
    ("name", "exit_code", "code", "cause", "evidence", "final"),
    [
        ("unknown-flag", 2, "unknown-flag", "--no-such-flag", "vllm: error: unrecognized arguments", True),
        (
            "bad-value",
            2,
            "bad-choice",
            "--dtype cannot be 'float13'.",
            "vllm serve: error: argument --dtype",
            True,
        ),
        (
            "model-path-missing",
            1,
            "model-not-found",
            "/srv/models/nope",
            "huggingface_hub.errors.HFVali",
            True,
        ),
        ("port-in-use", 1, "port-in-use", "port is already in use", "OSError: [Errno 98]", False),
        (
            "engine-core-killed",
            0,
            "engine-core-died",
            "does not say why",
            "(APIServer pid=6474) ERROR",
            False,
        ),
        ("illegal-instruction", 0, "cpu-not-supported", "does not know", "Fatal Python error", True),
        (
            "single-process-start",
            0,
            "stopped-from-outside",
            "outside the console",
            "(APIServer pid=32043) INFO",
            False,
        ),
    ],
)
def test_it_explains_real_ends(
    name: str, exit_code: int, code: str, cause: str, evidence: str, final: bool
) -> None:
    found = why(real(name), exit_code=exit_code, phase="import")
    assert (found.code, found.final) == (code, final)
    assert cause in found.cause
    assert found.evidence.startswith(evidence)
    assert found.evidence in real(name)
    assert found.advice


def test_it_names_the_choices() -> None:
    assert "'bfloat16'" in why(real("bad-value"), exit_code=2).advice


@pytest.mark.parametrize(
    ("name", "phase", "code", "cause", "advice"),
    [
        ("out-of-memory-at-weights", "weights", "out-of-memory-weights", "weights", "tensor parallel"),
        ("no-room-for-cache", "memory", "no-room-for-cache", "KV cache", "memory share"),
        ("context-too-long", "memory", "context-too-long", "262,144", "34,736 or less"),
        ("gated-model", "import", "gated-model", "gated", "licence"),
        ("bfloat16-on-turing", "import", "bfloat16-not-supported", "Tesla T4", "float16"),
        ("model-type-unknown", "import", "model-type-unknown", "qwen3_vl", "newer version of the engine"),
        ("shared-memory", "weights", "shared-memory-too-small", "/dev/shm", "--shm-size"),
        ("value-wants-json", "import", "not-json", "--limit-mm-per-prompt", '{"image": 4, "audio": 1}'),
        ("engine-dead-v0", "warm_up", "engine-core-died", "does not say why", "eager mode"),
        ("engine-dead-v1", "warm_up", "engine-core-died", "does not say why", "eager mode"),
        ("illegal-memory-access", "warm_up", "gpu-fault", "illegal memory access", "Xid"),
        ("memory-taken", "import", "memory-held-by-others", "0.8 of the GPU's 4.0 GiB", "0.80 or less"),
        (
            "memory-taken-newer",
            "import",
            "memory-held-by-others",
            "62.3 of the GPU's 79.18 GiB",
            "0.21 or less",
        ),
        ("weights-cut-short", "weights", "weights-damaged", "damaged", "download"),
        ("no-gpu", "import", "no-gpu", "no GPU", "nvidia-smi"),
    ],
)
def test_it_explains_reports_of_gpu_machines(
    name: str, phase: str, code: str, cause: str, advice: str
) -> None:
    found = why(report(name), phase=phase)
    assert found.code == code
    assert cause in found.cause
    assert advice in found.advice
    assert found.evidence in report(name) and found.evidence


def test_it_quotes_the_error_and_not_the_source_line() -> None:
    assert "] ValueError: No available memory" in why(report("no-room-for-cache")).evidence


def test_a_context_without_a_fitting_number_promises_none() -> None:
    line = (
        "ValueError: To serve at least one request with the models's max seq len (1048576), (24.00 GiB KV "
        "cache is needed, which is larger than the available KV cache memory (9.97 GiB). Try increasing"
    )
    found = why([line])
    assert (found.code, found.final) == ("context-too-long", True)
    assert "1,048,576" in found.cause and "9.97 GiB" in found.cause
    assert not re.search(r"\d", found.advice)


def test_the_older_words_for_a_long_context_match_too() -> None:
    line = (
        "ValueError: The model's max seq len (32768) is larger than the maximum number of tokens that can be "
        "stored in KV cache (7344). Try increasing"
    )
    assert "7,344 or less" in why([line]).advice


@pytest.mark.parametrize("name", ["gpu-start-0.6", "gpu-start-0.9", "default-start"])
def test_advice_in_the_words_of_errors_is_no_cause(name: str) -> None:
    lines = real(name) if name == "default-start" else report(name)
    lines = [line for line in lines if "shutdown" not in line]
    assert why(lines, exit_code=3).code == "unknown"


def test_out_of_memory_is_told_by_the_phase() -> None:
    line = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB."
    assert why([line], phase="graphs").code == "out-of-memory-graphs"
    assert why([line], phase="warm_up").code == "out-of-memory"


LINES = HERE / "reports" / "lines.txt"  # "CODE | line"


@pytest.mark.parametrize(("code", "line"), [row.split(" | ", 1) for row in LINES.read_text().splitlines()])
def test_it_knows_the_line(code: str, line: str) -> None:
    found = why([line])
    assert found.code == code
    for sentence in (found.cause, found.advice):
        assert sentence.endswith(".") and not re.search(
            r"  | [.,:]|\(\W*\)|[:.]\.$|\{", sentence.split("JSON")[0]
        )


def test_the_last_line_alone_is_not_the_cause() -> None:
    last = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    assert why(["AssertionError: 151655 is not divisible by 4", last]).code == "does-not-divide"
    assert why([last]).code == "engine-core-died"


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "ERROR 04-09 05:39:54 [core.py:390] ",
        "(EngineCore_0 pid=7) ERROR 04-09 05:39:54 [core.py:390] ",
        "(Worker pid=9) (Worker_TP3 pid=9) ERROR 04-09 05:39:54 [v1/x.py:1] ",
        "(VllmWorker rank=2 pid=9) ERROR 04-09 05:39:54 [x.py:1] ",
        "(RayWorkerWrapper pid=9, ip=10.0.0.5) ERROR 04-09 05:39:54 [x.py:1] ",
        "vllm  | (EngineCore pid=7) ",
        "Aug 18 14:14:59 host python3[28148]: (EngineCore pid=7) ERROR 04-09 05:39:54 [x.py:1] ",
    ],
)
def test_every_prefix_is_seen_through(prefix: str) -> None:
    quoted = (
        prefix
        + '    raise ValueError("Free memory on device (3.22/4.0 GiB) on startup is less than desired GPU '
    )
    line = (
        prefix
        + "ValueError: Free memory on device (3.22/4.0 GiB) on startup is less than desired GPU memory "
        "utilization (0.9, 3.6 GiB). Decrease GPU memory utilization"
    )
    assert why([quoted, line, quoted]).evidence == line
    new = prefix + "ValueError: something new"
    assert why([new, "there was an error"], exit_code=1).evidence == new


def test_source_text_in_a_traceback_is_no_cause() -> None:
    source = (
        '(EngineCore pid=7) ERROR 04-09 05:39:54 [core.py:390]     raise OSError("No space left on device")'
    )
    assert why([source, '    "No space left on device"', "LookupError: real"]).evidence == "LookupError: real"


def test_a_warning_about_a_limit_is_no_cause() -> None:
    lines = [line for line in real("model-path-missing") if "Errno 24" in line]
    assert lines and why(lines).code == "unknown"


def test_an_inner_process_speaks_before_the_one_that_passes_it_on() -> None:
    root = "(EngineCore pid=7) ERROR 04-09 05:39:54 [core.py:390] KeyError: 'layers.0.mlp.new_thing'"
    last = "(APIServer pid=6) RuntimeError: Engine core initialization failed. See root cause above."
    found = why([root, last])
    assert (found.code, found.evidence) == ("engine-core-failed", root)


def test_a_sigkill_without_evidence_is_not_called_out_of_memory() -> None:
    found = why(real("default-start")[:60], exit_code=None, signal=9, phase="weights")
    assert found.code == "killed"
    assert "SIGKILL" in found.cause and "loading weights" in found.cause
    assert found.evidence == "" and not found.final
    assert why([], exit_code=-9).code == "killed"


def test_an_old_complaint_does_not_explain_a_sigkill() -> None:
    old = "OSError: [Errno 28] No space left on device"
    assert why([old] + ["INFO:     fine"] * 100, exit_code=None, signal=9).code == "killed"
    assert why(["INFO:     fine"] * 100 + [old], exit_code=None, signal=9).code == "disk-full"


def test_what_a_start_survived_does_not_explain_its_end() -> None:
    lines = ["OSError: [Errno 28] No space left on device", "INFO:     Application startup complete."]
    assert why(lines, exit_code=7).code == "unknown"


def test_a_client_mistake_is_no_cause() -> None:
    line = (
        "(APIServer pid=1) ERROR 11-25 03:55:49 [serving.py:274] Error with model error=ErrorInfo(message="
        "'The model `nope` does not exist.', type='NotFoundError', param='model', code=404)"
    )
    assert why([line], exit_code=0, phase="warm_up").code == "ended"


@pytest.mark.parametrize(
    ("signal", "word"), [(11, "SIGSEGV"), (6, "SIGABRT"), (7, "SIGBUS"), (35, "signal 35")]
)
def test_a_crash_is_named(signal: int, word: str) -> None:
    found = why([], exit_code=None, signal=signal)
    assert found.code == "crashed" and word in found.cause + found.advice


def test_a_stop_on_request_is_no_failure() -> None:
    found = diagnose(
        real("single-process-start"), exit_code=0, signal=None, phase="warm_up", asked_to_stop=True
    )
    assert (found.code, found.evidence) == ("stopped", "")


def test_an_unknown_end_quotes_the_last_error() -> None:
    lines = ["fine", "ValueError: first", "LookupError: second", "bye"]
    found = why(lines, exit_code=3, phase="compile")
    assert (found.code, found.evidence, found.final) == ("unknown", "LookupError: second", False)
    assert "exit code 3" in found.cause and "compiling" in found.cause


def test_silence_is_called_silence() -> None:
    found = why([], exit_code=1)
    assert found.evidence == "" and "names no error" in found.advice


def test_a_command_line_that_was_not_accepted_is_final() -> None:
    assert why(["something argparse said"], exit_code=2).final


def test_braces_in_a_log_line_do_no_harm() -> None:
    found = why(
        ["vllm serve: error: argument --x: Value {'a': {0}} cannot be converted to <function loads at 0x1>."]
    )
    assert "{'a': {0}}" in found.cause


def test_a_very_long_line_is_cut() -> None:
    assert len(why(["ValueError: " + "x" * 1_000_000]).evidence) == 2_000
