"""Command lines as people have them: quotes, continuations, prompts, wrappers and what stands around."""

from __future__ import annotations

from typing import Any

import pytest

from .made import args, body, found, left, notes

QWEN = "Qwen/Qwen3-8B"
LONG = (
    "CUDA_VISIBLE_DEVICES=1,2 vllm serve /models/c4ai-command-a-03-2025 -tp=2 --gpu-memory-utilization 0.95 "
    "--max-num-seqs=16 --kv-cache-dtype fp8 --enable-prefix-caching "
    '--speculative-config \'{"method":"ngram","num_speculative_tokens":3}\' --max-model-len 32768 --seed 7 '
    "--trust-remote-code --tool-call-parser hermes --enable-auto-tool-choice"
)


@pytest.mark.parametrize(
    "text",
    [
        "vllm serve Qwen/Qwen3-8B --seed 3",
        "vllm serve --model Qwen/Qwen3-8B --seed=3",
        "vllm serve --seed 3 Qwen/Qwen3-8B",
        "vllm serve https://huggingface.co/Qwen/Qwen3-8B/tree/main --seed 3",
        "$ vllm serve Qwen/Qwen3-8B --seed 3",
        "# vllm serve Qwen/Qwen3-8B --seed 3",
        "(venv) user@host:~/x$ vllm serve Qwen/Qwen3-8B --seed 3",
        "PS C:\\models> vllm serve Qwen/Qwen3-8B --seed 3",
        "!vllm serve Qwen/Qwen3-8B --seed 3",
        "sudo -E /opt/venv/bin/vllm serve Qwen/Qwen3-8B --seed 3",
        "nohup vllm serve Qwen/Qwen3-8B --seed 3 > log.txt 2>&1 &",
        "vllm serve Qwen/Qwen3-8B --seed 3 2>&1 | tee log",
        "uv run --with vllm vllm serve Qwen/Qwen3-8B --seed 3",
        "python -m vllm.entrypoints.openai.api_server --model Qwen/Qwen3-8B --seed 3",
        "python3 -u -m vllm.entrypoints.openai.api_server --model=Qwen/Qwen3-8B --seed 3",
        "python -m vllm.entrypoints.cli.main serve Qwen/Qwen3-8B --seed 3",
        "bash -c 'source /v/bin/activate && vllm serve Qwen/Qwen3-8B --seed 3'",
        "```bash\n$ vllm serve Qwen/Qwen3-8B \\\n    --seed 3\n```\nand it fails",
        "I don't know. I run vllm serve with the following:\nvllm serve Qwen/Qwen3-8B --seed 3\nIt doesn't work",
        "vllm serve Qwen/Qwen3-8B \\\n  # --max-num-seqs 3 \\\n  --seed 3 \\\n",
        "vllm serve Qwen/Qwen3-8B \\  \n  --seed 3",
        "vllm serve Qwen/Qwen3-8B \\\n\n  --seed 3",
        "vllm serve Qwen/Qwen3-8B\n  --seed 3",
        "vllm serve Qwen/Qwen3-8B ^\r\n  --seed 3",
        "vllm serve Qwen/Qwen3-8B `\n  --seed 3",
        "vllm serve Qwen/Qwen3-8B –seed 3",
        "vllm serve “Qwen/Qwen3-8B” —seed ‘3’",
        "vllm\u00a0serve\u00a0Qwen/Qwen3-8B\u200b --seed\u00a03",
        "\x1b[32mvllm serve Qwen/Qwen3-8B\x1b[0m --seed 3",
        "> vllm serve Qwen/Qwen3-8B --seed 3",
        "MODEL=Qwen/Qwen3-8B\nvllm serve $MODEL --seed ${SEED:-3}",
        'ARGS=(\n  --seed 3\n)\nvllm serve Qwen/Qwen3-8B "${ARGS[@]}"',
        'ARGS="--seed 3"\nvllm serve Qwen/Qwen3-8B $ARGS',
        "vllm bench serve --model x\nvllm serve Qwen/Qwen3-8B --seed 3",
        "--model Qwen/Qwen3-8B --seed 3",
        "['vllm', 'serve', 'Qwen/Qwen3-8B', '--seed', '3']",
    ],
)
def test_a_line_is_read_in_every_dress(text: str) -> None:
    assert body(text) == {"model": QWEN, "args": {"seed": 3}}


@pytest.mark.parametrize("width", range(60, 200))
def test_a_terminals_line_wrap_is_undone_wherever_it_falls(width: int) -> None:
    wrapped = "\n".join(LONG[at : at + width] for at in range(0, len(LONG), width))
    assert body(wrapped) == body(LONG)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-tp 2", {"tensor_parallel_size": 2}),
        ("-tp=2", {"tensor_parallel_size": 2}),
        ("-tp2", {"tensor_parallel_size": 2}),
        ("--tensor_parallel_size 2", {"tensor_parallel_size": 2}),
        ("--tensor-parallel 2", {"tensor_parallel_size": 2}),
        ("--gpu-memory 0.9", {"gpu_memory_utilization": 0.9}),
        ("-q fp8", {"quantization": "fp8"}),
        ("--dtype half", {"dtype": "float16"}),
        ("--dtype auto", {}),
        ("--max-model-len 32k", {"max_model_len": 32000}),
        ("--max-model-len 32K", {"max_model_len": 32768}),
        ("--max-model-len auto", {}),
        ("--max-model-len 1000 --max_model_len 2000", {"max_model_len": 2000}),
        ("--trust_remote_code", {"trust_remote_code": True}),
        ("-O3", {"args": {"optimization-level": "3"}}),
        ("-O 3", {"args": {"optimization-level": "3"}}),
        ("-O.level=3", {"args": {"optimization-level": "3"}}),
        ("-O '{\"level\": 3}'", {"args": {"optimization-level": "3"}}),
        ("--no-enable-prefix-caching", {"args": {"enable-prefix-caching": False}}),
        ("--enable-chunked-prefill=false", {"args": {"enable-chunked-prefill": False}}),
        ("--enforce-eager=True", {"args": {"enforce-eager": True}}),
        ("--seed -1", {"args": {"seed": -1}}),
        ("-cc.cudagraph_mode=PIECEWISE", {"args": {"compilation-config": {"cudagraph_mode": "PIECEWISE"}}}),
        ('--limit-mm-per-prompt {"image":5}', {"args": {"limit-mm-per-prompt": {"image": 5}}}),
        ('--limit-mm-per-prompt "{\\"image\\": 5}"', {"args": {"limit-mm-per-prompt": {"image": 5}}}),
        ("--limit-mm-per-prompt \"{'image': 5}\"", {"args": {"limit-mm-per-prompt": {"image": 5}}}),
        ("--limit-mm-per-prompt \\{\\\"image\\\":5\\}", {"args": {"limit-mm-per-prompt": {"image": 5}}}),
        ("--task embed", {"args": {"runner": "pooling", "convert": "embed"}}),
    ],
)  # fmt: skip
def test_a_flag_is_read_in_every_spelling(text: str, expected: dict[str, Any]) -> None:
    assert body(f"vllm serve a/b {text}") == {"model": "a/b", **expected}


def test_python_in_a_value_is_read_and_never_run() -> None:
    text = "vllm serve a/b --limit-mm-per-prompt \"{'image': __import__('os').getpid()}\" --seed 3"
    assert args(text) == {"seed": 3}


@pytest.mark.parametrize(
    "text",
    [
        "CUDA_VISIBLE_DEVICES=0,2 vllm serve a/b -tp 2",
        "export  CUDA_VISIBLE_DEVICES=0,2\n\nvllm serve a/b -tp 2",
        "env CUDA_VISIBLE_DEVICES=0,2 vllm serve a/b -tp 2",
        "sudo -E env CUDA_VISIBLE_DEVICES='0,2' vllm serve a/b -tp 2",
        '$env:CUDA_VISIBLE_DEVICES = "0,2"\nvllm serve a/b -tp 2',
        "set CUDA_VISIBLE_DEVICES=0,2\nvllm serve a/b -tp 2",
        "CUDA_VISIBLE_DEVICES=0,2\nvllm serve a/b -tp 2",
    ],
)
def test_gpus_are_chosen_in_every_shell(text: str) -> None:
    assert body(text) == {"model": "a/b", "tensor_parallel_size": 2, "gpus": ["0", "2"]}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_other_gpus_than_are_needed_are_said(count: int) -> None:
    listed = ",".join(map(str, range(count)))
    said = notes(f"CUDA_VISIBLE_DEVICES={listed} vllm serve a/b -tp 2")
    assert ("listed" in said) is (count != 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vllm serve a/b --seed `date`", "The text does not have its value"),
        ("vllm serve a/b --seed $(cat seed)", "The text does not have its value"),
        ("vllm serve a/b --seed $SEED", "--seed $SEED | The text does not have its value"),
        ("vllm serve $(cat model.txt) --max-num-seqs 4", "Enter the model."),
        ("vllm serve <model> --max-num-seqs 4", "<model> is not in the text. Enter the model."),
        ("vllm serve a/b --max-model-len banana", "The context is a whole number of tokens"),
        ("vllm serve a/b --gpu-memory-utilization 9", "The share of GPU memory is from 0.05 to 0.98."),
        ("vllm serve a/b --max-num-sequences 4", "Did you mean --max-num-seqs"),
        ("vllm serve a/b --device cuda", "no longer has --device"),
        ("vllm serve a/b --middleware m.n", "middleware loads code"),
        ("vllm serve a/b --worker_cls=m.n", "worker-cls loads code"),
        ("LD_PRELOAD=/x.so vllm serve a/b", "LD_PRELOAD loads code"),
        ("VLLM_USE_V1=1 vllm serve a/b", "vLLM no longer knows VLLM_USE_V1"),
        ("vllm serve a/b --ssl-keyfile /x", "ours alone"),
        ("vllm serve a/b stray", "stray | It belongs to no flag."),
        ("cd /x\npip install vllm\nvllm serve a/b", "pip install vllm | Another command."),
        ("nohup vllm serve a/b > log &", "> log | The console keeps the engine's output itself."),
        ("vllm serve a/b | tee log", "tee log | Another command."),
        ("sudo vllm serve a/b", "sudo | The console starts the engine itself."),
    ],
)
def test_what_is_not_taken_has_its_reason(text: str, expected: str) -> None:
    assert expected in left(found(text))


def test_an_old_variable_becomes_the_flag_of_today() -> None:
    text = "VLLM_ATTENTION_BACKEND=FLASHINFER vllm serve a/b"
    assert args(text) == {"attention-backend": "FLASHINFER"}
    assert "VLLM_ATTENTION_BACKEND is gone; it was translated to --attention-backend." in notes(text)


def test_a_folder_is_joined_with_the_one_that_the_text_names() -> None:
    assert body("cd /srv/models && vllm serve ./llama")["model"] == "/srv/models/llama"
    assert "model" not in body("vllm serve ./llama")
    assert "Enter the full path" in notes("vllm serve ./llama")


def test_a_name_that_could_be_a_folder_is_said_to_be_read_as_a_hubs() -> None:
    assert body("cd /srv\nvllm serve Qwen/Qwen3-8B")["model"] == QWEN
    assert "If it is a folder in /srv, write its full path." in notes("cd /srv\nvllm serve Qwen/Qwen3-8B")


@pytest.mark.parametrize(
    "text",
    [
        "Qwen/Qwen3-8B --max-model-len 8192",
        "serve Qwen/Qwen3-8B --max-model-len 8192",
        "--model Qwen/Qwen3-8B --max-model-len 8192",
    ],
)
def test_the_end_of_a_command_is_enough(text: str) -> None:
    read = body(text)
    assert (read["model"], read["max_model_len"]) == ("Qwen/Qwen3-8B", 8192)


@pytest.mark.parametrize(
    "text", ["ollama run llama3", "scripts/run.sh --model x", "serve", "a/b c/d", "ls -la"]
)
def test_what_starts_no_engine_gives_none(text: str) -> None:
    assert body(text) == {}


def test_the_old_form_of_limits_is_written_as_json() -> None:
    read = found("vllm serve a/b --limit-mm-per-prompt image=2,video=1")
    assert read.configuration["args"] == {"limit-mm-per-prompt": {"image": 2, "video": 1}}
    assert any("JSON" in note for note in read.notes) and not read.left_out
