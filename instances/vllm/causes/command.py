"""The command itself: its flags and their values."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from .cause import Cause, Groups, flag_name, thousands, whole

FLAG = re.compile(r"(?<!\S)--?[A-Za-z][\w.-]*")
PAIR = re.compile(r"([\w.-]+)\s*[=:]\s*([\w.+-]+)")
AUTOMATIC = {  # fields of the deploy form that may be left empty
    "dtype": "dtype",
    "max-model-len": "max_model_len",
    "gpu-memory-utilization": "gpu_memory_utilization",
    "tensor-parallel-size": "tensor_parallel_size",
    "quantization": "quantization",
    "port": "port",
    "trust-remote-code": "trust_remote_code",
}


def _flags(groups: Groups) -> list[str]:
    return FLAG.findall(groups["rest"]) or [groups["rest"].split()[0]]


def _named(groups: Groups) -> dict[str, str]:
    flags = _flags(groups)
    return {"flags": flags[0] if len(flags) == 1 else f"{', '.join(flags[:-1])} and {flags[-1]}"}


def _without(flags: list[str]) -> dict[str, Any] | None:
    """The change that takes these flags out."""
    names = [flag_name(flag) for flag in flags if flag.startswith("-")]
    change: dict[str, Any] = {AUTOMATIC[name]: None for name in names if name in AUTOMATIC}
    if args := {name: None for name in names if name not in AUTOMATIC}:
        change["args"] = args
    return change or None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def as_json(text: str) -> Any:
    """What `image=4,audio=1` or `{'image': 4}` means in JSON, or None."""
    try:
        meant = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        meant = None
    if not isinstance(meant, dict | list):
        parts = [PAIR.fullmatch(part.strip().strip("\"'")) for part in text.strip("{} ").split(",")]
        meant = {part[1]: _value(part[2]) for part in parts if part} if all(parts) else None
    try:
        json.dumps(meant)
    except (TypeError, ValueError):
        return None
    return meant


def _json(groups: Groups) -> dict[str, str]:
    meant = as_json(groups["value"])
    example = json.dumps(meant) if meant else '{"image": 4}'
    return {"json": example, "so": "" if meant else "such as "}


def _json_change(groups: Groups) -> dict[str, Any] | None:
    meant = as_json(groups["value"])
    return {"args": {flag_name(groups["flag"]): meant}} if meant else None


COMMAND: tuple[Cause, ...] = (
    Cause(
        "cannot-execute",
        (r"(?:could not|cannot|can't) (?:start|run|execute) (?P<what>\S+?): (?P<why>.+)",),
        "The engine's command {what} could not be started: {why}.",
        "Check that the engine is installed and that this user may execute it.",
        final=True,
    ),
    Cause(
        "unknown-flag",
        (r"error: unrecognized arguments?: (?P<rest>\S.*)", r"[Nn]o such option:? (?P<rest>-\S+)"),
        "This version of vLLM does not know {flags}.",
        "Remove it, or use the name that this version has for it.",
        final=True,
        derive=_named,
        change=lambda groups: _without(_flags(groups)),
    ),
    Cause(
        "ambiguous-flag",
        (r"error: ambiguous option: (?P<flag>[^\s=]+)\S* could match (?P<choices>.+)",),
        "{flag} is short for several flags: {choices}.",
        "Write the flag's whole name.",
        final=True,
    ),
    Cause(
        "missing-argument",
        (r"error: the following arguments are required: (?P<what>.+)",),
        "The command lacks {what}.",
        "Give it a value.",
        final=True,
    ),
    Cause(
        "bad-choice",
        (
            r"error: argument (?P<flag>[^\s:]+): invalid choice: (?P<value>.+?) "
            r"\(choose from (?P<choices>.+)\)",
            r"invalid (?P<flag>tool call parser|reasoning parser): (?P<value>\S+) "
            r"\(chose from \{? ?(?P<choices>[^}]+?) ?\}?\)",
        ),
        "{flag} cannot be {value}.",
        "Choose one of {choices}.",
        final=True,
    ),
    Cause(
        "not-json",
        (
            r"error: argument (?P<flag>[^\s:]+): Value (?P<value>.+?) cannot be converted to <function loads",
            r"error: argument (?P<flag>[^\s:]+): invalid loads value: (?P<quote>['\"]?)(?P<value>.+)(?P=quote)",
            r"error: argument (?P<flag>[^\s:]+): (?:Invalid|Not valid) JSON.*?: (?P<value>.+)",
        ),
        "{flag} wants JSON, and {value} is not.",
        "Write it as JSON, {so}{json}, with double quotes.",
        final=True,
        derive=_json,
        change=_json_change,
    ),
    Cause(
        "unfit-setting",
        (r"error: argument (?P<flag>[^\s:]+): \d+ validation errors? for (?P<what>\w+)$",),
        "{flag} was not accepted: {what} does not know a name in it, or cannot have a value in it.",
        "The lines after this one in the log name it: correct it, or remove the flag.",
        final=True,
    ),
    Cause(
        "bad-value",
        (r"error: argument (?P<flag>[^\s:]+): (?P<why>.+)",),
        "{flag} was not accepted: {why}.",
        "Correct the value, or remove the flag.",
        final=True,
    ),
    Cause(
        "flag-missing",
        (r"TypeError: Error: --(?P<flag>[\w-]+) requires --(?P<needs>[\w-]+)",),
        "--{flag} needs --{needs} beside it.",
        "Add --{needs}, or take --{flag} out.",
        final=True,
        change=lambda groups: _without([f"--{groups['flag']}"]),
    ),
    Cause(
        "chat-template-missing",
        (
            r"supplied chat template (?:string )?\((?P<file>.+?)\) (?:appears|looks)",
            r"the supplied chat template path doesn't exist",
        ),
        "The chat template's file is not there: {file}.",
        "Correct the path of chat-template, or take it out and use the model's own.",
        final=True,
        change={"args": {"chat-template": None}},
    ),
    Cause(
        "batch-shorter-than-context",
        (r"max_num_batched_tokens \((?P<batch>\d+)\) is smaller than max_model_len \((?P<context>\d+)\)",),
        "A step of {batch} tokens is less than the context of {context}, and prompts may not be cut up.",
        "Raise max-num-batched-tokens to {context}, or shorten the context to {batch}.",
        final=True,
        derive=thousands,
        change=lambda groups: {"args": {"max-num-batched-tokens": whole(groups["context"])}},
    ),
    Cause(
        "batch-smaller-than-sequences",
        (
            r"max_num_batched_tokens \((?P<batch>\d+)\) must be greater than or equal to max_num_seqs "
            r"\((?P<sequences>\d+)\)",
        ),
        "A step of {batch} tokens is less than one for each of {sequences} sequences.",
        "Lower max-num-seqs to {batch}, or raise max-num-batched-tokens.",
        final=True,
        derive=thousands,
        change=lambda groups: {"args": {"max-num-seqs": whole(groups["batch"])}},
    ),
)

# What pydantic says of any setting: only when nothing better is known.
REFUSED: tuple[Cause, ...] = (
    Cause(
        "setting-refused",
        (r"^\s{2}Input should be (?P<why>.+?) \[type=\w+, input_value=(?P<value>.+?), input_type=",),
        "A setting cannot be {value}: it should be {why}.",
        "Correct it; the lines before this one in the log name it.",
        final=True,
    ),
    Cause(
        "setting-refused",
        (r"^\s{2}(?:Value|Assertion) error, (?P<why>.+?)(?: \[type=\w+, input_value=.*)?$",),
        "The engine refused its settings: {why}.",
        "Change the setting that it names.",
        final=True,
    ),
)
