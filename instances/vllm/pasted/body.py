"""From what was started to the body of a deploy: fields, flags and environment, each judged as the deploy will."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from instances.vllm.flags import refused_flag
from instances.vllm.schema import Schema
from instances.vllm.schema.judging import judge_args, unknown
from instances.vllm.schema.removed import REMOVED, Removed

from .arguments import Given, Taken
from .environment import engine_environment, leave_key
from .fields import FIELDS, Wrong
from .gpus import chosen_gpus, note_ranks
from .invocation import NOT_HERE, Invocation, host_path, is_absolute, joined
from .model import instance_name, placed_model, written_model
from .secrets import Secrets

SERVED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
MOST_STRANGE = 20
MOST_NAMES = 20
STARTING_AGAIN = (
    "always",
    "unless-stopped",
    "on-failure",
    "on-abnormal",
    "on-abort",
    "on-watchdog",
    "any",
)
FILES = ("chat-template", "tokenizer", "hf-config-path", "generation-config")
PACKAGES = {  # of load formats
    "fastsafetensors": "fastsafetensors",
    "runai_streamer": "runai-model-streamer",
    "tensorizer": "tensorizer",
    "bitsandbytes": "bitsandbytes",
}
HOLDS_SECRET = "It holds a secret, which no configuration keeps."
REMOTE_CODE = "trust_remote_code runs Python that comes with the model; it needs a permission of its own."


class Body:
    """Collects a deploy's body from one invocation; what cannot be taken goes to the invocation's `left_out`."""

    def __init__(self, invocation: Invocation, taken: Taken, schema: Schema, secrets: Secrets) -> None:
        self.invocation = invocation
        self.taken = taken
        self.schema = schema
        self.secrets = secrets
        self.values: dict[str, Any] = {}

    def configuration(self) -> dict[str, Any]:
        flags = dict(self.taken.flags)
        written = written_model(flags.pop("model", None), self.taken, self.invocation)
        served = self._served_name(flags.pop("served-model-name", None))
        if not self.secrets.inside([served, written]):
            self._set("name", instance_name(served or written))
        self._set("served_name", served)
        self._set("model", placed_model(written, self.invocation) if written else None)
        self._network(flags)
        for name, (key, _read) in FIELDS.items():
            if given := flags.pop(name, None):
                self._field(given, key)
        env, instead = engine_environment(self.invocation, self.schema, self.secrets)
        gpus = chosen_gpus(flags.pop("device-ids", None), self.invocation)
        self._set("gpus", gpus)
        self._flags(flags, instead)
        self._set("env", env)
        self._restart()
        if gpus:
            note_ranks(gpus, self.values, self.invocation)
        return self.values

    def _set(self, key: str, value: Any) -> None:
        if value is None or value in ("", False, {}, []):
            return
        if self.secrets.inside(value):
            self.invocation.leave(key, HOLDS_SECRET)
        else:
            self.values[key] = value

    def _served_name(self, given: Given | None) -> str:
        if given is None:
            return ""
        names = given.value if isinstance(given.value, list) else [given.value]
        first = names[0] if names and isinstance(names[0], str) else ""
        if given.unknown or not SERVED.fullmatch(first.strip()):
            why = NOT_HERE if given.unknown else "A name has up to 200 letters, digits and . _ : / @ + -"
            self.invocation.leave(given.shown, why)
            return ""
        for other in names[1:MOST_NAMES]:
            self.invocation.leave(str(other), f"An instance has one name for programs; {first} was taken.")
        return first.strip()

    def _network(self, flags: dict[str, Given]) -> None:
        """The console's own: where engines listen, and their keys."""
        port = flags.pop("port", None)
        asked = str(port.value) if port and isinstance(port.value, str) and not port.unknown else ""
        if port is not None:
            self.invocation.leave(
                port.shown, "The console chooses a free port. Ask for one in the field port."
            )
        people = self.invocation.published or asked
        if people.isascii() and people.isdecimal() and 1024 <= int(people[:6]) <= 65535:
            self.invocation.note(f"People used port {people}. Enter it in the field port to keep it.")
        for name in ("api-key", "hf-token"):
            if given := flags.pop(name, None):
                texts = given.value if isinstance(given.value, list) else [given.value]
                known = [text for text in texts if isinstance(text, str)]
                leave_key(name, known, bool(given.unknown), self.invocation, self.secrets)

    def _field(self, given: Given, key: str) -> None:
        if given.unknown:
            self.invocation.leave(given.shown, NOT_HERE)
            return
        try:
            value = FIELDS[given.name][1](given.value)
        except Wrong as wrong:
            self.invocation.leave(given.shown, str(wrong))
            return
        self._set(key, value)
        if key == "trust_remote_code" and value:
            self.invocation.note(REMOTE_CODE)

    # ------------------------------------------------------------ flags

    def _flags(self, flags: Mapping[str, Given], instead: Mapping[str, Any]) -> None:
        """`instead`: the flags that took the place of variables; those of removed flags join them."""
        asked = {name: given.value for name, given in flags.items()} | dict(instead)
        translated = dict(instead)
        strange = 0  # looking for the nearest names takes its time
        for name, given in flags.items():
            known = given.flag is not None or self._may_know_more()
            if given.unknown:
                self.invocation.leave(given.shown, NOT_HERE)
            elif not known and (gone := REMOVED.get(name)):
                self._removed(given, gone, asked, translated)
            elif why := refused_flag(given.name, given.value):
                self.invocation.leave(given.shown, why)
            elif not known:
                strange += 1
                near = strange <= MOST_STRANGE
                told = unknown(given.written, self.schema) if near else "There is no such flag."
                self.invocation.leave(given.shown, told)
            elif name not in translated or isinstance(given.value, Mapping):
                self._flag(name, given.value, given.shown)
        for name, value in translated.items():
            self._flag(name, value, f"--{name}")
        load_format = str(self.values.get("args", {}).get("load-format"))
        if package := PACKAGES.get(load_format):
            self.invocation.note(
                f"--load-format {load_format} needs the Python package {package} beside vLLM."
            )

    def _may_know_more(self) -> bool:
        """Whether the engine is older than the flags that stand in for its own."""
        return bool(self.schema.stands_in_for) and self.schema.is_older

    def _removed(
        self, given: Given, gone: Removed, asked: Mapping[str, Any], translated: dict[str, Any]
    ) -> None:
        instead = gone.replace(given.value, {**asked, **translated}) if gone.replace else None
        if not instead:
            since = f"vLLM {self.schema.version} no longer has --{given.name}. "
            self.invocation.leave(given.shown, since + gone.instead)
            return
        translated |= instead
        for name in instead:
            self.invocation.note(f"--{given.name} is gone; it was translated to --{name}.")

    def _flag(self, name: str, value: Any, shown: str) -> None:
        value = self._on_host(name, value, shown)
        if value is None:
            return
        if self.secrets.inside(value):
            self.invocation.leave(f"--{name}", HOLDS_SECRET)
            return
        judged = judge_args({name: value}, self.schema, lambda _path: None)
        for sentence in judged.errors.values():
            self.invocation.leave(shown, sentence)
        if judged.args:
            self.values.setdefault("args", {}).update(judged.args)

    def _on_host(self, name: str, value: Any, shown: str) -> Any:
        """Paths of a container as the host has them; None where a file's folder is not known."""
        if isinstance(value, list):
            found = [self._on_host(name, one, shown) for one in value]
            return None if None in found else found
        if not isinstance(value, str):
            return value
        head, sign, path = value.rpartition("=")
        if path.startswith("/") and (host := host_path(path, self.invocation.mounts)):
            if not is_absolute(host) or "$" in host:
                why = f"A path of a container: {host} on the host. Write the full path."
                self.invocation.leave(shown, why)
                return None
            self.invocation.note(f"{path} of the container is {host} on the host.")
            return f"{head}{sign}{host}"
        if name not in FILES or "{" in value:
            return value
        if path.startswith("/") and self.invocation.container:
            self.invocation.note(f"--{name} {path} is a path of a container; check it.")
        template = name == "chat-template" and value.endswith((".jinja", ".jinja2", ".j2"))
        if is_absolute(value) or not (template or value.startswith(("./", "../"))):
            return value
        if is_absolute(self.invocation.folder):
            return joined(self.invocation.folder, value)
        why = "It names a file relative to a folder that is not known. Write its full path."
        self.invocation.leave(shown, why)
        return None

    def _restart(self) -> None:
        written = self.invocation.restart.partition(":")[0].strip().strip("\"'").lower()
        if written in STARTING_AGAIN:
            self.values["restart_policy"] = "on-failure"
            self.invocation.note(f"Restart “{written}” became “start again after a failure”.")
        elif written in ("no", "never", "false"):
            self.values["restart_policy"] = "never"
