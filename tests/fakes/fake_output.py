"""What the fake engine prints: real lines of vLLM 0.32, phase by phase."""

from __future__ import annotations

import os
import time

SHARDS = 2

BANNER = (
    "\r",
    "       █     █     █▄   ▄█\r",
    " ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0\r",
    "  █▄█▀ █     █     █     █  model   {model}\r",
    "   ▀▀  ▀▀▀▀▀ ▀▀▀▀▀ ▀     ▀\r",
    "",
)

MISSING_MODEL = """\
Traceback (most recent call last):
  File "/opt/engine/bin/vllm", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/opt/engine/lib/python3.11/site-packages/vllm/transformers_utils/repo_utils.py", line 301, in get_model_path
    return hf_api().snapshot_download(
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/engine/lib/python3.11/site-packages/huggingface_hub/utils/_validators.py", line 133, in validate_repo_id
    raise HFValidationError(
huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': \
'{model}'. Use `repo_type` argument if needed.
"""

PORT_IN_USE = """\
Traceback (most recent call last):
  File "/opt/engine/lib/python3.11/site-packages/vllm/entrypoints/launchers/launcher.py", line 348, in create_server_socket
    sock.bind(addr)
OSError: [Errno 98] Address already in use
"""  # noqa: E501

IMPORTED = (
    ("INFO", "model.py:733", "Resolved architecture: Qwen2ForCausalLM"),
    ("INFO", "model.py:2152", "Using max model len {context}"),
    ("WARNING", "cpu.py:224", "Triton is not installed. triton-cpu is expected on x86 CPUs."),
)

# Phase -> lines of the inner process: "LEVEL place text", or a progress bar as it stands.
INNER: dict[str, tuple[str, ...]] = {
    "download": tuple(
        f"\rFetching 4 files: {25 * n:3}%|{'█' * n}{' ' * (4 - n)}| {n}/4 [00:00<00:00, 9.81it/s]"
        for n in range(5)
    ),
    "weights": (
        "INFO cpu_model_runner.py:68 Starting to load model {model}...",
        "INFO base_loader.py:82 Initializing model took 0.080783 seconds",
        *(
            f"\rLoading safetensors checkpoint shards: {100 * n // SHARDS:3}% Completed | {n}/{SHARDS} "
            "[00:00<00:00, 225.42it/s]\n"
            for n in range(SHARDS + 1)
        ),
        "INFO default_loader.py:501 Loading weights took 0.01 seconds",
    ),
    "compile": (
        "INFO cpu_model_runner.py:87 Warming up model for the compilation...",
        "INFO monitor.py:91 [backbone] Initial profiling/warmup run took 0.02 s",
        "INFO cpu_model_runner.py:91 Warming up done.",
    ),
    "memory": (
        "INFO cpu_worker.py:260 Explicitly set (0.06/10.96) GiB for KV cache on node 0.",
        "INFO kv_cache_utils.py:2327 CPU KV cache size: 65,536 tokens, "
        "Maximum concurrency for {context} tokens per request: 128.00x",
    ),
    "graphs": (
        *(
            f"\rCapturing CUDA graphs (mixed prefill-decode, PIECEWISE): {25 * n:3}%"
            f"|{'█' * n}{' ' * (4 - n)}| {n}/4 [00:00<00:00, 33.44it/s]"
            for n in range(5)
        ),
        "INFO gpu_model_runner.py:4245 Graph capturing finished in 3 secs, took 0.71 GiB",
    ),
    "warm_up": ("INFO core.py:402 init engine (profile, create kv cache, warmup model) took 0.02 s",),
}


def write(text: str | bytes) -> None:
    """Everything at once to standard output, without a buffer; a reader that has gone is no reason to end."""
    data = text.encode() if isinstance(text, str) else text
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        pass


def log(level: str, place: str, text: str, *, process: str = "APIServer", pid: int | None = None) -> None:
    now = time.strftime("%m-%d %H:%M:%S")
    write(f"({process} pid={pid or os.getpid()}) {level} {now} [{place}] {text}\n")


def log_end_of_core() -> None:
    """What the API server says when its inner process is suddenly gone."""
    log(
        "WARNING",
        "core_client.py:817",
        "[shutdown] MPClient: engine core exited unexpectedly; starting cleanup",
    )
    log("INFO", "core_client.py:777", "[shutdown] MPClient: complete")
    log("ERROR", "async_llm.py:906", "AsyncLLM output_handler failed.")
    log("ERROR", "async_llm.py:906", "Traceback (most recent call last):")
    log("ERROR", "async_llm.py:906", "    outputs = await engine_core.get_output_async()")
    log(
        "ERROR",
        "async_llm.py:906",
        "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. "
        "See stack trace (above) for the root cause.",
    )


def flood(megabytes: int) -> None:
    """So many megabytes of lines, as fast as they are read."""
    line = "(EngineCore pid=1) INFO 11-25 03:54:48 [flood.py:1] " + "x" * 64 + " {:012d}\n"
    for block in range(megabytes):
        write("".join(line.format(block * 8000 + number) for number in range(8000)))
