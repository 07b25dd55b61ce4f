"""What a failed launch advises, laid over the configuration: for a person to look at and deploy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from .vllm.flags import canonical_flag


def mended(body: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a deploy with the change made: `args` and `env` key by key; None takes a key out."""
    result = dict(body)
    for key, value in change.items():
        if key in ("args", "env") and isinstance(value, Mapping):
            result[key] = _laid_over(body.get(key) or {}, value, flags=key == "args")
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def _laid_over(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, flags: bool) -> dict[str, Any]:
    spell = canonical_flag if flags else str
    merged = {spell(name): value for name, value in ours.items()}
    merged |= {spell(name): value for name, value in theirs.items()}
    return {name: value for name, value in merged.items() if value is not None}


def button(change: Mapping[str, Any] | None) -> str:
    """What the change does, as the label of a button; empty without one."""
    words = [todo for todo, _done in _words(change or {})]
    return words[0] if len(words) == 1 else _("Change it and try again") if words else ""


def done(change: Mapping[str, Any]) -> str:
    """`Context length set to 34,688`, several after commas."""
    words = [done for _todo, done in _words(change)]
    return ", ".join([*words[:1], *(word[:1].lower() + word[1:] for word in words[1:])])


def _words(change: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of each single change: what is to be done, and that it was."""
    for key, value in change.items():
        if key == "args" and isinstance(value, Mapping):
            for flag, setting in value.items():
                yield _of_flag(f"--{canonical_flag(flag)}", setting)
        elif key == "env" and isinstance(value, Mapping):
            for name, setting in value.items():
                yield _of_flag(str(name), setting)
        elif key == "trust_remote_code" and value:
            yield _("Allow remote code"), _("Remote code allowed")
        elif key == "port" and value is None:
            yield _("Take another port"), _("Port set to automatic")
        else:
            yield _of_field(key, value)


def _of_field(key: str, value: Any) -> tuple[str, str]:
    names = {
        "max_model_len": (_("the context length"), _("Context length")),
        "dtype": (_("the data type"), _("Data type")),
        "gpu_memory_utilization": (_("the share of GPU memory"), _("Share of GPU memory")),
        "tensor_parallel_size": (_("the number of GPUs"), _("Number of GPUs")),
        "quantization": (_("the quantization"), _("Quantization")),
    }
    name, capital = names.get(key, (key, key))
    if value is None:
        words = {"name": name, "capital": capital}
        return _("Set %(name)s to automatic") % words, _("%(capital)s set to automatic") % words
    shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    words = {"name": name, "capital": capital, "value": shown}
    return _("Set %(name)s to %(value)s") % words, _("%(capital)s set to %(value)s") % words


def _of_flag(flag: str, value: Any) -> tuple[str, str]:
    words = {"flag": flag, "value": value}
    if value is None:
        return _("Take %(flag)s out") % words, _("%(flag)s taken out") % words
    if value is True:
        return _("Add %(flag)s") % words, _("%(flag)s added") % words
    if isinstance(value, Mapping | list):
        return _("Correct %(flag)s") % words, _("%(flag)s corrected") % words
    return _("Set %(flag)s to %(value)s") % words, _("%(flag)s set to %(value)s") % words
