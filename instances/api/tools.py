"""What programs can ask before they deploy. Nothing is saved here."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import ConfigDict

from instances import fitting
from instances.configuration import clean_configuration, flags_of
from instances.vllm import pasted

from .shapes import DeployBody, Json, user_of

tools = Router(tags=["models"])


class PastedCommand(Schema):
    """A command line, or a text in which one stands: a script, docker run, a compose file, a systemd unit."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "command": "CUDA_VISIBLE_DEVICES=0 vllm serve Qwen/Qwen3-8B --max-model-len 16384 "
                    "--enable-prefix-caching --port 8000"
                }
            ]
        },
    )
    command: str


class LeftOut(Schema):
    text: str
    why: str


class ReadCommand(Schema):
    """What a deploy would be given, and what it would not be. No secret stands in it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "configuration": {
                        "name": "qwen3-8b",
                        "model": "Qwen/Qwen3-8B",
                        "max_model_len": 16384,
                        "gpus": ["0"],
                        "args": {"enable-prefix-caching": True},
                    },
                    "left_out": [
                        {
                            "text": "--port 8000",
                            "why": "The console chooses a free port. Ask for one in the field port.",
                        }
                    ],
                    "notes": ["People used port 8000. Enter it in the field port to keep it."],
                }
            ]
        }
    )
    configuration: Json
    left_out: list[LeftOut]
    notes: list[str]


@tools.post("/parse", response=ReadCommand)
def parse(request: HttpRequest, body: PastedCommand) -> Json:
    """Read a command that starts vLLM as the body of a deploy. Nothing is run, looked up or saved.

    `left_out` has what was not taken, each with its reason; `notes` say what was put right or is not known.
    """
    found = pasted.read(body.command, flags_of(None))
    return {"configuration": found.configuration, "left_out": found.left_out, "notes": found.notes}


@tools.post("/fit")
def fit(request: HttpRequest, body: DeployBody) -> Json:
    """Whether a deploy would fit: weights, KV cache, need and room of each GPU (or of RAM), the largest context.

    `verdict` is `fits`, `tight`, `no` or `unknown`; `reasons` are sentences, `recommendation` a change of the body.
    """
    given = body.model_dump(exclude_unset=True)
    wanted = clean_configuration({"name": "fit", **given}, user=user_of(request))
    return fitting.fit_of(wanted.config, ask=fitting.ask_hub()).as_json()
