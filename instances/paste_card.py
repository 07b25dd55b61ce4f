"""What a pasted text was understood as, for the page; and its token, which the page can keep."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import User

from . import tokens
from .catalog.origins import name_of
from .configuration import flags_of
from .forms import DeployForm
from .models import Instance
from .vllm import pasted
from .vllm.command import flag_words

PERMISSION = "instances.manage_tokens"
# One text of each kind that people have; the page offers them as examples.
EXAMPLES = {
    "line": "CUDA_VISIBLE_DEVICES=0,1 vllm serve Qwen/Qwen3-8B -tp 2 \\\n"
    "  --max-model-len 16k --enable-prefix-caching --port 8000",
    "docker": "docker run --gpus '\"device=0\"' -p 8000:8000 --ipc=host \\\n"
    "  -v ~/models:/models -e VLLM_LOGGING_LEVEL=DEBUG \\\n"
    "  vllm/vllm-openai:latest --model /models/Qwen3-8B --max-num-seqs 64",
    "compose": "services:\n"
    "  vllm:\n"
    "    image: vllm/vllm-openai:latest\n"
    "    restart: unless-stopped\n"
    '    ports: ["8000:8000"]\n'
    "    command: --model Qwen/Qwen3-8B --gpu-memory-utilization 0.85 --seed 7",
    "unit": "[Service]\n"
    "WorkingDirectory=/srv/models\n"
    "ExecStart=/opt/vllm/bin/vllm serve ./Qwen3-8B \\\n"
    "  --served-model-name assistant --max-model-len 32768\n"
    "Restart=always",
}


@dataclass(frozen=True)
class Token:
    """A token of a hub that stands in the text; never its value."""

    hub: str
    title: str
    is_kept: bool  # another one already is


class Reading:
    """One pasted text as this person may take it. The text itself is shown to nobody."""

    def __init__(self, text: str, user: User) -> None:
        self.is_empty = not text.strip()
        self.user = user
        self._found = pasted.Pasted() if self.is_empty else pasted.read(text, flags_of(None))

    @property
    def left_out(self) -> list[dict[str, str]]:
        return self._found.left_out

    @property
    def notes(self) -> list[str]:
        return self._found.notes

    @property
    def understood(self) -> bool:
        return self._found.understood

    @property
    def model(self) -> str:
        return str(self._found.configuration.get("model", ""))

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Label and value, as the form has them."""
        labels = DeployForm.base_fields
        shown = {
            key: value
            for key, value in self._found.configuration.items()
            if key in labels and key not in ("model", "args", "env")
        }
        rows = [(str(labels[key].label), _in_words(value)) for key, value in shown.items()]
        if policy := self._found.configuration.get("restart_policy"):
            rows.append((str(labels["restart"].label), _("no") if policy == "never" else _("yes")))
        return rows

    @property
    def flags(self) -> list[str]:
        """Each as one would write it: `--max-num-seqs 64`."""
        args = self._found.configuration.get("args", {})
        return [shlex.join(flag_words(name, value)) for name, value in args.items()]

    @property
    def env(self) -> list[str]:
        return [f"{name}={value}" for name, value in self._found.configuration.get("env", {}).items()]

    @cached_property
    def tokens(self) -> list[Token]:
        kept = {one.hub: one.token is not None for one in tokens.kept()} if self._found.secrets else {}
        return [Token(hub, tokens.HUBS[hub].title, kept[hub]) for hub, _value in self._hub_secrets()]

    @property
    def may_keep(self) -> bool:
        return self.user.has_perm(PERMISSION)

    @property
    def body(self) -> dict[str, Any]:
        """That of a deploy, under a name that is free."""
        body = dict(self._found.configuration)
        wanted = body.get("name") or name_of(self.model)
        return body | {"name": Instance.objects.free_name(wanted)}

    def keep_tokens(self, hubs: list[str]) -> list[str]:
        """Keep those that the person chose and may keep. Returns sentences about it."""
        said = []
        for hub, token in self._hub_secrets():
            if hub not in hubs or not self.may_keep:
                continue
            title = {"hub": tokens.HUBS[hub].title}
            try:
                tokens.keep(actor=self.user, hub=hub, token=token)
                said.append(_("The token of %(hub)s is kept.") % title)
            except tokens.NoToken as wrong:
                said.append(f"{_('The token of %(hub)s was not kept.') % title} {wrong}")
        return said

    def _hub_secrets(self) -> Iterator[tuple[str, str]]:
        for name, hub in tokens.HUBS.items():
            if value := self._found.secrets.get(hub.variable):
                yield name, value


def _in_words(value: Any) -> str:
    if value is True:
        return _("yes")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
