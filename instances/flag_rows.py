"""The flags of a configuration as rows of the deploy form: one for each flag that is set, with a control by its kind.

A row is sent as `flag` (its name as it was written, in the order of the rows) and `args.<name>` (its text). So what
was typed comes back as it was, a flag that does not exist too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .flag_text import args_of, flag_of, text_of, value_of
from .vllm.flags import refused_name
from .vllm.refusals import FIELDS, NESTED
from .vllm.schema import Flag, Schema
from .vllm.schema.removed import REMOVED
from .vllm.schema.schema import canonical
from .vllm.schema.values import OFF

KINDS: dict[str, str | Promise] = {
    "switch": gettext_lazy("switch"),
    "whole": gettext_lazy("whole number"),
    "number": gettext_lazy("number"),
    "size": gettext_lazy("number, or a size like 32k or 8G"),
    "text": gettext_lazy("text"),
    "json": gettext_lazy("JSON"),
    "either": gettext_lazy("text or JSON"),
}
LONG = 60  # characters of a text, from which it gets lines
MOST = 400  # rows of one form


class FlagRows(forms.Widget):
    """Reads rows as {name as written: text}. Lines of `args` (a page without scripts) and a mapping count too."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, Any]:
        given = data.get(name)
        if isinstance(given, Mapping):
            return dict(given)
        rows: dict[str, Any] = {}
        for written in data.getlist("flag")[:MOST] if hasattr(data, "getlist") else ():
            rows[written] = data.get(
                f"{name}.{written}", ""
            ).strip()  # the last one: an unticked box sends none
        for written, value in args_of(given or "").items():
            while written in rows:
                written = f"--{written}"
            rows[written] = value
        return rows


class FlagField(forms.Field):
    widget = FlagRows

    def clean(self, value: Any) -> dict[str, Any]:
        return dict(value or {})


def values_of(rows: Mapping[str, Any], flags: Schema) -> dict[str, Any]:
    """The `args` of a deploy's body. A row without a text means that the flag is not given.

    Texts of flags that the schema knows are left to the judge, who knows their kinds.
    """
    return {written: _value(written, value, flags) for written, value in rows.items()}


def _value(written: str, value: Any, flags: Schema) -> Any:
    if not isinstance(value, str):
        return value
    flag = flags.find(written)
    if value == "":
        # a name that is wrong in itself is said to be, before it has a value
        return True if flag is None or flag.name in FIELDS or refused_name(flag.name) else None
    return value_of(value) if flag is None else value


@dataclass(frozen=True)
class Row:
    """One flag that is set. `flag` is None where the engine knows none of this name."""

    written: str
    flag: Flag | None
    text: str
    error: str = ""
    is_changed: bool = False  # by the console, and not yet seen
    takes_focus: bool = False
    instead: tuple[
        str, ...
    ] = ()  # names for one that does not exist; itself, where what replaced it is known

    @property
    def id(self) -> str:
        return f"flag-{re.sub(r'[^A-Za-z0-9_-]', '_', self.written)}"

    @property
    def control(self) -> str:
        """switch, select, lines or line."""
        if self.flag is None:
            return "line"
        if self.flag.kind == "switch":
            return "switch" if self.text in ("true", "false") else "line"
        if self.flag.choices and not self.flag.several:
            return "select"
        many = self.flag.several or self.flag.kind in ("json", "either") or len(self.text) > LONG
        return "lines" if many else "line"

    @property
    def is_numeric(self) -> bool:
        return self.flag is not None and self.flag.kind in ("whole", "number") and not self.flag.several

    @property
    def foreign(self) -> str:
        """A text that is none of the choices; it stays to be seen."""
        same = self.flag is None or self.text in self.flag.choices
        return "" if same else self.text

    @property
    def keys(self) -> list[str]:
        """The keys of its JSON that one may set."""
        return (
            [key for key in self.flag.keys if key not in NESTED.get(self.flag.name, ())] if self.flag else []
        )

    @property
    def rest(self) -> str:
        """The help after its first sentence."""
        return self.flag.help.removeprefix(self.flag.summary).strip() if self.flag else ""

    @property
    def kind(self) -> str:
        return kind_of(self.flag) if self.flag else ""

    @property
    def default(self) -> str:
        return default_of(self.flag) if self.flag else ""

    @property
    def placeholder(self) -> str:
        return self.default if self.control == "line" else ""


def kind_of(flag: Flag) -> str:
    """What its value is, in words."""
    if flag.choices and not flag.several:
        return _("choice")
    kind = str(KINDS[flag.kind])
    return _("%(kind)s, one a line") % {"kind": kind} if flag.several else kind


def default_of(flag: Flag) -> str:
    """The default in words; empty where there is none, or the engine works it out."""
    if flag.default is None:
        return ""
    if isinstance(flag.default, bool):
        return _("on") if flag.default else _("off")
    return text_in_row(flag.default, flag).replace("\n", ", ")


def text_in_row(value: Any, flag: Flag | None) -> str:
    """The text that a row shows for a value, and that its judge takes for this value again."""
    if value is None:
        return ""
    if flag is None:
        return text_of(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = value
    elif (
        isinstance(value, list) and flag.several and all(isinstance(one, str | int | float) for one in value)
    ):
        text = "\n".join(str(one) for one in value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    if flag.kind == "switch" and text.lower() in ("true", "false", "on", "off", "yes", "no", "1", "0"):
        return "false" if text.lower() in OFF else "true"
    return text


def rows_of(
    given: Mapping[str, Any],
    flags: Schema,
    errors: Mapping[str, str],
    changed: Collection[str] = (),
    focus: str | None = None,
) -> list[Row]:
    """`given` is what was typed (texts), or a configuration's `args`; `focus` names the row that takes it."""
    rows = []
    for written, value in given.items():
        spelling = flags.spelling(written)
        flag = spelling.flag if spelling and not spelling.negated and not spelling.keys else None
        text = value if isinstance(value, str) and flag is None else text_in_row(value, flag)
        instead = () if spelling or written not in errors else _instead(given, written, flags)
        error = errors.get(written, "")
        rows.append(Row(written, flag, text, error, written in changed, written == focus, instead))
    return rows


def _instead(given: Mapping[str, Any], written: str, flags: Schema) -> tuple[str, ...]:
    if canonical(written) not in REMOVED:
        return flags.nearest(written)
    return () if _change(given, written, flags) is None else (written,)


def _change(given: Mapping[str, Any], written: str, flags: Schema) -> Mapping[str, Any] | None:
    """What does the same today as a flag that is gone; None where a person has to choose."""
    gone, values = REMOVED.get(canonical(written)), values_of(given, flags)
    return gone.replace(values.get(written), values) if gone and gone.replace else None


def added(rows: Mapping[str, Any], line: str, flags: Schema) -> tuple[dict[str, Any], str]:
    """The rows with one more, and its name: `line` is a name as one writes it, with or without a value.

    A flag that is there already stays as it is; a name that no flag has gets a row all the same.
    """
    written, text = flag_of(line)
    spelling = flags.spelling(written)
    if spelling is None or spelling.keys:
        return {**rows, written: rows.get(written, text)}, written
    flag = spelling.flag
    for there in rows:
        if flags.find(there) is flag:
            return dict(rows), there
    if flag.kind == "switch" and not text:
        text = "false" if spelling.negated or flag.default is True else "true"
    return {**rows, flag.name: text or spelling.value or ""}, flag.name


def replaced(rows: Mapping[str, Any], written: str, name: str, flags: Schema) -> tuple[dict[str, Any], str]:
    """The rows with another flag in the place of one that does not exist, and its name.

    With `name` the same as `written` it is one that vLLM once had: what does the same today takes its place.
    """
    change = _change(rows, written, flags) if name == written else {name: rows[written]}
    if change is None:
        return dict(rows), written
    new = {flag: text_in_row(setting, flags.find(flag)) for flag, setting in change.items()}
    result: dict[str, Any] = {}
    for there, text in rows.items():
        if there == written:
            result |= new
        elif there not in new:
            result[there] = text
    return result, next(iter(new), next(iter(result), ""))
