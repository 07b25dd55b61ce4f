"""What a deploy may ask for: one judge for the form, the JSON API and whatever comes next.

Nothing is saved here. An empty value, or null, means "automatic" and is left out of the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _

from accounts.models import User

from . import model_paths
from .models import NAME_MESSAGE, NAME_PATTERN, Instance, Preset, RestartPolicy, Revision
from .vllm import engines
from .vllm.flags import canonical_flag, refused_env
from .vllm.schema import Schema, of_engine, shipped
from .vllm.schema.judging import judge_args
from .vllm.schema.removed import REMOVED_ENVIRONMENT

NAMES = re.compile(NAME_PATTERN)
SERVED_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
WORDS = re.compile(r"[A-Za-z0-9_.-]{1,50}")
GPUS = re.compile(r"[0-9]{1,3}|(GPU|MIG)-[0-9A-Za-z-]{1,60}")
CONTEXT = re.compile(r"([0-9]+)\s*([km]?)", re.IGNORECASE)
LONGEST = 4000  # characters of one value

DTYPES = ("auto", "bfloat16", "float16", "float32")
DTYPE_ALIASES = {"half": "float16", "float": "float32"}
TRUE, FALSE = ("true", "on", "yes", "1"), ("false", "off", "no", "0")


@dataclass(frozen=True)
class Configuration:
    """A deploy that is allowed. `config` is what a revision keeps: only what is set."""

    name: str
    served_name: str
    config: dict[str, Any]
    restart_policy: str
    start: bool


class ConfigurationError(Exception):
    """Something cannot be deployed as asked: one sentence for each field that is wrong."""

    def __init__(self, errors: dict[str, str], flags: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(f"{field}: {sentence}" for field, sentence in errors.items()))
        self.errors = errors
        self.flags = dict(flags or {})  # what is said of `args`, by the names as they were written


class Wrong(Exception):
    """One value is not allowed; carries the sentence."""


class WrongFlags(Wrong):
    """Flags are not allowed: a sentence for each of them, by its name as it was written."""

    def __init__(self, flags: dict[str, str]) -> None:
        super().__init__(" ".join(flags.values()))
        self.flags = flags


def clean_configuration(
    data: Mapping[str, Any], *, user: User | AnonymousUser, instance: Instance | None = None
) -> Configuration:
    """Judge the body of a deploy, whose numbers may be strings. Raises ConfigurationError: every wrong field.

    Over a preset everything else given wins: field by field, `args` and `env` key by key; null takes away.
    With `instance` it is the change of that one, whose name stays.
    """
    errors = {key: _("There is no such field.") for key in data if key not in KNOWN}
    asked = _with_preset(data, errors)
    values: dict[str, Any] = {}
    flags: dict[str, str] = {}
    for field in (*FIELDS, *FLAG_FIELDS):
        given = asked.get(field)
        if given is None or given == "":
            continue
        try:
            if judge := FLAG_FIELDS.get(field):
                values[field] = judge(given, flags_of(asked.get("engine")))
            else:
                values[field] = FIELDS[field](given)
        except Wrong as wrong:
            errors[field] = str(wrong)
            flags = wrong.flags if isinstance(wrong, WrongFlags) else flags
    if "name" not in values:
        errors.setdefault("name", _("Give it a name."))
    elif instance is not None and values["name"] != instance.name:
        errors["name"] = _("The name of an instance stays: %(name)s.") % {"name": instance.name}
    if "model" not in values:
        errors.setdefault("model", _("Choose a model: a name on the hub, or a folder."))
    if values.get("trust_remote_code") and not user.has_perm("instances.trust_remote_code"):
        errors["trust_remote_code"] = _(
            "This runs Python that comes with the model. An administrator has to allow it to you."
        )
    if errors:
        raise ConfigurationError(errors, flags)
    return Configuration(
        name=values["name"],
        served_name=values.get("served_name") or values["name"],
        config={key: values[key] for key in CONFIG_KEYS if _is_set(values.get(key))},
        restart_policy=values.get("restart_policy", RestartPolicy.ON_FAILURE.value),
        start=values.get("start", True),
    )


def body_of(instance: Instance) -> dict[str, Any]:
    """The body that would deploy this instance again, to be shown, changed and judged anew."""
    return {
        "name": instance.name,
        "served_name": instance.served_name,
        "restart_policy": instance.restart_policy,
        **instance.config,
    }


def body_of_revision(revision: Revision) -> dict[str, Any]:
    """The same for what an instance was at one of its revisions."""
    return {
        "name": revision.instance.name,
        "served_name": revision.served_name,
        "restart_policy": revision.restart_policy,
        **revision.config,
    }


def _with_preset(data: Mapping[str, Any], errors: dict[str, str]) -> dict[str, Any]:
    slug = data.get("preset")
    if slug is None or slug == "":
        return dict(data)
    preset = Preset.objects.filter(slug=slug).first() if isinstance(slug, str) and "\0" not in slug else None
    if preset is None:
        slugs = ", ".join(Preset.objects.offered().values_list("slug", flat=True))
        errors["preset"] = _("There is no such preset. There are: %(slugs)s.") % {"slugs": slugs}
        return dict(data)
    config = preset.configuration
    merged: dict[str, Any] = {**config, **data}
    for key in ("args", "env"):
        if isinstance(ours := config.get(key), dict) and isinstance(theirs := data.get(key), Mapping):
            flags = flags_of(merged.get("engine")) if key == "args" else None
            taken = {_name_of(str(name), flags) for name in theirs}
            merged[key] = {**{name: value for name, value in ours.items() if name not in taken}, **theirs}
    return merged


def _name_of(written: str, flags: Schema | None) -> str:
    """The flag that any of its spellings means, or the name itself."""
    found = flags.find(written) if flags else None
    return found.name if found else canonical_flag(written) if flags else written


def _is_set(value: Any) -> bool:
    return value is not None and value is not False and value != {} and value != []


# ---------------------------------------------------------------- one cleaner for each field


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(_("This must be text."))
    if len(value) > LONGEST:
        raise Wrong(_("This is too long."))
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise Wrong(_("Line breaks and control characters are not allowed here."))
    return value.strip()


def _switch(value: Any) -> bool:
    word = str(value).lower()
    if value is True or word in TRUE:
        return True
    if value is False or word in FALSE:
        return False
    raise Wrong(_("Say true or false."))


def _whole(value: Any, least: int, most: int) -> int:
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        number = int(str(value).strip()) if isinstance(value, str) else int(value)
    except (TypeError, ValueError, OverflowError):
        number = least - 1
    if not least <= number <= most:
        raise Wrong(_("Use a whole number from %(least)s to %(most)s.") % {"least": least, "most": most})
    return number


def _name(value: Any) -> str:
    name = _text(value)
    if not NAMES.fullmatch(name):
        raise Wrong(str(NAME_MESSAGE))
    return name


def _served_name(value: Any) -> str:
    name = _text(value)
    if not SERVED_NAMES.fullmatch(name):
        raise Wrong(_("Use up to 200 letters, digits and . _ : / @ + - and begin with a letter or digit."))
    return name


def _model(value: Any) -> str:
    model = _text(value)
    try:
        model_paths.resolve(model)
    except model_paths.OutsideRoots as outside:
        raise Wrong(str(outside)) from outside
    return model


def _engine(value: Any) -> str | None:
    """By version, name or path; kept under one name. The default one is not kept: it is what no name means."""
    engine = engines.choose(_text(value))
    if isinstance(engine, engines.Missing):
        raise Wrong(f"{engine.reason} {engine.mend}")
    if engine == engines.find():
        return None
    return next(name for name, other in engines.choices() if other.slug == engine.slug)


def _port(value: Any) -> int:
    return _whole(value, 1024, 65535)


def _dtype(value: Any) -> str | None:
    word = DTYPE_ALIASES.get(_text(value), _text(value))
    if word not in DTYPES:
        raise Wrong(_("Choose one of: %(choices)s.") % {"choices": ", ".join(DTYPES)})
    return None if word == "auto" else word


def _context_length(value: Any) -> int:
    """`32768`, `32,768` and `32k` are the same: a k is 1,024 tokens, as in the names of models."""
    if isinstance(value, str):
        match = CONTEXT.fullmatch(re.sub(r"[,_\s]", "", value))
        if match and len(match[1]) < 10:
            value = int(match[1]) * {"": 1, "k": 2**10, "m": 2**20}[match[2].lower()]
    try:
        return _whole(value, 1, 100_000_000)
    except Wrong:
        raise Wrong(
            _("Use a whole number of tokens, like 32768 or 32k. Empty: as the model allows.")
        ) from None


def _share(value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        share = float(value)
    except (TypeError, ValueError):
        share = 0.0
    if not 0.05 <= share <= 0.98:
        raise Wrong(_("Use a share from 0.05 to 0.98."))
    return share


def _gpus(value: Any) -> list[str]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or len(names) > 64:
        raise Wrong(_("Use a list of GPU numbers or names."))
    words = [str(name).strip() for name in names]
    if len(set(words)) != len(words) or not all(GPUS.fullmatch(word) for word in words):
        raise Wrong(_("Use each GPU once, by its number or its name like GPU-1a2b."))
    return words


def _word(value: Any) -> str:
    word = _text(value)
    if not WORDS.fullmatch(word):
        raise Wrong(_("Use one word of letters, digits and . _ -"))
    return word


def _restart_policy(value: Any) -> str:
    if value not in RestartPolicy.values:
        raise Wrong(_("Choose one of: %(choices)s.") % {"choices": ", ".join(RestartPolicy.values)})
    return str(value)


def flags_of(engine: Any) -> Schema:
    """The flags of the engine that a body names, else of the default one; where there is none, the shipped ones."""
    named = engine if isinstance(engine, str) else ""
    found = engines.choose(named) if named else engines.find()
    if isinstance(found, engines.Missing):
        return shipped()
    return of_engine(found.slug, found.version, settings.LLMOPS_DATA / "flags")


def _args(value: Any, flags: Schema) -> dict[str, Any]:
    """Flags by their long names without dashes, and only what differs from the engine's defaults.

    True stands for a flag without a value, false for its `--no-` form. Raises WrongFlags with all that is wrong.
    """
    if not isinstance(value, Mapping):
        raise Wrong(_('Use an object of flags and values, like {"seed": 7}.'))
    judged = judge_args(value, flags, _inside_roots)
    if judged.errors:
        raise WrongFlags(judged.errors)
    return judged.args


def _inside_roots(path: str) -> None:
    try:
        model_paths.resolve(path)
    except model_paths.OutsideRoots as outside:
        raise ValueError(str(outside)) from outside


def _env(value: Any, flags: Schema) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise Wrong(_('Use an object of names and values, like {"VLLM_LOGGING_LEVEL": "DEBUG"}.'))
    variables: dict[str, str] = {}
    for name, setting in value.items():
        if setting is None:
            continue
        if why := refused_env(str(name)) or _gone(str(name), flags):
            raise Wrong(why if str(name) in why else f"{name}: {why}")
        try:
            variables[str(name)] = _text(str(int(setting) if isinstance(setting, bool) else setting))
        except Wrong as wrong:
            raise Wrong(f"{name}: {wrong}") from None
    return variables


def _gone(name: str, flags: Schema) -> str | None:
    """What to do about a name that vLLM no longer reads: it would be ignored without a word."""
    gone = None if flags.is_older else REMOVED_ENVIRONMENT.get(name.upper())
    return (
        _("vLLM no longer knows %(name)s. %(instead)s") % {"name": name, "instead": gone.instead}
        if gone
        else None
    )


FIELDS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "served_name": _served_name,
    "model": _model,
    "engine": _engine,
    "port": _port,
    "dtype": _dtype,
    "max_model_len": _context_length,
    "gpu_memory_utilization": _share,
    "tensor_parallel_size": lambda value: _whole(value, 1, 64),
    "gpus": _gpus,
    "quantization": _word,
    "trust_remote_code": _switch,
    "restart_policy": _restart_policy,
    "start": _switch,
}
FLAG_FIELDS: dict[str, Callable[[Any, Schema], Any]] = {
    "args": _args,
    "env": _env,
}  # judged by what the engine knows
KNOWN = frozenset((*FIELDS, *FLAG_FIELDS, "preset"))
CONFIG_KEYS = tuple(
    key for key in (*FIELDS, *FLAG_FIELDS) if key not in ("name", "served_name", "restart_policy", "start")
)
