"""The counters of the fake engine, on a page like vLLM's."""

from __future__ import annotations

from dataclasses import dataclass, field

BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 20.0, 80.0)
REASONS = ("stop", "length", "abort", "error", "repetition")
CACHE_TOKENS = 65_536


@dataclass
class Metrics:
    model: str
    running: int = 0
    waiting: int = 0
    cached: int = 0  # tokens of running requests
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    first_token: list[float] = field(default_factory=list)  # seconds

    def page(self) -> str:
        """Prometheus text, as `/metrics` of vLLM 0.32."""
        lines: list[str] = []

        def add(kind: str, name: str, about: str, values: dict[str, float], suffix: str = "") -> None:
            lines.extend((f"# HELP vllm:{name} {about}", f"# TYPE vllm:{name} {kind}"))
            for labels, value in values.items():
                more = f",{labels}" if labels else ""
                lines.append(
                    f'vllm:{name}{suffix}{{engine="0",model_name="{self.model}"{more}}} {float(value)}'
                )

        add(
            "gauge",
            "num_requests_running",
            "Number of requests in model execution batches.",
            {"": self.running},
        )
        add(
            "gauge", "num_requests_waiting", "Number of requests waiting to be processed.", {"": self.waiting}
        )
        usage = min(self.cached / CACHE_TOKENS, 1.0)
        add("gauge", "kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", {"": usage})
        add("counter", "prompt_tokens_total", "Number of prefill tokens processed.", {"": self.prompt_tokens})
        about = "Number of generation tokens processed."
        add("counter", "generation_tokens_total", about, {"": self.generation_tokens})
        finished: dict[str, float] = {f'finished_reason="{name}"': n for name, n in self.finished.items()}
        add("counter", "request_success_total", "Count of successfully processed requests.", finished)
        times = self.first_token
        buckets: dict[str, float] = {f'le="{top}"': sum(one <= top for one in times) for top in BUCKETS}
        buckets['le="+Inf"'] = len(times)
        about = "Histogram of time to first token in seconds."
        add("histogram", "time_to_first_token_seconds", about, buckets, "_bucket")
        labels = f'{{engine="0",model_name="{self.model}"}}'
        lines.append(f"vllm:time_to_first_token_seconds_count{labels} {float(len(times))}")
        lines.append(f"vllm:time_to_first_token_seconds_sum{labels} {sum(times)}")
        return "\n".join(lines) + "\n"
