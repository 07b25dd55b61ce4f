from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instances.vllm.flags import canonical_flag, refused_env, refused_flag
from instances.vllm.refusals import FIELDS, NESTED, REFUSED, REFUSED_ENVIRONMENT

FLAGS = Path(__file__).parents[2] / "fakes" / "flags.txt"  # what vLLM 0.32 knows
KNOWN = [name for line in FLAGS.read_text().splitlines() for name in line.split()[1:]]
GOOD: dict[str, Any] = {"distributed-executor-backend": "mp", "hf-overrides": {"rope_theta": 1e6}}

# row 36: what the rule names
ROW_36 = (
    *("middleware", "tool-parser-plugin", "reasoning-parser-plugin", "logits-processors", "worker-cls"),
    *("worker-extension-cls", "scheduler-cls", "kv-transfer-config", "config", "log-config-file"),
    *(
        "allowed-local-media-path",
        "tool-server",
        "hf-overrides",
        "model-loader-extra-config",
        "profiler-config",
    ),
    *(
        "ray-workers-use-nsight",
        "master-addr",
        "master-port",
        "host",
        "port",
        "uds",
        "api-key",
        "ssl-keyfile",
    ),
    *("ssl-certfile", "ssl-ca-certs", "root-path", "allowed-origins", "served-model-name", "download-dir"),
)


def spellings(flag: str) -> list[str]:
    return [
        flag,
        f"--{flag}",
        f"-{flag}",
        f"--{flag.replace('-', '_')}",
        f"--{flag}=x",
        f"--{flag.replace('-', '_')}=x",
        f"--{flag}.key",
        f"--{flag}.key.deeper+",
        f"--{flag}.key=x",
        f"--{flag.upper()}",
        f" --{flag} ",
        f"--{flag} x",
        f"{flag}\n",
        f"\n--{flag}",
        f"--{flag[:-1]}",
    ]


@pytest.mark.parametrize("flag", ROW_36)
def test_a_refused_flag_is_refused_in_every_spelling(flag: str) -> None:
    for spelling in spellings(flag):
        reason = refused_flag(spelling, "x")
        assert reason and reason.endswith("."), spelling


@pytest.mark.parametrize("flag", [*REFUSED, *FIELDS])
def test_every_entry_is_refused_with_its_reason(flag: str) -> None:
    assert flag in (refused_flag(f"--{flag}", "x") or "")
    assert refused_flag(f"--no-{flag}", True)


@pytest.mark.parametrize("name", KNOWN)
def test_every_other_flag_of_the_engine_is_allowed(name: str) -> None:
    flag = canonical_flag(name)
    if flag.removeprefix("no-") in (*REFUSED, *FIELDS):
        return
    assert refused_flag(name, GOOD.get(flag, True)) is None


@pytest.mark.parametrize(
    "name", ["", "-", "--", "seed\n--host", "seed --host", "seed\0", "se\u00e9d", "--seed\t", "*"]
)
def test_what_is_not_a_name_is_refused(name: str) -> None:
    assert refused_flag(name, 7)


def test_name_and_value_are_given_apart() -> None:
    assert "apart" in (refused_flag("--seed=7", True) or "")


@pytest.mark.parametrize(
    "prefix", ["--mid", "--trust", "--worker_e", "--kv-transf", "--hos", "--master", "--logits-p"]
)
def test_a_beginning_that_the_engine_would_complete_is_refused(prefix: str) -> None:
    assert refused_flag(prefix, "x")
    assert refused_flag(f"{prefix}.key", "x")


@pytest.mark.parametrize("short", ["-n", "-r", "-dpa", "-dpp", "-q", "-tp"])
def test_short_names_count_as_their_long_ones(short: str) -> None:
    assert refused_flag(short, "2")


def test_a_list_cannot_smuggle_a_flag() -> None:
    assert "dash" in (refused_flag("seed", ["1", "--host", "0.0.0.0"]) or "")
    assert refused_flag("cudagraph-capture-sizes", [1, 2, "-4"]) is None


def test_a_value_without_a_list_may_begin_with_a_dash() -> None:
    assert refused_flag("chat-template", "-{{ messages }}") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("compilation-config", {"backend": "os.system"}),
        ("compilation-config", '{"backend": "os.system"}'),
        ("compilation_config.backend", "os.system"),
        ("-cc.backend", "os.system"),
        ("compilation-c", {"inductor_passes": {"x": "os.system"}}),
        ("compilation-config.inductor_passes.x", "os.system"),
        ("structured-outputs-config", {"reasoning_parser_plugin": "/tmp/x.py"}),
        ("structured-outputs-config.reasoning_parser_plugin", "/tmp/x.py"),
        ("distributed-executor-backend", "ray"),
        ("distributed_executor_backend", "my.module.Class"),
        ("distributed-ex", "my.module.Class"),
        ("hf-overrides", {"auto_map": {"AutoConfig": "x.Y"}}),
        ("hf-overrides", '{"head_dtype": "float32"}'),
        ("hf-overrides.architectures", '["X"]'),
        ("hf-overrides", {"rope_scaling": {"rope_type": {"a": 1}}}),
        ("hf-overrides", {"rope_scaling": {"rope_type": "../../x y"}}),
        ("hf-overrides", "x.y.function"),
    ],
)
def test_keys_inside_json_are_judged(name: str, value: Any) -> None:
    assert refused_flag(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hf-overrides", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
        ("hf-overrides", '{"rope_parameters": {"rope_type": "longrope", "long_factor": [1.0, 1.5]}}'),
        ("hf_overrides.rope_scaling.factor", 2.0),
        ("hf-overrides.rope_theta", "1000000"),
        ("compilation-config", {"cudagraph_mode": "PIECEWISE", "backend": "inductor"}),
        ("compilation-config.cudagraph_capture_sizes", "[1, 2]"),
        ("distributed-executor-backend", "uni"),
        ("limit-mm-per-prompt", {"image": 1}),
        ("speculative-config", {"method": "ngram", "num_speculative_tokens": 5}),
        ("-O", 3),
        ("enforce_eager", True),
    ],
)
def test_what_people_need_passes(name: str, value: Any) -> None:
    assert refused_flag(name, value) is None


def test_reasons_tell_ours_from_dangerous() -> None:
    assert refused_flag("port", 1) == "port is ours alone: use the field port."
    assert refused_flag("worker-cls", "x") == "worker-cls loads code: it imports a Python class by name."
    assert refused_flag("dtype", "auto") == "dtype has a field of its own: dtype."


def test_nested_keys_belong_to_flags_that_exist() -> None:
    assert {f"--{flag}" for flag in NESTED} <= set(KNOWN)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "LD_PRELOAD",
            "ld_preload",
            "LD_LIBRARY_PATH",
            "PYTHONPATH",
            "PythonStartup",
            "VLLM_SERVER_DEV_MODE",
        ),
        *("VLLM_ALLOW_INSECURE_SERIALIZATION", "VLLM_PLUGINS", "vllm_plugins", "SECRET_KEY", "DATABASE_URL"),
        *("REDIS_URL", "LLMOPS_DATA", "DJANGO_SETTINGS_MODULE", "VLLM_API_KEY", "HF_TOKEN", "HF_ENDPOINT"),
        *("https_proxy", "PATH", "CUDA_VISIBLE_DEVICES", "TRITON_PTXAS_PATH", "NCCL_NET_PLUGIN"),
        *("", "A=B", "A\nB", "A B", "1A", "\u00c4", "A\0"),
    ],
)
def test_environment_that_is_refused(name: str) -> None:  # row 37: names are compared without case
    assert (refused_env(name) or "").endswith(".")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "VLLM_LOGGING_LEVEL",
            "VLLM_ENABLE_V1_MULTIPROCESSING",
            "VLLM_CPU_KVCACHE_SPACE",
            "OMP_NUM_THREADS",
        ),
        *(
            "NCCL_DEBUG",
            "CUDA_LAUNCH_BLOCKING",
            "HF_HUB_OFFLINE",
            "PYTORCH_CUDA_ALLOC_CONF",
            "FAKE_VLLM_TOKENS",
        ),
    ],
)
def test_environment_that_people_need_passes(name: str) -> None:
    assert refused_env(name) is None


def test_patterns_stand_in_capitals() -> None:
    assert all(pattern == pattern.upper() for pattern in REFUSED_ENVIRONMENT)
