"""The texts P01 to P09 that people pasted: what must reach the engine, what must not, and what is said."""

from __future__ import annotations

from typing import Any

import pytest

from instances.vllm.command import flag_words, shell_line
from instances.vllm.pasted import read
from instances.vllm.schema import shipped

from .made import NUMBERS, case, found, left

P05_SPECULATION = {"method": "qwen3_next_mtp", "num_speculative_tokens": 2}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "P01": {
        "model": "/models/c4ai-command-a-03-2025",
        "gpu_memory_utilization": 0.95,
        "tensor_parallel_size": 2,
        "gpus": ["1", "2", "3"],
        "args": {"max-num-seqs": 1},
    },
    "P02": {
        "model": "jakiAJK/DeepSeek-R1-Distill-Qwen-7B_GPTQ-int4",
        "max_model_len": 1000,
        "gpu_memory_utilization": 0.98,
        "tensor_parallel_size": 1,
        "gpus": ["0", "1"],
        "args": {
            "enable-prefix-caching": True,
            "speculative-config": {
                "model": "Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4",
                "num_speculative_tokens": 5,
            },
        },
        "env": {"TORCH_USE_CUDA_DSA": "1", "CUDA_LAUNCH_BLOCKING": "1"},
    },
    "P03": {
        "served_name": "Logics-Parsing-Omni",
        "max_model_len": 16384,
        "gpu_memory_utilization": 0.7,
        "trust_remote_code": True,
        "env": {"TZ": "UTC"},
    },
    "P04": {
        "served_name": "medical-qa",
        "model": "/srv/baseline/outputs/llama32_3b_merged",
        "max_model_len": 4096,
        "gpu_memory_utilization": 0.6,
        "restart_policy": "on-failure",
    },
    "P05": {
        "model": "Qwen/Qwen3.5-27B-FP8",
        "gpu_memory_utilization": 0.93,
        "trust_remote_code": True,
        "args": {
            "enable-auto-tool-choice": True,
            "tool-call-parser": "qwen3_coder",
            "reasoning-parser": "qwen3",
            "optimization-level": "3",
            "max-num-batched-tokens": 8192,
            "performance-mode": "throughput",
            "enable-prefix-caching": True,
            "enable-chunked-prefill": True,
            "async-scheduling": True,
            "language-model-only": True,
            "speculative-config": P05_SPECULATION,
            "load-format": "fastsafetensors",
        },
        "env": {"VLLM_MARLIN_USE_ATOMIC_ADD": "1"},
    },
    "P06": {
        "model": "Ryex/Floppa-12B-Gemma3-Uncensored-GPTQ",
        "max_model_len": 6188,
        "gpu_memory_utilization": 0.75,
        "args": {"limit-mm-per-prompt": {"image": 1}},
    },
    "P07": {
        "served_name": "Qwen3-30B-A3B-Instruct-2507-FP8",
        "model": "/mnt/models/Qwen3-30B-A3B-Instruct-2507-FP8",
        "max_model_len": 64000,
        "gpu_memory_utilization": 0.9,
        "tensor_parallel_size": 2,
        "trust_remote_code": True,
        "gpus": ["1", "2"],
        "args": {"enforce-eager": True},
    },
    "P08": {
        "served_name": "deepseek-v4-flash-0731",
        "model": "/data/model-cache/DeepSeek-V4-Flash-0731",
        "tensor_parallel_size": 8,
        "args": {
            "enable-expert-parallel": True,
            "kv-cache-dtype": "fp8_ds_mla",
            "compilation-config": {"cudagraph_mode": "PIECEWISE"},
            "speculative-config": {"method": "dspark", "num_speculative_tokens": 5},
            "tokenizer-mode": "deepseek_v4",
            "enable-auto-tool-choice": True,
            "tool-call-parser": "deepseek_v4",
            "reasoning-parser": "deepseek_v4",
        },
    },
    "P09": {
        "served_name": "Seed-X-PPO-7B",
        "model": "/app/models/ByteDance-Seed/Seed-X-PPO-7B",
        "gpu_memory_utilization": 0.5,
    },
}
LEFT_OUT = {
    "P01": ["--swap-space 8 | vLLM 0.32.0 no longer has --swap-space."],
    "P02": [
        "-v ~/.cache/huggingface:/root/.cache/huggingface | A mount of the model cache",
        "-v /home/user/weights:/mnt/weights | A mount",
        "--rm -d --net host --name vllm --shm-size=15g --ipc host | Options of docker itself",
        "docker logs -f vllm | Another command.",
        "HUGGING_FACE_HUB_TOKEN=••• | A placeholder for a token.",
        'VLLM_RPC_TIMEOUT=100000" | vLLM no longer knows VLLM_RPC_TIMEOUT.',
    ],
    "P03": ["--port 8000 |", "--host 0.0.0.0 | host is ours alone", "healthcheck: …", "HF_TOKEN= | Empty"],
    "P04": [
        "User=svc |",
        "EnvironmentFile=/etc/llm.env | A file with variables",
        "--api-key ••• |",
        "--port 8001 |",
    ],
    "P05": [
        "./launch-cluster.sh --solo -t vllm-node-tf5 --apply-mod mods/fix-qwen3.5-chat-template exec | A wrapper",
        "--chat-template unsloth.jinja | It names a file relative to a folder that is not known.",
    ],
    "P06": ["vllm serve meta-llama/Llama-3.2-1B … | A second command that starts vLLM."],
    "P07": ["--port 8011 |"],
    "P08": ['--hf-overrides \'{"head_dtype": "float32"}\' | hf-overrides may not change head_dtype'],
    "P09": ["--host 0.0.0.0 | host is ours alone", "--port 3000 |"],
}
NOTES = {
    "P01": ["3 GPUs are listed (1, 2, 3), and 2 will be used.", "A line was broken by a terminal"],
    "P02": [
        "are debug aids that make the engine slow",
        "--speculative-model is gone; it was translated to --speculative-config.",
        "2 GPUs are listed (0, 1), and 1 will be used.",
    ],
    "P03": [
        "./models/Logics-Parsing-Omni on the host",
        "Enter the folder's full path",
        "People used port 8021.",
        "$VLLM_HOST_MODEL_PATH is taken as its default: ./models.",
        "needs a permission",
    ],
    "P04": ["is relative to /srv/baseline", "People used port 8001.", "Restart “always” became"],
    "P05": [
        "VLLM_MARLIN_USE_ATOMIC_ADD was given with -e of ./launch-cluster.sh",
        "needs the Python package fastsafetensors",
    ],
    "P06": ["The value of --limit-mm-per-prompt was in Python's quotes; it was written as JSON."],
    "P07": ["--enforce-eager is a switch: “true” after it was read as on."],
    "P08": [],
    "P09": ["is a path of a container"],
}
NAMES = {"P02": "deepseek-r1-distill-qwen-7b_gptq-int4", "P03": "logics-parsing-omni", "P09": "seed-x-ppo-7b"}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_case_becomes_the_configuration_that_was_meant(number: str) -> None:
    configuration = dict(found(case(number)).configuration)
    name = configuration.pop("name")
    assert configuration == CONFIGURATIONS[number]
    assert name == NAMES.get(number, name)


@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_left_out_of_a_case_has_its_reason(number: str) -> None:
    told = left(found(case(number)))
    assert [line for line in LEFT_OUT[number] if line not in told] == []


@pytest.mark.parametrize("number", NUMBERS)
def test_what_was_put_right_in_a_case_is_said(number: str) -> None:
    told = "\n".join(found(case(number)).notes)
    assert [line for line in NOTES[number] if line not in told] == []


def test_p06_the_second_command_alone_is_read_too() -> None:
    second = case("P06").splitlines()[1]
    assert found(second).configuration["args"] == {
        "compilation-config": {"cudagraph_capture_sizes": [1, 2, 4, 8]}
    }


@pytest.mark.parametrize("number", [number for number in NUMBERS if "model" in CONFIGURATIONS[number]])
def test_the_command_that_we_show_is_read_as_the_same_configuration(number: str) -> None:
    """P05's wrapper broke its JSON by quoting twice; ours must survive copy and paste."""
    first = found(case(number)).configuration
    flags = [*_field_words(first), *first.get("args", {}).items()]
    argv = ["vllm", "serve", first["model"], *_words(flags)]
    again = read(shell_line(argv, first.get("env", {})), shipped()).configuration
    kept = ("model", "max_model_len", "gpu_memory_utilization", "tensor_parallel_size", "args", "env")
    assert {key: again.get(key) for key in kept} == {key: first.get(key) for key in kept}


def _field_words(configuration: dict[str, Any]) -> list[tuple[str, Any]]:
    fields = ("max_model_len", "gpu_memory_utilization", "tensor_parallel_size", "trust_remote_code")
    return [(name.replace("_", "-"), configuration[name]) for name in fields if name in configuration]


def _words(flags: list[tuple[str, Any]]) -> list[str]:
    return [word for name, value in flags for word in flag_words(name, value)]
