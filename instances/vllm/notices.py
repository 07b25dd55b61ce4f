"""What the log of an engine that runs says that matters to a person, although it answers.

Adding a notice is one entry in NOTICES. Unlike causes they are warnings, seldom errors; what every start
prints (sampling defaults of the model, missing Triton on a CPU, semaphores at the end) is left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from instances.vllm.lines import line_of

MOST = 10  # notices of one launch
EVIDENCE_LIMIT = 500  # characters


@dataclass(frozen=True)
class Notice:
    """`text` and `advice` are format strings over the pattern's groups. `times`: only when it comes so often."""

    code: str
    pattern: re.Pattern[str]
    text: str
    advice: str
    times: int = 1


NOTICES: tuple[Notice, ...] = (
    Notice(
        "no-chat-template",
        re.compile(
            r"default chat template is no longer allowed|does not (?:have|define|support) (?:a )?chat template"
            r"|[Nn]o chat template|ChatTemplateResolutionError|Cannot use chat template functions"
            r"|Chat template (?:warmup failed|not found)|tokenizer\.chat_template is not set"
        ),
        "This model has no chat template: chats fail, only plain completions work.",
        "Give one by the flag chat-template, or use the chat version of the model (often named Instruct).",
    ),
    Notice(
        "context-reduced",
        re.compile(
            r"(?:[Rr]educ\w+|[Cc]app\w+|[Tt]runcat\w+|[Aa]uto-fit|[Cc]lamp\w+)\b.{0,60}max_model_len"
            r".{0,60}? to (?P<length>\d[\d,]*)"
            r"|max_model_len.{0,40}(?:reduced|limited|capped|auto-fit\w*).{0,40}? to (?P<limit>\d[\d,]*)"
        ),
        "The context length was reduced to {length}{limit} tokens.",
        "Longer requests are refused; a longer context needs more memory, or another model.",
    ),
    Notice(
        "sliding-window-disabled",
        re.compile(
            r"[Dd]isabling sliding window|capping the max.{0,40}sliding window|sliding window.{0,40}disabled"
        ),
        "The model's sliding window is not used, so its context is shorter or costs more memory.",
        "Another attention backend, or another version of the engine, may support it.",
    ),
    Notice(
        "fp8-emulated",
        re.compile(r"Your GPU does not have native support for FP8"),
        "This GPU has no FP8 of its own: the weights stay small, and the computing is slower.",
        "For full speed use a GPU of Ada, Hopper or newer, or the model in another quantization.",
    ),
    Notice(
        "no-native-implementation",
        re.compile(r"has no vLLM implementation, falling back to Transformers implementation"),
        "vLLM does not know this model itself and runs it by the slower general way.",
        "A newer version of the engine may know it.",
    ),
    Notice(
        "slow-attention",
        re.compile(
            r"Cannot use Flash ?(?:Attention|MLA)\S* backend|(?:FlashAttention|FlashInfer)\S* "
            r"(?:is not|not|unavailable)\b.{0,80}(?i:fall(?:ing|s)? ?back)"
        ),
        "The faster attention cannot be used here, so answers come slower.",
        "The line says why: an older GPU, the data type, or a missing package.",
    ),
    Notice(
        "slow-kernels",
        re.compile(
            r"[Ff]alling back to (?P<what>unoptimized [\w ]+ kernels|Moe WNA16 kernels|PyTorch-native|eager)"
            r"|(?P<other>fallback to eager)|may result in reduced performance|[Pp]erformance might be sub-optimal"
            r"|CUDA graph is not supported for"
        ),
        "A slower way of computing is used than this engine has.",
        "The line says for what; another quantization or version may be faster.",
    ),
    Notice(
        "data-type-replaced",
        re.compile(r"Your device .{0,80} doesn't support (?P<what>\S+?)\. Falling back to (?P<to>\S+)"),
        "This device has no {what}: the model is computed in {to}.",
        "Results may differ a little. Set the data type yourself to have it said.",
    ),
    Notice(
        "data-type-cast",
        re.compile(r"Casting torch\.(?P<what>bfloat16) to torch\.(?P<to>float16)"),
        "The model was made in {what} and is computed in {to}, which holds smaller numbers.",
        "If answers are garbled, use float32 or a GPU that has {what}.",
    ),
    Notice(
        "cache-too-small",
        re.compile(r"Maximum concurrency for (?P<length>[\d,]+) tokens per request: (?P<times>0\.\d+)x"),
        "The KV cache does not hold one request of the full context ({times} of {length} tokens).",
        "Set a shorter context length, or give the engine more memory.",
    ),
    Notice(
        "preempted",
        re.compile(r"is preempted by|[Pp]reempt(?:ed|ing) (?:sequence|request)|num_cumulative_preemption"),
        "Requests had to be put off because the KV cache was full.",
        "Lower max-num-seqs or the context length, or give the engine more memory.",
    ),
    Notice(
        "swapped",
        re.compile(r"Swapped: [1-9]\d* reqs"),
        "Requests were moved out of the GPU because the KV cache was full.",
        "Lower max-num-seqs or the context length, or give the engine more memory.",
    ),
    Notice(
        "workers-wait",
        re.compile(r"No available (?:shared memory broadcast )?block found in \d+ sec"),
        "The engine's processes waited for each other for a minute or longer.",
        "It is normal while it compiles; if it goes on, the GPUs may not reach each other (NCCL_P2P_DISABLE=1).",
    ),
    Notice(
        "cpu-cache-unset",
        re.compile(r"VLLM_CPU_KVCACHE_SPACE.{0,60}not set"),
        "The KV cache of this CPU engine was left at its default size.",
        "Set kv-cache-memory-bytes (or VLLM_CPU_KVCACHE_SPACE) to what the machine can spare.",
    ),
    Notice(
        "slow-tokenizer",
        re.compile(r"Using a slow tokenizer"),
        "The model's tokenizer is a slow one, which holds up long prompts.",
        "Use a model, or a flag tokenizer, with a fast one.",
    ),
    Notice(
        "prefix-caching-off",
        re.compile(
            r"[Dd]isabling (?:automatic )?prefix caching|[Pp]refix caching (?:is|has been|will be) disabled"
        ),
        "Prompts that begin alike are computed anew each time: prefix caching is off for this model.",
        "Another version of the engine may support it.",
    ),
    Notice(
        "speculation-off",
        re.compile(
            r"[Ss]peculative (?:decoding|config)\b.{0,80}(?:ignored|disabled|not supported|no effect)"
            r"|[Dd]isabling speculative"
        ),
        "Speculative decoding was asked for and is not used.",
        "Take it out, or use a version of the engine that supports it here.",
    ),
    Notice(
        "scales-missing",
        re.compile(
            r"Using KV cache scaling factor 1\.0 for|Using uncalibrated q_scale|[Aa]ccuracy may be affected"
        ),
        "Numbers are rounded by factors that were not made for this model; answers may be worse.",
        "Take kv-cache-dtype out, or use a model that brings its scales.",
    ),
    Notice(
        "weights-differ",
        re.compile(r"but not found the expected name in the model|Some weights of .* were not initialized"),
        "Some of the model's weights were not used as they were meant.",
        "Take the model from its source again, or use a version of the engine that knows it.",
    ),
    Notice(
        "rope-beyond-model",
        re.compile(r"VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution"),
        "The context is longer than the model was made for; long answers may be nonsense.",
        "Set a context length within the model's own limit.",
    ),
    Notice(
        "flag-deprecated",
        re.compile(
            r"(?<![\w-])(?P<flag>--[a-z][\w.-]+)`?'?\"? (?:(?:flag|option|argument) )?(?:is|has been|are) deprecated"
            r"|[Dd]eprecat\w+:? (?:flag|option|argument) [`'\"]?(?P<name>--[a-z][\w.-]+)"
        ),
        "The flag {flag}{name} will go away in a later version of the engine.",
        "The line says what takes its place.",
    ),
    Notice(
        "quantization-deprecated",
        re.compile(r"The quantization method (?P<method>\S+) is deprecated"),
        "The quantization {method} will go away in a later version of the engine.",
        "Look for the model in another quantization.",
    ),
    Notice(
        "requests-fail",
        re.compile(r'" 500 Internal Server Error|Exception in ASGI application'),
        "Requests end in an error of the engine (500).",
        "The lines before it in the log say why.",
        times=3,
    ),
)


class NoticeReader:
    """Collects notices of one launch, line by line. Each is told once, by the first line that proves it."""

    def __init__(self) -> None:
        self.notices: list[dict[str, Any]] = []
        self._counts: dict[str, int] = {}

    def feed(self, text: str) -> bool:
        """Take in one cleaned line, and say whether there is a new notice."""
        line = line_of(text)
        if not line.message or line.is_source:
            return False
        for notice in NOTICES:
            if self._counts.get(notice.code, 0) >= notice.times or not (
                match := notice.pattern.search(line.message)
            ):
                continue
            self._counts[notice.code] = self._counts.get(notice.code, 0) + 1
            if self._counts[notice.code] < notice.times or len(self.notices) >= MOST:
                return False
            words = defaultdict(str, {name: found or "" for name, found in match.groupdict().items()})
            self.notices.append(
                {
                    "code": notice.code,
                    "text": notice.text.format_map(words),
                    "advice": notice.advice.format_map(words),
                    "evidence": line.whole[:EVIDENCE_LIMIT],
                }
            )
            return True
        return False
