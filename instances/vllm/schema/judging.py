"""All flags of a configuration against what an engine knows: every wrong one gets a sentence of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from instances.vllm.flags import canonical_flag, refused_flag

from .removed import REMOVED
from .schema import Flag, Schema, Spelling, canonical, shipped
from .values import Wrong, is_default, judge, size_of

LONGEST = 4000  # characters of one value
TYPO = 0.8  # likeness, of difflib, from which an unknown name is taken for a mistyped one
CheckPath = Callable[[str], object]  # raises ValueError, or what the caller catches, with a sentence

# Flags that may name a file or a folder: the values themselves, or the texts inside their JSON.
PATHS = frozenset(
    (
        *("chat-template", "tokenizer", "hf-config-path", "generation-config", "spec-model"),
        *("mm-encoder-fp8-scale-path", "lora-modules", "default-mm-loras", "speculative-config"),
        *("mm-processor-kwargs", "media-io-kwargs"),
    )
)

# Parts of names by which a flag that nobody has judged yet is refused. See `unjudged`.
RISKY = frozenset(
    """
    plugin plugins cls class classes module modules import script code hook callable processors middleware
    loader extra override overrides connector path paths file files filename dir dirs directory folder save
    dump export addr address host hosts port ports url urls uri endpoint endpoints socket ip master server
    remote transfer ray proxy redirect token key secret profile profiler trace traces program command exec
    executable
    """.split()
)


@dataclass
class Judged:
    """`args` as a configuration keeps them; `errors` by the names as they were written."""

    args: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def judge_args(args: Mapping[Any, Any], schema: Schema, check_path: CheckPath) -> Judged:
    """Judge flags in any spelling. What the engine does anyway is left out, and null means "not given".

    What no engine may be given is refused first; then names and values are looked up in the schema.
    `check_path` gets every value that names a file. Its ValueError is the sentence.
    """
    judged = Judged()
    seen: set[str] = set()
    for key, value in args.items():
        written = str(key)
        if value is None:
            continue
        try:
            flag, setting = _one(written, value, schema, check_path)
            name = flag.name if isinstance(flag, Flag) else flag
            dotted = isinstance(setting, Mapping) and "." in written
            if name in seen and not (dotted and isinstance(judged.args.get(name), Mapping)):
                raise Wrong(f"--{name} is given twice.")
        except ValueError as wrong:
            judged.errors[written] = str(wrong)
            continue
        seen.add(name)
        if dotted and name in judged.args:
            setting = _merged(judged.args[name], setting)
        if not _goes_without_saying(flag, setting, schema):
            judged.args[name] = setting
    return judged


def unjudged(flag: Flag, schema: Schema) -> str | None:
    """Why a flag that came after the shipped version may not be given yet; None where it may.

    The flags of the shipped version were all looked at (a test lists them). Of a newer one, those are refused
    whose name, or a key of whose JSON, sounds like code, files or other machines.
    """
    if flag.name in shipped().flags:
        return None
    inside = flag.kind in ("json", "either") and (not flag.keys or any(map(is_risky, flag.keys)))
    if is_risky(flag.name) or inside:
        return (
            f"--{flag.name} is not in vLLM {shipped().version}, and whether it loads code, opens files or talks "
            f"to other machines in {schema.version} was not judged yet. It is refused until then."
        )
    return None


def is_risky(name: str) -> bool:
    return not RISKY.isdisjoint(re.split(r"[-_.]", name.lower()))


def unknown(written: str, schema: Schema) -> str:
    """What to say of a name that no flag has: the nearest ones, and whose flags were looked at."""
    name = f"--{canonical(written)}"
    if several := schema.beginning_with(written):
        return f"{name} could be {_listed(several)}."
    if schema.stands_in_for:
        said = f"As far as the flags of vLLM {schema.version} are known, there is no {name}."
    else:
        said = f"There is no flag {name} in vLLM {schema.version}."
    near = schema.nearest(written)
    return f"{said} Did you mean {_listed(near)}?" if near else said


def paths_in(name: str, value: Any) -> Iterator[str]:
    """What looks like the path of a file or folder in the value of a flag that may name one."""
    if name not in PATHS and name in shipped().flags:
        return
    for text in _texts(value):
        if text.lstrip().startswith(('{"', "[")) and (inner := _read(text)) != text:
            yield from paths_in(name, inner)  # JSON in one of several values
            continue
        for part in (text, text.partition("=")[2]) if name == "lora-modules" else (text,):
            if part.startswith(("/", "./", "../", "~")) or (".." in part.split("/") and "{" not in part):
                yield part


def _one(written: str, value: Any, schema: Schema, check_path: CheckPath) -> tuple[Flag | str, Any]:
    """The flag (or the name of one that this schema lacks) and its judged value. Raises ValueError."""
    exact = schema.exact(written)
    if (
        exact is None
        and (gone := REMOVED.get(canonical(written)))
        and not (schema.stands_in_for and schema.is_older)
    ):
        raise Wrong(f"vLLM {schema.version} has no --{canonical(written)} any more. {gone.instead}")
    if why := refused_flag(written, value):
        raise Wrong(why if written.lstrip("-") in why else f"{written}: {why}")
    spelling = schema.spelling(written)
    if spelling is None:
        return _unknown(written, value, schema, check_path)
    flag = spelling.flag
    setting = _value(spelling, written, value, schema)
    if why := refused_flag(flag.name, setting) or unjudged(flag, schema):
        raise Wrong(why)
    if setting is not None:
        _plain(flag.name, setting)
        for path in paths_in(flag.name, setting):
            check_path(path)
    return flag, setting


def _value(spelling: Spelling, written: str, value: Any, schema: Schema) -> Any:
    flag = spelling.flag
    strict = not schema.stands_in_for
    if spelling.value is not None:
        value = spelling.value if value is True else value
    if spelling.keys:
        value = _nested(spelling.keys, value, appends=written.rstrip().endswith("+"))
    setting = judge(flag, value, strict=strict)
    if not spelling.negated:
        return setting
    if not isinstance(setting, bool):
        raise Wrong(f"--{flag.name} has no --no- form.")
    return not setting


def _nested(keys: tuple[str, ...], value: Any, appends: bool) -> Any:
    """`--a.b.c 1` as {"b": {"c": 1}}, with the value read as vLLM reads it: JSON, a size, or the text itself."""
    if appends and isinstance(value, str):
        value = value.split(",")
    elif isinstance(value, str):
        value = _read(value)
    for key in reversed(keys):
        value = {key: value}
    return value


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        size = size_of(text)
        return text if size is None else size


def _merged(one: Any, other: Any) -> Any:
    """Dotted keys of one flag together."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {
            **one,
            **{key: _merged(one[key], value) if key in one else value for key, value in other.items()},
        }
    return other


def _unknown(written: str, value: Any, schema: Schema, check_path: CheckPath) -> tuple[str, Any]:
    """A name that the schema lacks. It is let through only where the engine has another version.

    Then the engine itself may know it, and says so if not; but what looks like a slip, or like code, files
    and other machines, stays refused.
    """
    name = canonical_flag(written)
    slip = schema.beginning_with(written) or schema.nearest(written, TYPO)
    if not schema.stands_in_for or (slip and not schema.is_older):
        raise Wrong(unknown(written, schema))
    if is_risky(name):
        raise Wrong(
            f"{unknown(written, schema)} It is refused until vLLM {schema.stands_in_for}'s flags are read."
        )
    _plain(name, value)
    for path in paths_in(name, value):
        check_path(path)
    return name, value


def _goes_without_saying(flag: Flag | str, setting: Any, schema: Schema) -> bool:
    """What the engine does anyway. Of another version's flags the defaults are not known."""
    if setting is None:
        return True
    if isinstance(flag, str):
        return False
    if setting is False and flag.negated is None:
        return True  # a switch without a --no- form is off by being left out
    return not schema.stands_in_for and is_default(flag, setting)


def _plain(name: str, value: Any) -> None:
    """Raises Wrong for text that no command line or database should hold."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        raise Wrong(f"--{name}: this cannot be written as JSON.") from None
    for text in _texts(value):
        if len(text) > LONGEST:
            raise Wrong(f"--{name}: this is too long.")
        if any(ord(character) < 32 or ord(character) == 127 for character in text):
            raise Wrong(f"--{name}: line breaks and control characters are not allowed here.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _listed(names: tuple[str, ...]) -> str:
    *most, last = [f"--{name}" for name in names[:4]]
    return f"{', '.join(most)} or {last}" if most else last
