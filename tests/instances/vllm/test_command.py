from __future__ import annotations

import shlex
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from instances.vllm.command import RefusedSetting, engine_environment, serve_argv, shell_line

CACHE = Path("/data/cache")
OPERATOR = {
    "PATH": "/usr/bin",
    "HOME": "/home/ops",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "C",
    "HF_HOME": "/models",
    "HF_TOKEN": "hf_operator",
    "https_proxy": "http://proxy:1",
    "SSL_CERT_FILE": "/ca.pem",
    "LD_LIBRARY_PATH": "/cuda/lib",
    "CUDA_HOME": "/cuda",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "SECRET_KEY": "canary-secret",
    "DATABASE_URL": "canary-database",
    "REDIS_URL": "canary-redis",
    "LLMOPS_DATA": "canary-data",
    "DJANGO_SETTINGS_MODULE": "canary-django",
    "VLLM_API_KEY": "canary-key",
    "VLLM_PLUGINS": "canary-plugins",
    "PYTHONPATH": "canary-path",
    "PYTHONDONTWRITEBYTECODE": "canary-bytecode",
    "LD_PRELOAD": "canary-preload",
    "AWS_SECRET_ACCESS_KEY": "canary-aws",
}


def argv(
    config: dict[str, Any], *, accelerator: str = "cuda", names: tuple[str, ...] = ("n",)
) -> tuple[str, ...]:
    return serve_argv(
        "/e/vllm", {"model": "m", **config}, served_names=names, port=8101, accelerator=accelerator
    )


def environment(config: dict[str, Any], **more: Any) -> dict[str, str]:
    given: dict[str, Any] = {"api_key": "ours", "accelerator": "cuda", "cache_dir": CACHE, **more}
    return engine_environment(OPERATOR, {"model": "o/m", **config}, **given)


def test_it_serves_on_loopback_under_its_names() -> None:
    assert argv({}, names=("owner/model", "short")) == (
        *("/e/vllm", "serve", "m", "--host", "127.0.0.1", "--port", "8101"),
        *("--served-model-name", "owner/model", "short"),
    )


def test_fields_become_flags() -> None:
    config = {
        "dtype": "bfloat16",
        "max_model_len": 4096,
        "gpu_memory_utilization": 0.8,
        "tensor_parallel_size": 2,
        "quantization": "awq",
        "trust_remote_code": True,
    }
    assert argv(config)[9:] == (
        *("--dtype", "bfloat16", "--max-model-len", "4096", "--gpu-memory-utilization", "0.8"),
        *("--tensor-parallel-size", "2", "--quantization", "awq", "--trust-remote-code"),
    )


def test_empty_fields_are_left_out() -> None:
    assert argv({"dtype": None, "quantization": "", "trust_remote_code": False, "args": None}) == argv({})


def test_values_of_args_by_their_kind() -> None:
    args = {
        "enforce-eager": True,
        "enable_prefix_caching": False,
        "seed": 7,
        "revision": None,
        "cudagraph-capture-sizes": [1, 2, 4],
        "limit-mm-per-prompt": {"image": 1},
        "compilation_config.cudagraph_mode": "NONE",
        "-O": 2,
    }
    assert argv({"args": args})[9:] == (
        *("--enforce-eager", "--no-enable-prefix-caching", "--seed", "7"),
        *("--cudagraph-capture-sizes", "1", "2", "4", "--limit-mm-per-prompt", '{"image": 1}'),
        *("--compilation-config.cudagraph_mode", "NONE", "--optimization-level", "2"),
    )


def test_a_dotted_flag_always_has_a_value() -> None:  # without one, the engine would swallow the next flag
    args = {"cc.pass_config.fuse": True, "attention-config.x": False, "attention-config.y": [1, -2]}
    assert argv({"args": args})[9:] == (
        *("--compilation-config.pass_config.fuse", "true", "--attention-config.x", "false"),
        *("--attention-config.y", "[1, -2]"),
    )


def test_a_value_that_looks_like_a_flag_stays_a_value() -> None:
    assert argv({"args": {"chat-template": "--host"}})[-1] == "--chat-template=--host"
    assert argv({"args": {"stream-interval": -1}})[-1] == "--stream-interval=-1"
    assert argv({}, names=("--host",))[-1] == "--served-model-name=--host"


def test_a_refused_flag_is_refused_at_the_start_too() -> None:
    with pytest.raises(RefusedSetting, match="ours alone"):
        argv({"args": {"--ho_st": "0.0.0.0", "host": "0.0.0.0"}})
    with pytest.raises(RefusedSetting, match="dash"):
        argv({"model": "--host=0.0.0.0"})


def test_a_cpu_gets_a_fixed_cache_instead_of_a_share_of_the_ram() -> None:
    config = {"gpu_memory_utilization": 0.5}
    assert argv(config, accelerator="cpu")[9:] == ("--kv-cache-memory-bytes", "1G")
    own = {"args": {"kv_cache_memory_bytes": "64M"}}
    assert argv(own, accelerator="cpu")[9:] == ("--kv-cache-memory-bytes", "64M")
    by_environment = {"env": {"VLLM_CPU_KVCACHE_SPACE": "2"}}
    assert argv(by_environment, accelerator="cpu")[9:] == ()


def test_the_environment_is_built_from_an_allow_list() -> None:  # rows 37 and 40
    made = environment({})
    assert "canary" not in " ".join(made.values())
    for name in ("PATH", "HOME", "LANG", "LC_ALL", "HF_HOME", "HF_TOKEN", "https_proxy", "SSL_CERT_FILE"):
        assert made[name] == OPERATOR[name]
    for name in ("LD_LIBRARY_PATH", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES"):
        assert made[name] == OPERATOR[name]


def test_the_environment_brings_what_is_ours() -> None:
    made = environment({})
    assert made["VLLM_API_KEY"] == "ours"
    assert made["VLLM_NO_USAGE_STATS"] == "1"
    assert made["VLLM_CACHE_ROOT"] == "/data/cache/vllm"


def test_a_local_model_needs_no_hub(tmp_path: Path) -> None:
    assert environment({"model": str(tmp_path)})["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in environment({"model": str(tmp_path / "nope")})


def test_chosen_gpus_are_the_ones_it_sees() -> None:
    assert environment({"gpus": ["GPU-1", "GPU-2"]})["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-2"
    assert environment({"gpus": ["GPU-1"]}, gpus=[3])["CUDA_VISIBLE_DEVICES"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in environment({})
    assert "CUDA_VISIBLE_DEVICES" not in environment({"gpus": [0]}, accelerator="cpu")


def test_an_engine_on_a_cpu_finds_our_plug_in_and_no_other_engine_does() -> None:
    folder = environment({}, accelerator="cpu")["PYTHONPATH"]
    (distribution,) = distributions(path=[folder])
    (plugin,) = distribution.entry_points.select(group="vllm.general_plugins")
    assert (Path(folder) / plugin.module).with_suffix(".py").is_file()
    assert "PYTHONPATH" not in environment({})


def test_a_crash_of_an_inner_process_is_said_in_the_log() -> None:
    assert environment({})["PYTHONFAULTHANDLER"] == "1"


def test_what_a_person_enters_comes_last_and_is_judged() -> None:
    assert environment({"env": {"HF_HUB_OFFLINE": 0, "A": "1"}})["HF_HUB_OFFLINE"] == "0"
    with pytest.raises(RefusedSetting, match="loads code"):
        environment({"env": {"ld_preload": "/x.so"}})


def test_the_shell_line_can_be_pasted_and_tells_no_secret() -> None:
    words = ("vllm", "serve", "a b", "--limit-mm-per-prompt", '{"image": 1}', "it's")
    line = shell_line(
        words, {"A": "x y", "HF_TOKEN": "canary", "VLLM_API_KEY": "canary", "db_password": "canary"}
    )
    assert "canary" not in line
    assert shlex.split(line) == ["A=x y", *words]


@pytest.mark.parametrize(
    ("version", "quiet"), [("0.32.0+cpu", True), ("0.33.1", True), ("0.11.0", False), ("", False)]
)
def test_what_we_ask_every_second_leaves_no_line_in_the_log_where_the_engine_can(
    version: str, quiet: bool
) -> None:
    argv = serve_argv(
        "vllm", {"model": "x/y"}, served_names=["a"], port=1, accelerator="cpu", version=version
    )
    assert ("--disable-access-log-for-endpoints" in argv) == quiet


def test_a_persons_own_choice_of_quiet_endpoints_stays() -> None:
    config = {"model": "x/y", "args": {"disable-access-log-for-endpoints": "/ping"}}
    argv = serve_argv("vllm", config, served_names=["a"], port=1, accelerator="cpu", version="0.32.0")
    assert argv.count("--disable-access-log-for-endpoints") == 1 and "/ping" in argv


def test_a_list_of_a_flag_that_takes_json_is_one_word() -> None:
    words = argv({"model": "m", "args": {"allowed-methods": ["GET"], "custom-histogram-buckets": {"a": [1]}}})
    assert words[words.index("--allowed-methods") + 1] == '["GET"]'
    assert words[words.index("--custom-histogram-buckets") + 1] == '{"a": [1]}'
