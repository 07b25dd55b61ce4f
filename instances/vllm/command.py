"""From an instance's configuration to the command line and the environment of its engine."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instances.vllm.flags import canonical_flag, refused_env, refused_flag
from instances.vllm.schema import shipped

CPU_CACHE = "1G"  # of RAM for the KV cache, where nobody chose
OUR_CALLS = "/health,/metrics"  # asked every few seconds by us: no line of its log each
QUIET_FLAG = "disable-access-log-for-endpoints"
QUIET_SINCE = (0, 32)  # the first version that we have seen to know the flag

FIELD_FLAGS = {
    "dtype": "dtype",
    "max_model_len": "max-model-len",
    "gpu_memory_utilization": "gpu-memory-utilization",
    "tensor_parallel_size": "tensor-parallel-size",
    "quantization": "quantization",
    "trust_remote_code": "trust-remote-code",
}

# What an engine may know of the operator's own environment.
INHERITED = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "XDG_CACHE_HOME"),
        *("LD_LIBRARY_PATH", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_CACHE"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    )
)
INHERITED_PREFIXES = ("LC_", "HF_", "CUDA_", "NVIDIA_")

PLUGIN = Path(__file__).parent / "plugin"

SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIAL")


class RefusedSetting(ValueError):
    """A flag or environment name that an engine may not be given; the message is for a person."""


def serve_argv(
    executable: str,
    config: Mapping[str, Any],
    *,
    served_names: Sequence[str],
    port: int,
    accelerator: str,
    version: str = "",
) -> tuple[str, ...]:
    """The engine's command line: `vllm serve MODEL ...`. Raises RefusedSetting.

    On a CPU `gpu_memory_utilization` is left out: there it is a share of the machine's RAM, and vLLM really
    takes it (0.92 when nothing is said). The KV cache gets a fixed size instead, 1 GiB unless `args` or the
    environment choose one, so that several engines and everything else fit beside each other.

    The first of `served_names` is the one that answers carry. In `args` True is a bare flag, False its
    `--no-` form, None is left out, a list gives several values and a mapping becomes JSON.
    """
    model = str(config["model"])
    if model.startswith("-"):
        raise RefusedSetting("A model's name cannot begin with a dash.")
    argv = [executable, "serve", model, "--host", "127.0.0.1", "--port", str(port)]
    argv += flag_words("served-model-name", list(served_names))
    for field, flag in FIELD_FLAGS.items():
        if field == "gpu_memory_utilization" and accelerator == "cpu":
            continue
        if config.get(field) not in (None, "", False):
            argv += flag_words(flag, config[field])
    given = set()
    for name, value in (config.get("args") or {}).items():
        if reason := refused_flag(name, value):
            raise RefusedSetting(reason)
        flag = canonical_flag(name)
        given.add(flag)
        argv += flag_words(flag, value)
    environment = config.get("env") or {}
    if (
        accelerator == "cpu"
        and "kv-cache-memory-bytes" not in given
        and "VLLM_CPU_KVCACHE_SPACE" not in environment
    ):
        argv += ["--kv-cache-memory-bytes", CPU_CACHE]
    if QUIET_FLAG not in given and _knows_quiet(version):
        argv += flag_words(QUIET_FLAG, OUR_CALLS)
    return tuple(argv)


def _knows_quiet(version: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= QUIET_SINCE


def engine_environment(
    os_environ: Mapping[str, str],
    config: Mapping[str, Any],
    *,
    api_key: str,
    accelerator: str,
    cache_dir: Path,
    gpus: Sequence[str | int] | None = None,
) -> dict[str, str]:
    """The whole environment of an engine, built from nothing but an allow list. Raises RefusedSetting.

    `gpus` are indices or UUIDs; where they are not given, the configuration's own are used. `cache_dir` keeps
    what engines compile. None of the console's own names is on the list, so no secret of ours gets out.
    """
    environment = {
        name: value
        for name, value in os_environ.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    }
    environment["VLLM_API_KEY"] = api_key
    environment["VLLM_NO_USAGE_STATS"] = "1"
    environment["VLLM_CACHE_ROOT"] = str(cache_dir / "vllm")
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(cache_dir / "torchinductor")
    environment["TRITON_CACHE_DIR"] = str(cache_dir / "triton")
    environment["PYTHONFAULTHANDLER"] = "1"  # a crash of one of its processes says in the log what it was
    if accelerator == "cpu":
        environment["PYTHONPATH"] = str(PLUGIN)
    if os.path.exists(str(config["model"])):
        environment["HF_HUB_OFFLINE"] = "1"  # nothing to ask the hub for, and no waiting for a bad network
    chosen = config.get("gpus") if gpus is None else gpus
    if chosen and accelerator != "cpu":
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order in which the console numbers them
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(str(gpu) for gpu in chosen)
    for name, value in (config.get("env") or {}).items():
        if reason := refused_env(name):
            raise RefusedSetting(reason)
        environment[name] = str(value)
    return environment


def shell_line(argv: Sequence[str], env_shown: Mapping[str, str]) -> str:
    """The command as one line to copy into a shell; names that hold secrets are left out."""
    shown = [
        f"{name}={shlex.quote(value)}"
        for name, value in env_shown.items()
        if not any(word in name.upper() for word in SECRETS)
    ]
    return " ".join([*shown, shlex.join(argv)])


def flag_words(flag: str, value: Any) -> list[str]:
    """One flag of a configuration as words of a command line."""
    name = f"--{flag}"
    if value is None:
        return []
    if "." in flag and not isinstance(value, str):
        value = json.dumps(value)  # vLLM takes the next word for the value of a dotted flag, always
    if value is True:
        return [name]
    if value is False:
        return [f"--no-{flag}"]
    if isinstance(value, list | tuple) and _takes_json(flag):
        return [name, json.dumps(value)]
    if isinstance(value, list | tuple):
        if len(value) == 1:
            return flag_words(flag, value[0])
        return [name, *(_text(one) for one in value)] if value else []
    text = _text(value)
    if text.startswith("-"):
        return [f"{name}={text}"]  # on its own it would be read as a flag
    return [name, text]


def _takes_json(flag: str) -> bool:
    """Whether a list is one word for it, as JSON, and not several words."""
    known = shipped().flags.get(flag)
    return known is not None and known.kind in ("json", "either") and not known.several


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value)
    return str(value)
