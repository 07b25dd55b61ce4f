"""The counters of the fake engine, on a page like vLLM's."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field


def _edges(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


FIRST_TOKEN = _edges(
    "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 20 40 80 160 640 2560"
)
OUTPUT_TOKEN = _edges("0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1 2.5 5 7.5 10 20 40 80")
REQUEST = _edges("0.3 0.5 0.8 1 1.5 2 2.5 5 10 15 20 30 40 50 60 120 240 480 960 1920 7680")
REASONS = ("stop", "length", "abort", "error", "repetition")
CACHE_TOKENS = 65_536


@dataclass
class Times:
    """A histogram of seconds."""

    edges: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.edges) + 1)

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.edges, seconds)] += 1
        self.sum += seconds

    @property
    def buckets(self) -> dict[str, float]:
        found, below = {}, 0
        for edge, count in zip((*map(str, self.edges), "+Inf"), self.counts, strict=True):
            below += count
            found[f'le="{edge}"'] = float(below)
        return found


@dataclass
class Metrics:
    model: str
    running: int = 0
    waiting: int = 0
    cached: int = 0  # tokens of running requests
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    first_token: Times = field(default_factory=lambda: Times(FIRST_TOKEN))
    output_token: Times = field(default_factory=lambda: Times(OUTPUT_TOKEN))
    whole: Times = field(default_factory=lambda: Times(REQUEST))
    queue: Times = field(default_factory=lambda: Times(REQUEST))

    def page(self) -> str:
        """Prometheus text, as `/metrics` of vLLM 0.32."""
        self._lines: list[str] = []
        add = self._add
        add("gauge", "num_requests_running", "Number of requests in model execution batches.", self.running)
        add("gauge", "num_requests_waiting", "Number of requests waiting to be processed.", self.waiting)
        usage = min(self.cached / CACHE_TOKENS, 1.0)
        add("gauge", "kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", usage)
        add("counter", "prefix_cache_queries_total", "Prefix cache queries.", self.prompt_tokens)
        add("counter", "prefix_cache_hits_total", "Prefix cache hits.", 0)
        add("counter", "num_preemptions_total", "Cumulative number of preemption from the engine.", 0)
        add("counter", "prompt_tokens_total", "Number of prefill tokens processed.", self.prompt_tokens)
        about = "Number of generation tokens processed."
        add("counter", "generation_tokens_total", about, self.generation_tokens)
        finished: dict[str, float] = {f'finished_reason="{name}"': n for name, n in self.finished.items()}
        add("counter", "request_success_total", "Count of successfully processed requests.", finished)
        for name, about, times in (
            ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", self.first_token),
            (
                "request_time_per_output_token_seconds",
                "Histogram of time_per_output_token_seconds per request.",
                self.output_token,
            ),
            ("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", self.whole),
            ("request_queue_time_seconds", "Histogram of time spent in WAITING phase.", self.queue),
        ):
            add("histogram", name, about, times.buckets, "_bucket")
            labels = f'{{engine="0",model_name="{self.model}"}}'
            self._lines.append(f"vllm:{name}_count{labels} {float(sum(times.counts))}")
            self._lines.append(f"vllm:{name}_sum{labels} {times.sum}")
        labels = (
            f'block_size="128",kv_cache_size_tokens="{CACHE_TOKENS}",num_gpu_blocks="{CACHE_TOKENS // 128}"'
        )
        add("gauge", "cache_config_info", "Information of the LLMEngine CacheConfig", {labels: 1})
        return "\n".join(self._lines) + "\n"

    def _add(
        self, kind: str, name: str, about: str, values: float | dict[str, float], suffix: str = ""
    ) -> None:
        self._lines.extend((f"# HELP vllm:{name} {about}", f"# TYPE vllm:{name} {kind}"))
        for labels, value in values.items() if isinstance(values, dict) else [("", values)]:
            more = f",{labels}" if labels else ""
            start = f'vllm:{name}{suffix}{{engine="0",model_name="{self.model}"{more}}}'
            self._lines.append(f"{start} {float(value)}")
