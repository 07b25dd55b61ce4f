"""What the engine was doing when an error struck: by its traceback, or else by the phase of its start."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instances.vllm.lines import LogLine

SERVING = "serving"
READY = "Application startup complete"  # uvicorn's line: whatever was complained about before, it survived
AT_WORK = re.compile(r'Avg (?:prompt|generation) throughput|"(?:POST|GET) /(?:v1|health|metrics)')
FRAME = re.compile(r'^ {2}File "[^"]*", line \d+, in (\w+)')
DOING = re.compile(r"while processing method (\w+)")  # vLLM 0.4 to 0.8 say it in words
BEFORE, AFTER = 120, 8  # lines around an error in which its traceback is looked for

# The first that has a function among the frames: capturing graphs also runs a dummy batch.
FUNCTIONS = (
    ("graphs", {"capture_model", "capture", "_capture_cudagraphs", "capture_graphs", "capture_graph"}),
    (
        "cache",
        {"initialize_kv_cache", "allocate_kv_cache", "_allocate_kv_cache_tensors", "_allocate_kv_cache"},
    ),
    (
        "memory",
        {"determine_available_memory", "determine_num_available_blocks", "profile_run", "_dummy_sampler_run"},
    ),
    ("memory", {"_dummy_run", "kernel_warmup", "compile_or_warm_up_model"}),
    ("weights", {"load_model", "load_weights", "initialize_model", "create_weights"}),
    ("weights", {"process_weights_after_loading"}),
    (SERVING, {"execute_model", "step", "run_busy_loop"}),
)


def stage_of(lines: Sequence[LogLine], at: int, phase: str) -> str:
    """Where the error on `lines[at]` struck. `lines` are all of them, in order."""
    error = lines[at]
    seen = set()
    for line in reversed(lines[max(0, at - BEFORE) : at]):
        if line.origin != error.origin:
            continue
        if line.message.startswith("Traceback (most recent"):
            break
        if frame := FRAME.match(line.message):
            seen.add(frame[1])
    if not seen:
        words = (DOING.search(line.message) for line in lines[at : at + AFTER])
        seen = {match[1] for match in words if match}
    for stage, functions in FUNCTIONS:
        if seen & functions:
            return stage if stage != SERVING or phase == SERVING else phase
    return phase
