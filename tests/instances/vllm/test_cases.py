"""The failures F01 to F12 that people reported, in every dress that a log comes in, and variants of their kind."""

from __future__ import annotations

from typing import Any

import pytest

from instances.vllm.diagnosis import Diagnosis, diagnose
from instances.vllm.phases import PhaseReader
from tests.instances.vllm.samples import report

CASES: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "F01": ("out-of-memory-at-weights", "out-of-memory-weights", None),
    "F02": ("no-room-for-cache", "no-room-for-cache", None),
    "F03": ("context-too-long", "context-too-long", {"max_model_len": 34688}),
    "F04": ("gated-model", "gated-model", None),
    "F05": ("bfloat16-on-turing", "bfloat16-not-supported", {"dtype": "float16"}),
    "F06": ("model-type-unknown", "model-type-unknown", None),
    "F07": ("shared-memory", "shared-memory-too-small", None),
    "F08": (
        "value-wants-json",
        "not-json",
        {"args": {"limit-mm-per-prompt": {"image": 4, "audio": 1}}},
    ),
    "F09, V0": ("engine-dead-v0", "engine-core-died", None),
    "F09, V1": ("engine-dead-v1", "engine-core-died", None),
    "F09, with its cause": ("illegal-memory-access", "gpu-fault", None),
    "F10": ("memory-taken", "memory-held-by-others", {"gpu_memory_utilization": 0.8}),
    "F10, newer": ("memory-taken-newer", "memory-held-by-others", {"gpu_memory_utilization": 0.21}),
    "F11": ("weights-cut-short", "weights-damaged", None),
    "F12": ("no-gpu", "no-gpu", None),
}
DRESSES = {
    "bare": "{}",
    "our own store": "2026-11-25T03:54:48.123Z {}",
    "docker compose": "vllm  | {}",
    "docker with stamps": "2025-06-06T09:52:01.729123456Z {}",
    "Kubernetes": "2025-06-06T09:52:01.729123456Z stderr F {}",
    "journald": "Aug 18 14:14:59 host python3[28148]: {}",
    "journald, ISO": "2025-08-18T14:14:59+0200 host vllm[28148]: {}",
    "kubectl": "[pod/vllm-0/vllm] {}",
    "Ray": "(RayWorkerWrapper pid=9, ip=10.0.0.5) {}",
    "an engine core": "(EngineCore_DP0 pid=374) {}",
    "a worker of a worker": "(Worker pid=9) (Worker_TP3 pid=9) {}",
    "torch": "[rank0]: {}",
    "a newer logger": "(EngineCore pid=7) ERROR 2027-01-02 03:04:05.678 [v1/engine/core.py:1330] {}",
    "carriage returns": "{}\r\n",
}


def why(lines: list[str], phase: str = "", **given: Any) -> Diagnosis:
    return diagnose(lines, exit_code=given.pop("exit_code", 1), signal=None, phase=phase, **given)


def phase_of(lines: list[str]) -> str:
    reader = PhaseReader()
    for line in lines:
        reader.feed(line)
    return reader.phase


@pytest.mark.parametrize("dress", DRESSES.values(), ids=DRESSES)
@pytest.mark.parametrize("case", CASES)
def test_a_case_is_known_in_every_dress(case: str, dress: str) -> None:
    name, code, change = CASES[case]
    lines = [dress.format(line) for line in report(name)]
    found = why(lines, phase_of(report(name)))
    assert (found.code, found.change) == (code, change)
    assert found.line is not None
    assert found.evidence == lines[found.line].rstrip("\r\n")


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_known_after_pages_of_other_lines(case: str) -> None:
    name, code, _ = CASES[case]
    usage = ["usage: vllm serve [model_tag] [options]", *[f"  --flag-{n} [VALUE ...]" for n in range(600)]]
    health = ['INFO:     10.0.0.2:1 - "GET /nothing HTTP/1.1" 404 Not Found'] * 300
    assert why([*usage, *report(name), *health], phase_of(report(name))).code == code


@pytest.mark.parametrize("case", CASES)
def test_ranks_that_speak_at_once_do_not_hide_it(case: str) -> None:
    name, code, change = CASES[case]
    lines = [line for line in report(name) for _ in range(4)]
    found = why(lines, phase_of(report(name)))
    assert (found.code, found.change) == (code, change)


@pytest.mark.parametrize(
    ("line", "change"),
    [
        (
            "max seq len (8192), (1.5 GiB KV cache is needed, which is larger than the available KV cache memory "
            "(0.1 GiB). Based on the available memory, the estimated maximum model length is 48. Try",
            {"max_model_len": 48},
        ),
        (
            "The model's max seq len (32768) is larger than the maximum number of tokens that can be stored in "
            "KV cache (7344). Try increasing",
            {"max_model_len": 7296},
        ),
        (
            "Free memory on device cuda:0 (1.2/79.18 GiB) on startup is less than desired GPU memory utilization "
            "(0.9, 71.3 GiB).",
            None,
        ),
        (
            "Total number of attention heads (14) must be divisible by tensor parallel size (4).",
            {"tensor_parallel_size": 2},
        ),
        (
            "Total number of attention heads (40) must be divisible by tensor parallel size (6).",
            {"tensor_parallel_size": 5},
        ),
        ("AssertionError: 151936 is not divisible by 6", {"tensor_parallel_size": 4}),
        ("AssertionError: 1856 is not divisible by 128", None),
        (
            "World size (8) is larger than the number of available GPUs (3) in this node.",
            {"tensor_parallel_size": 2},
        ),
        (
            "Tensor parallel size (4) cannot be larger than the number of available GPUs (1).",
            {"tensor_parallel_size": 1},
        ),
        (
            "vllm: error: unrecognized arguments: --swap_space 4 --dtypo half",
            {"args": {"swap-space": None, "dtypo": None}},
        ),
        ("vllm: error: unrecognized arguments: 3", None),
        (
            "vllm: error: argument --mm-processor-kwargs: invalid loads value: \"{'num_crops': 4}\"",
            {"args": {"mm-processor-kwargs": {"num_crops": 4}}},
        ),
        ("vllm: error: argument --x: Value nonsense cannot be converted to <function loads at 0x1>.", None),
        ("OSError: [Errno 98] Address already in use", {"port": None}),
        (
            "Please pass the argument `trust_remote_code=True` to allow custom code to be run.",
            {"trust_remote_code": True},
        ),
        (
            "ValueError: Quantization method specified in the model config (awq) does not match the quantization "
            "method specified in the `quantization` argument (gptq).",
            {"quantization": None},
        ),
        (
            "User-specified max_model_len (99999) is greater than the derived max_model_len "
            "(max_position_embeddings=32768.0 or model_max_length=None in model's config.json).",
            {"max_model_len": 32768},
        ),
        ("LoRA rank 24 is greater than max_lora_rank 16.", {"args": {"max-lora-rank": 32}}),
        (
            "ValueError: torch.bfloat16 is not supported for quantization method awq. "
            "Supported dtypes: [torch.float16]",
            {"dtype": "float16"},
        ),
        ("ValueError: The model type 'gemma3' does not support float16. Reason: Unstable.", {"dtype": None}),
        (
            "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests.",
            {"args": {"max-num-seqs": 128}},
        ),
        (
            "ValueError: Available memory on node 0 (3.2/15.6 GiB) on kv cache allocation is less than requested "
            "memory for kv (8.0 GiB).",
            {"args": {"kv-cache-memory-bytes": "2G"}},
        ),
    ],
)
def test_it_says_what_to_change_in_the_configuration(line: str, change: dict[str, Any] | None) -> None:
    assert why([line]).change == change


OUT = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.mark.parametrize(
    ("functions", "phase", "code"),
    [
        (["load_model", "create_weights"], "memory", "out-of-memory-weights"),
        (["compile_or_warm_up_model", "capture_model", "_dummy_run"], "memory", "out-of-memory-graphs"),
        (["determine_available_memory", "profile_run", "_dummy_run"], "weights", "out-of-memory-profiling"),
        (["initialize_from_config", "initialize_kv_cache"], "weights", "out-of-memory-cache"),
        (["run_busy_loop", "step", "execute_model"], "running", "out-of-memory-serving"),
        ([], "graphs", "out-of-memory-graphs"),
        ([], "running", "out-of-memory-serving"),
    ],
)
def test_the_traceback_tells_where_gpu_memory_ran_out(functions: list[str], phase: str, code: str) -> None:
    frames = [f'ERROR 11-25 03:00:00 [core.py:1]   File "/x.py", line 1, in {name}' for name in functions]
    lines = ["ERROR 11-25 03:00:00 [core.py:1] Traceback (most recent call last):", *frames]
    assert why([*lines, f"ERROR 11-25 03:00:00 [core.py:1] {OUT}"], phase).code == code


def test_another_ranks_traceback_does_not_tell_it() -> None:
    lines = [
        '(Worker_TP1 pid=2) ERROR 11-25 03:00:00 [x.py:1]   File "/x.py", line 1, in capture_model',
        f"(Worker_TP0 pid=1) ERROR 11-25 03:00:00 [x.py:1] {OUT}",
    ]
    assert why(lines, "weights").code == "out-of-memory-weights"


def test_each_place_has_its_own_advice() -> None:
    weights, graphs, serving = (why([OUT], phase) for phase in ("weights", "graphs", "running"))
    assert "neither a lower memory share nor a shorter context" in weights.advice
    assert graphs.change == {"args": {"enforce-eager": True}} and "eager" in graphs.advice
    assert weights.change is None and "memory share" in serving.advice


def test_what_others_hold_is_told_apart_from_what_it_took_itself() -> None:
    others = (
        f"{OUT} GPU 0 has a total capacity of 79.10 GiB of which 8.00 MiB is free. Process 4711 has 60.00 GiB "
        "memory in use. Including non-PyTorch memory, this process has 19.00 GiB memory in use."
    )
    assert "another process holds 60.00 of the 79.10 GiB" in why([others], "weights").cause


def test_a_gated_models_page_is_named() -> None:
    url = "Cannot access gated repo for url https://huggingface.co/api/models/meta-llama/Llama-2-7b-hf."
    for lines in (report("gated-model"), [url]):
        assert "https://huggingface.co/meta-llama/Llama-2-7b-hf" in why(lines).advice


def test_a_token_without_access_is_another_thing_than_no_token() -> None:
    line = "Access to model meta-llama/x is restricted and you are not in the authorized list. Visit https://"
    assert "has not been given access" in why([line]).cause


def test_a_capability_is_read_in_both_spellings() -> None:
    for has in ("75", "DeviceCapability(major=7, minor=5)"):
        line = (
            "The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. "
            f"Current capability: {has}."
        )
        assert "needs a GPU of compute capability 8.9, and this one has 7.5" in why([line]).cause


def test_a_disk_that_is_full_and_shared_memory_are_told_apart() -> None:
    assert (
        why(["OSError: [Errno 28] No space left on device: '/data/x'"]).cause == "The disk is full: /data/x."
    )
    assert (
        why(["OSError: [Errno 28] No space left on device: '/dev/shm/x'"]).code == "shared-memory-too-small"
    )


def test_ncclerror_alone_is_not_certain() -> None:
    found = why(["RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)"])
    assert "does not say why" in found.cause and "/dev/shm" in found.advice


def test_a_gpu_that_crashed_explains_the_nccl_errors_of_the_others() -> None:
    lines = ["torch.AcceleratorError: CUDA error: an illegal memory access was encountered"]
    lines += ["torch.distributed.DistBackendError: NCCL error in: x.cpp:1, remote process exited"] * 3
    assert why(lines, "running").code == "gpu-fault"


@pytest.mark.parametrize(
    "status", ["401 Unauthorized", "403 Forbidden", "429 Too Many Requests", "502 Bad Gateway"]
)
def test_what_the_engine_answers_its_clients_is_not_the_hubs_word(status: str) -> None:
    lines = [f'10.0.0.2:1 - "GET /v1/models HTTP/1.1" {status}', "KeyError: 'x'"]
    assert why(lines).code == "unknown"


def test_what_the_start_went_on_after_is_not_its_cause() -> None:
    lines = [
        "ERROR 10-25 13:08:43 [a.py:1] ImportError: cannot import name 'foo' from 'bar'",
        "PermissionError: [Errno 13] Permission denied: '/root/.cache'",
        "INFO 10-25 13:08:50 [x.py:1] Starting to load model x...",
        "(EngineCore pid=1) ERROR 10-25 13:09:00 [core.py:1] KeyError: 'layers.0.w'",
        "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.",
    ]
    assert why(lines).code == "engine-core-failed"
    assert why(lines[:2]).code == "permission-denied"
    assert why(lines[:1]).code == "packages-do-not-fit"


def test_an_engine_of_version_0_7_says_its_error_as_python_writes_it() -> None:
    inner = "ERROR 02-25 11:11:33 engine.py:139] AssertionError('expected running sequences')"
    found = why([inner, *report("engine-dead-v0")])
    assert (found.code, found.evidence) == ("engine-core-failed", inner)


def test_of_several_words_for_one_failure_the_telling_one_is_quoted() -> None:
    full = f"{OUT} GPU 0 has a total capacity of 14.62 GiB of which 3 MiB is free. Including non-PyTorch memory, "
    full += "this process has 14.61 GiB memory in use."
    ray = "ray.exceptions.RayTaskError(OutOfMemoryError): ray::RayWorkerWrapper.execute_method()"
    assert why([full, ray], "weights").evidence == full
