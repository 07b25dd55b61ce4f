"""The deploy form. It keeps what was typed; configuration.py judges it, as it does for the JSON API."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from django import forms
from django.urls import reverse_lazy
from django.utils.html import format_html
from django.utils.text import format_lazy
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from accounts.models import User

from .configuration import DTYPES, Configuration, ConfigurationError, clean_configuration, flags_of
from .flag_finder import Finder
from .flag_rows import FlagField, Row, rows_of, values_of
from .flag_text import env_of
from .models import Instance, RestartPolicy
from .vllm import engines
from .vllm.flags import canonical_flag
from .vllm.schema import Schema


def initial_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The form's fields for the body of a deploy."""
    initial = {
        key: value for key, value in body.items() if key not in ("args", "env", "restart_policy", "gpus")
    }
    initial["args"] = dict(body.get("args") or {})
    initial["env"] = "\n".join(f"{name}={value}" for name, value in (body.get("env") or {}).items())
    initial["gpus"] = ", ".join(map(str, body.get("gpus") or ()))
    initial["restart"] = body.get("restart_policy", RestartPolicy.ON_FAILURE) != RestartPolicy.NEVER
    return initial


def _text(**attributes: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", **attributes})


# The browser's own list of suggestions, read anew while a name is typed.
SUGGESTED = {
    "list": "model-names",
    "hx-get": reverse_lazy("model-names"),
    "hx-trigger": "focus once, input changed delay:300ms",
    "hx-target": "#model-names",
    "hx-swap": "innerHTML",
    "hx-include": "this",
    "hx-sync": "this:replace",
}


class ChosenGpus(forms.TextInput):
    """A list in one line, or a box for each GPU: what was ticked comes as several values."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        values = data.getlist(name) if hasattr(data, "getlist") else [data.get(name) or ""]
        return ", ".join(filter(None, map(str.strip, values)))


def engine_choices(kept: str) -> list[tuple[str, str]]:
    """The default engine first; one that a revision names and that is gone stays, so that it can be seen."""
    default = engines.find()
    label = _t("Default")
    label = label if isinstance(default, engines.Missing) else f"{label}: {_engine_label(default)}"
    others = [(name, _engine_label(one)) for name, one in engines.choices() if one != default]
    choices = [("", label), *others]
    if kept and kept not in dict(choices):
        found = engines.choose(kept)
        gone = _t("%(name)s (not here)") % {"name": kept}
        choices.append((kept, gone if isinstance(found, engines.Missing) else _engine_label(found)))
    return choices


def _engine_label(engine: engines.Engine) -> str:
    return f"vLLM {engine.version} · {engine.accelerator.upper()}"


class DeployForm(forms.Form):
    """What to deploy, or with `instance` how to change that one."""

    submission = forms.UUIDField(required=False, initial=uuid.uuid4, widget=forms.HiddenInput)
    name = forms.CharField(label=_("Name"), required=False, widget=_text(maxlength=63))
    model = forms.CharField(
        label=_("Model"),
        required=False,
        widget=_text(placeholder="Qwen/Qwen3-8B", maxlength=500, **SUGGESTED),
    )
    max_model_len = forms.CharField(
        label=_("Context length"),
        required=False,
        widget=_text(inputmode="numeric"),
        help_text=_("Empty: as long as the model allows. 32768, 32,768 and 32k are the same."),
    )
    dtype = forms.ChoiceField(
        label=_("Data type"),
        required=False,
        choices=[("auto", _("Automatic, as the model was saved")), *((name, name) for name in DTYPES[1:])],
    )
    gpu_memory_utilization = forms.CharField(
        label=_("Share of GPU memory"),
        required=False,
        widget=_text(inputmode="decimal", placeholder="0.92"),
        help_text=_("0.05 to 0.98, for weights and KV cache together. Ignored on a CPU."),
    )
    port = forms.CharField(
        label=_("Port"),
        required=False,
        widget=_text(inputmode="numeric", placeholder=_("Automatic")),
        help_text=_("Of the engine on this machine. Clients use the console's own address."),
    )
    trust_remote_code = forms.BooleanField(
        label=_("Trust remote code"),
        required=False,
        help_text=_("Runs Python that comes with the model, with the rights of this console."),
    )
    restart = forms.BooleanField(
        label=_("Start again after a failure"),
        required=False,
        initial=True,
        help_text=_("At most 5 times in 30 minutes."),
    )
    served_name = forms.CharField(
        label=_("Name for programs"),
        required=False,
        widget=_text(maxlength=200),
        help_text=_("What clients send as the model. Empty: the name."),
    )
    quantization = forms.CharField(label=_("Quantization"), required=False, widget=_text(placeholder="fp8"))
    tensor_parallel_size = forms.CharField(
        label=_("Split over GPUs"), required=False, widget=_text(inputmode="numeric", placeholder="1")
    )
    gpus = forms.CharField(
        label=_("GPUs"),
        required=False,
        widget=ChosenGpus(attrs={"autocomplete": "off", "placeholder": "0, 1"}),
        help_text=_("None chosen: the first ones."),
    )
    engine = forms.ChoiceField(
        label=_("Engine"),
        required=False,
        help_text=format_lazy(
            _('Other versions are installed under <a href="{}">Engines</a>.'), reverse_lazy("engines")
        ),
    )
    args = FlagField(label=_("Flags"), required=False)
    env = forms.CharField(
        label=_("Environment"),
        required=False,
        widget=forms.Textarea(
            attrs={"rows": 2, "spellcheck": "false", "placeholder": "VLLM_LOGGING_LEVEL=DEBUG"}
        ),
        help_text=_("One NAME=value a line."),
    )

    def __init__(self, *args: Any, user: User, instance: Instance | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.instance = instance
        self._configuration: Configuration | None = None
        self.given_flags: dict[str, Any] = {}  # the wrong ones too
        self.is_unfit = False
        self.flag_errors: dict[str, str] = {}  # by the flag as it was written
        self.changed_flags: frozenset[str] = frozenset()
        kept = str(self["engine"].value() or "")
        self.fields["engine"].choices = engine_choices(kept)  # type: ignore[attr-defined]
        if not self.is_bound and kept and isinstance(gone := engines.choose(kept), engines.Missing):
            self.errors["engine"] = self.error_class(
                [f"{gone.reason} {gone.mend}"]
            )  # before anything is sent
        if instance is not None:
            self.fields["name"].widget.attrs["readonly"] = True
        if not user.has_perm("instances.trust_remote_code"):
            self.fields["trust_remote_code"].help_text = _(
                "Runs Python that comes with the model. An administrator has to allow it to you."
            )

    def mark(self, names: Iterable[str]) -> None:
        """Show that these fields were changed for the person, who has not seen it yet."""
        if isinstance(names, Mapping) and isinstance(flags := names.get("args"), Mapping):
            self.changed_flags = frozenset(map(canonical_flag, flags))
        for name in names:
            if field := self.fields.get(name):
                field.widget.attrs["data-changed"] = "true"
                field.help_text = format_html("{} {}", _t("Changed as advised."), field.help_text)

    def clean_args(self) -> dict[str, Any]:
        self.given_flags = values_of(self.cleaned_data["args"], self.flags)
        return self.given_flags

    def clean_env(self) -> dict[str, str]:
        return env_of(self.cleaned_data["env"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        try:
            self._configuration = clean_configuration(self.body(), user=self.user, instance=self.instance)
        except ConfigurationError as error:
            self.flag_errors = error.flags
            for field, sentence in error.errors.items():
                if field not in self.errors:
                    self.add_error(field if field in self.fields else None, sentence)
        for wrong in self.wrong_fields[:1]:
            wrong.field.widget.attrs["autofocus"] = True
        return cleaned

    def body(self) -> dict[str, Any]:
        """What was typed, as the body of a deploy; fields that already failed are left out."""
        body = {
            key: value for key, value in self.cleaned_data.items() if key not in ("submission", "restart")
        }
        body["restart_policy"] = (
            RestartPolicy.ON_FAILURE if self.cleaned_data.get("restart") else RestartPolicy.NEVER
        ).value
        body["start"] = self.data.get("start") != "false"
        if self.instance is not None:
            body["name"] = self.instance.name
        return body

    def refuse(self, unfit: Mapping[str, str]) -> None:
        """It is right in itself, and does not fit on this machine: by field."""
        self.is_unfit = True
        for field, sentence in unfit.items():
            self.add_error(field if field in self.fields else None, sentence)

    def configuration(self) -> Configuration:
        """Only of a valid form."""
        assert self._configuration is not None
        return self._configuration

    def draft(self) -> Configuration | None:
        """As far as it is right: wrong fields are left out; None without a model."""
        if self.is_valid() or self.is_unfit:
            return self.configuration()
        body = {key: value for key, value in self.body().items() if key not in self.errors}
        if "model" in self.errors:
            return None
        if self.flag_errors:
            body["args"] = {
                name: value for name, value in self.given_flags.items() if name not in self.flag_errors
            }
        body["name"] = body.get("name") or "name"
        try:
            return clean_configuration(body, user=self.user)
        except ConfigurationError:
            return None

    @property
    def wrong_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.errors if name in self.fields]

    @cached_property
    def flags(self) -> Schema:
        """Those of the chosen engine."""
        return flags_of(self["engine"].value())

    @property
    def flag_rows(self) -> list[Row]:
        """A row for each flag that was typed, or is set."""
        return self.rows()

    def rows(self, focus: str | None = None) -> list[Row]:
        given = self["args"].value() or {}
        wrong = (
            next(iter(self.flag_errors), None) if "autofocus" in self.fields["args"].widget.attrs else None
        )
        return rows_of(given, self.flags, self.flag_errors, self.changed_flags, focus or wrong)

    @property
    def finder(self) -> Finder:
        return Finder(self.flags, taken=self["args"].value() or {})
