from __future__ import annotations

import pytest

from instances.vllm.notices import MOST, NOTICES, NoticeReader
from tests.instances.vllm.samples import real, report

W = "(EngineCore_DP0 pid=1) WARNING 11-24 11:44:18 [x.py:1] "


def codes(*lines: str) -> list[str]:
    reader = NoticeReader()
    for line in lines:
        reader.feed(line)
    return [notice["code"] for notice in reader.notices]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (
            "no-chat-template",
            "ValueError: As of transformers v4.44, default chat template is no longer allowed, so you must provide",
        ),
        ("no-chat-template", W + "No chat template provided. Chat API will not work."),
        ("no-chat-template", "vllm.renderers.chat_utils.ChatTemplateResolutionError: none"),
        ("context-reduced", W + "Reducing max_model_len from 32768 to 8192 to fit the cache"),
        ("sliding-window-disabled", W + "Disabling sliding window and capping the max length to 4096"),
        (
            "fp8-emulated",
            W + "Your GPU does not have native support for FP8 computation but FP8 quantization is",
        ),
        (
            "no-native-implementation",
            W + "Foo has no vLLM implementation, falling back to Transformers implementation.",
        ),
        (
            "slow-attention",
            "INFO 11-24 11:44:18 [x.py:1] Cannot use FlashAttention-2 backend for Volta and Turing GPUs.",
        ),
        (
            "slow-kernels",
            W + "Layer 'x' is not supported by AutoAWQMarlin. Falling back to unoptimized AWQ kernels.",
        ),
        ("slow-kernels", W + "CUDA graph is not supported for mllama on ROCm yet, fallback to eager mode."),
        (
            "data-type-replaced",
            W + "Your device 'T4' doesn't support torch.bfloat16. Falling back to torch.float16 for",
        ),
        ("data-type-cast", W + "Casting torch.bfloat16 to torch.float16."),
        ("cache-too-small", "INFO 1-1 x Maximum concurrency for 131,072 tokens per request: 0.63x"),
        (
            "preempted",
            W + "Sequence group 12 is preempted by PreemptionMode.RECOMPUTE mode because there is not enough",
        ),
        (
            "swapped",
            "INFO 02-25 11:11:31 metrics.py:455] Avg prompt throughput: 1 tokens/s, Swapped: 3 reqs, Pending",
        ),
        (
            "workers-wait",
            "INFO 01-01 00:00:00 [s.py:1] No available shared memory broadcast block found in 60 seconds.",
        ),
        ("workers-wait", "DEBUG x No available block found in 60 second."),
        (
            "cpu-cache-unset",
            W + "Environment variable VLLM_CPU_KVCACHE_SPACE (GiB) for CPU backend is not set, using 4",
        ),
        ("slow-tokenizer", W + "Using a slow tokenizer. This might cause a significant slowdown."),
        ("flag-deprecated", W + "--swap-space is deprecated and will be removed in v0.40"),
        ("quantization-deprecated", W + "The quantization method gptq is deprecated and will be removed"),
        ("scales-missing", W + "Using KV cache scaling factor 1.0 for fp8_e4m3. If this is unintended"),
    ],
)
def test_it_knows_the_line(code: str, line: str) -> None:
    for prefix in ("", "2026-11-25T03:54:48.123Z ", "vllm  | "):
        reader = NoticeReader()
        assert reader.feed(prefix + line), prefix
        assert reader.notices[0]["code"] == code
        assert reader.notices[0]["evidence"] == prefix + line


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: notice.code)
def test_every_notice_is_two_sentences(notice: object) -> None:
    assert getattr(notice, "text").endswith(".") and getattr(notice, "advice").endswith(".")  # noqa: B009


@pytest.mark.parametrize(
    "name",
    [
        *["default-start", "first-start-with-compile", "multiprocess-start", "single-process-start"],
        "sigterm-with-request-in-flight",
    ],
)
def test_a_good_start_has_none(name: str) -> None:
    assert codes(*real(name)) == []


@pytest.mark.parametrize("name", ["gpu-start-0.6", "gpu-start-0.9", "gpu-start-0.11", "gpu-start-0.11-tuned"])
def test_a_good_start_on_gpus_has_none(name: str) -> None:
    assert codes(*report(name)) == []


def test_it_says_the_numbers() -> None:
    reader = NoticeReader()
    reader.feed("INFO 1-1 x Maximum concurrency for 131,072 tokens per request: 0.63x")
    assert "0.63 of 131,072" in reader.notices[0]["text"]


def test_each_is_told_once() -> None:
    reader = NoticeReader()
    assert reader.feed(W + "Casting torch.bfloat16 to torch.float16.")
    assert not reader.feed(W + "Casting torch.bfloat16 to torch.float16.")
    assert len(reader.notices) == 1


def test_one_request_that_failed_is_not_worth_it() -> None:
    line = 'INFO:     10.0.0.2:1 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error'
    assert codes(line, line) == []
    assert codes(line, line, line, line) == ["requests-fail"]


def test_source_in_a_traceback_is_no_notice() -> None:
    assert (
        codes('    raise ValueError("As of transformers v4.44, default chat template is no longer allowed")')
        == []
    )


def test_a_person_reads_no_more_than_a_page() -> None:
    reader = NoticeReader()
    for notice in NOTICES:
        reader._counts[notice.code] = notice.times - 1
    lines = [line for mark in test_it_knows_the_line.pytestmark for _, line in mark.args[1]]  # type: ignore[attr-defined]
    for line in lines:
        reader.feed(line)
    assert len(reader.notices) == MOST


def test_strange_lines_are_no_notices() -> None:
    assert codes("", "\x00", "█" * 100_000, "%s {} {0}", "\ud800", "(" * 5_000) == []
