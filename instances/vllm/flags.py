"""What a person may not give to an engine: flags and environment names, with the reason in a sentence.

vLLM reads a flag in many spellings: dashes or underscores, `--a=b`, any unambiguous beginning of the name, and
`--a.b.c value` for one key of a JSON value. Every spelling of a refused flag is refused, the ambiguous ones too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

OURS = "ours alone: "
CODE = "loads code: "
FILES = "opens files: "
ELSEWHERE = "talks to other machines: "

# The flags behind fields of their own, which are checked there (paths, permission, room in memory).
FIELDS = {
    "model": "model",
    "model-tag": "model",
    "dtype": "dtype",
    "max-model-len": "max_model_len",
    "gpu-memory-utilization": "gpu_memory_utilization",
    "device-memory-utilization": "gpu_memory_utilization",
    "tensor-parallel-size": "tensor_parallel_size",
    "quantization": "quantization",
    "trust-remote-code": "trust_remote_code",
    "device-ids": "gpus",
}

REFUSED: dict[str, str] = {
    # What the console sets itself
    "host": OURS + "engines listen on 127.0.0.1 only",
    "port": OURS + "use the field port",
    "grpc": OURS + "engines listen on one port",
    "grpc-port": OURS + "engines listen on one port",
    "uds": OURS + "engines listen on a port",
    "api-key": OURS + "each launch has its own key",
    "ssl-keyfile": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "ssl-certfile": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "ssl-ca-certs": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "ssl-cert-reqs": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "ssl-ciphers": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "enable-ssl-refresh": OURS + "engines listen on 127.0.0.1 only, without TLS",
    "root-path": OURS + "clients come through the console's address",
    "allowed-origins": OURS + "browsers come through the console's address",
    "served-model-name": OURS + "use the field served_name",
    "download-dir": OURS + "models are kept in the model folders",
    "hf-token": OURS + "a token would stand in the process list; start the console with HF_TOKEN set",
    # What runs somebody's code
    "middleware": CODE + "it imports a Python object by name",
    "tool-parser-plugin": CODE + "it imports a Python file",
    "reasoning-parser-plugin": CODE + "it imports a Python file",
    "io-processor-plugin": CODE + "it imports a plug-in",
    "logits-processors": CODE + "it imports a Python class by name",
    "logits-processor-pattern": CODE + "requests may then name Python classes",
    "worker-cls": CODE + "it imports a Python class by name",
    "worker-extension-cls": CODE + "it imports a Python class by name",
    "scheduler-cls": CODE + "it imports a Python class by name",
    "model-class-overrides": CODE + "it imports a Python class by name",
    "model-loader-extra-config": CODE + "it reaches into the loader of the weights",
    "kv-transfer-config": CODE + "it imports a connector, and talks to other machines",
    "ec-transfer-config": CODE + "it imports a connector, and talks to other machines",
    "ec-manager-config": CODE + "it imports a Python class by name",
    "weight-transfer-config": CODE + "it lets others replace the weights",
    "additional-config": CODE + "it is handed to plug-ins unchecked",
    "log-config-file": CODE + "a logging configuration names Python classes",
    "logging-config": CODE + "a logging configuration names Python classes",
    # What reads or writes files
    "config": FILES + "it brings further flags from a file; give them here",
    "allowed-local-media-path": FILES + "requests could then read this machine's files",
    "profiler-config": FILES + "profiles are written wherever it says",
    "mm-encoder-fp8-scale-save-path": FILES + "it writes wherever it says",
    # What reaches other machines, or makes this one reachable
    "tool-server": ELSEWHERE + "tools would run there",
    "kv-events-config": ELSEWHERE + "it publishes events on a socket",
    "otlp-traces-endpoint": ELSEWHERE + "it sends traces",
    "master-addr": ELSEWHERE + "an engine stays on this host",
    "master-port": ELSEWHERE + "an engine stays on this host",
    "nnodes": ELSEWHERE + "an engine stays on this host",
    "node-rank": ELSEWHERE + "an engine stays on this host",
    "headless": ELSEWHERE + "it serves no requests here",
    "ray-workers-use-nsight": ELSEWHERE + "Ray is not used here",
    "worker-use-ray": ELSEWHERE + "Ray is not used here",
    "engine-use-ray": ELSEWHERE + "Ray is not used here",
    "data-parallel-address": ELSEWHERE + "an engine stays on this host",
    "data-parallel-rpc-port": ELSEWHERE + "an engine stays on this host",
    "data-parallel-backend": ELSEWHERE + "Ray is not used here",
    "data-parallel-start-rank": ELSEWHERE + "an engine stays on this host",
    "data-parallel-supervisor-port": ELSEWHERE + "engines listen on one port",
    "data-parallel-multi-port-external-lb": ELSEWHERE + "engines listen on one port",
    "data-parallel-external-lb": ELSEWHERE + "an engine stays on this host",
    "data-parallel-hybrid-lb": ELSEWHERE + "an engine stays on this host",
}

# Whole names of harmless flags that a refused name begins with.
WHOLE = {"data-parallel-rank", "data-parallel-size", "data-parallel-size-local"}

SHORT = {
    "asc": "api-server-count", "ac": "attention-config", "cc": "compilation-config", "dc": "diffusion-config",
    "dcp": "decode-context-parallel-size", "dp": "data-parallel-size", "dpa": "data-parallel-address",
    "dpb": "data-parallel-backend", "dpe": "data-parallel-external-lb", "dph": "data-parallel-hybrid-lb",
    "dpl": "data-parallel-size-local", "dpm": "data-parallel-multi-port-external-lb", "dpn": "data-parallel-rank",
    "dpp": "data-parallel-rpc-port", "dpr": "data-parallel-start-rank", "ep": "enable-expert-parallel",
    "n": "nnodes", "O": "optimization-level", "pcp": "prefill-context-parallel-size",
    "pp": "pipeline-parallel-size", "q": "quantization", "r": "node-rank", "sc": "speculative-config",
    "tp": "tensor-parallel-size",
}  # fmt: skip

EXECUTORS = ("mp", "uni")  # another value is Ray, or the name of a Python class

# Keys inside JSON values that import Python objects by name, or write files.
NESTED: dict[str, dict[str, str]] = {
    "compilation-config": {
        "inductor_passes": CODE + "it imports Python functions by name",
        "debug_dump_path": FILES + "it writes wherever it says",
        "cache_dir": FILES + "it writes wherever it says",
    },
    "structured-outputs-config": {"reasoning_parser_plugin": CODE + "it imports a Python file"},
}
COMPILERS = ("", "inductor", "eager")  # another compilation backend is the name of a Python object

# hf-overrides changes any key of the model's configuration; people need these, with plain values.
OVERRIDES = ("rope_scaling", "rope_parameters", "rope_theta", "max_position_embeddings")
PLAIN_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?:\.[\w.-]+)?\+?")
NUMBER = re.compile(r"-\d+(?:\.\d+)?")


def canonical_flag(name: str) -> str:
    """The long name, without leading dashes and with dashes inside; what follows a dot stays as it is."""
    base, dot, keys = name.strip().lstrip("-").partition(".")
    base = SHORT.get(base, base).replace("_", "-").lower()
    return base + dot + keys


def refused_flag(name: str, value: Any = True) -> str | None:
    """Why this flag may not be given, as a sentence; None when it may."""
    given = canonical_flag(name.partition("=")[0])
    base, _, keys = given.partition(".")
    base = base.rstrip("+").strip()
    positive = base.removeprefix("no-")
    for candidate in (base, positive):
        if reason := _named(candidate):
            return reason
    if "=" in name:
        return "Give the flag's name and its value apart."
    if name != name.strip() or not NAME.fullmatch(given):
        return "This is not the name of a flag."
    if keys:
        return _refused_value(base, _nested(keys.rstrip("+"), value)) or _as_argument(value)
    return _refused_value(base, value) or _as_argument(value)


def _named(base: str) -> str | None:
    """The reason for a name or a beginning of one, as argparse would complete it."""
    first = base.split()[0] if base.split() else base  # "seed\n--host" is judged below; "host\n" here
    if not first or first in WHOLE:
        return None
    for refused, reason in REFUSED.items():
        if refused == first or (refused.startswith(first) and not _is_whole(first)):
            return f"{refused} is {reason}." if reason.startswith(OURS) else f"{refused} {reason}."
    for flag, field in FIELDS.items():
        if flag == first or (flag.startswith(first) and not _is_whole(first)):
            return f"{flag} has a field of its own: {field}."
    return None


def _is_whole(name: str) -> bool:
    return name in WHOLE or name in FIELDS or name in REFUSED or name == "hf-overrides"


def _nested(keys: str, value: Any) -> Any:
    """`a.b` and 1 as {"a": {"b": 1}}, as vLLM reads dotted flags."""
    for key in reversed(keys.split(".")):
        value = {key: _parsed(value)}
    return value


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _refused_value(base: str, value: Any) -> str | None:
    if base.startswith("hf-o") and "hf-overrides".startswith(base):
        return _refused_override(_parsed(value))
    if base.startswith("distributed-e") and value not in EXECUTORS:
        return f"distributed-executor-backend may be {' or '.join(EXECUTORS)}; others run elsewhere or load code."
    for flag, keys in NESTED.items():
        if not (base == flag or flag.startswith(base)):
            continue
        config = _parsed(value)
        if not isinstance(config, Mapping):
            continue
        for key in config:
            if reason := keys.get(str(key).replace("-", "_")):
                return f"{flag}.{key} {reason}."
        if flag == "compilation-config" and config.get("backend", "") not in COMPILERS:
            return "compilation-config.backend loads code: it imports a Python object by name."
    return None


def _refused_override(overrides: Any) -> str | None:
    allowed = ", ".join(OVERRIDES)
    if not isinstance(overrides, Mapping):
        return f"hf-overrides must be a JSON object with some of these keys: {allowed}."
    for key, value in overrides.items():
        if key not in OVERRIDES:
            return f"hf-overrides may not change {key}; only {allowed}."
        inner = value.values() if isinstance(value, Mapping) else [value]
        if not all(_is_plain(one) for one in inner):
            return f"hf-overrides.{key} must hold plain numbers and words."
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return bool(PLAIN_WORD.fullmatch(value))
    if isinstance(value, list):
        return all(isinstance(one, int | float) for one in value)
    return value is None or isinstance(value, int | float)


def _as_argument(value: Any) -> str | None:
    """A value that would be read as another flag when it stands alone on the command line."""
    values = value if isinstance(value, list | tuple) else [value]
    for one in values:
        if isinstance(one, str) and "\0" in one:
            return "A value cannot hold a NUL character."
        if isinstance(value, list | tuple) and isinstance(one, str) and one.startswith("-") and not NUMBER.fullmatch(one):
            return "A value in a list cannot begin with a dash: it would be read as a flag."
    return None
