"""From what people saved to what the launcher starts: checks, port, command, environment."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction

from instances import model_paths
from instances.launchers.base import LaunchSpec
from instances.models import Instance, Launch
from instances.vllm import command, engines

from . import ports


@dataclass(frozen=True)
class Obstacle(Exception):
    """Why a launch cannot be started at all, and what to change."""

    cause: str
    advice: str


def open_launch(instance: Instance, *, attempt: int = 0) -> Launch | None:
    """The row of a new launch, with its port reserved; None when somebody was first."""
    fixed = instance.config.get("port")
    reserved = Launch.objects.live().here().filter(port__isnull=False)
    taken = set(reserved.values_list("port", flat=True))
    port = fixed or ports.first_free(settings.LAUNCH_PORTS, taken)
    if fixed in taken:
        port = None  # told at the check, in words
    try:
        with transaction.atomic():
            return Launch.objects.create(
                instance=instance,
                revision=instance.newest_revision,
                port=port,
                host=socket.gethostname(),
                served_name=instance.served_name,
                engine_key=secrets.token_urlsafe(32),
                asked_by=None if attempt else instance.desired_by,
                attempt=attempt,
            )
    except IntegrityError:
        return None


def check_port(launch: Launch) -> None:
    """Raises Obstacle."""
    fixed = launch.revision.config.get("port")
    if launch.port is None:
        if fixed:
            owner = (
                Launch.objects.live().filter(port=fixed, host=launch.host).select_related("instance").first()
            )
            who = f"instance {owner.instance.name}" if owner else "another instance"
            raise Obstacle(
                f"Port {fixed} is reserved by {who}.", "Leave the port empty, or choose another one."
            )
        raise Obstacle("No free port was found.", "End programs that listen on ports 8100 to 8999.")
    if not ports.is_free(launch.port):
        raise Obstacle(
            f"Port {launch.port} is in use by {ports.holder(launch.port)}.",
            "Leave the port empty, or choose another one.",
        )


def spec_of(launch: Launch) -> tuple[LaunchSpec, engines.Engine]:
    """What to start for this launch. Raises Obstacle."""
    check_port(launch)
    engine = engines.find()
    if isinstance(engine, engines.Missing):
        raise Obstacle(engine.reason, engine.mend)
    config = dict(launch.revision.config)
    try:
        config["model"] = model_paths.resolve(str(config["model"]))
    except model_paths.OutsideRoots as error:
        raise Obstacle(
            str(error), "Choose a folder inside the model roots, or a model of the hub."
        ) from error
    assert launch.port is not None
    names = dict.fromkeys((launch.served_name, launch.instance.name))  # both are answered, the first is shown
    try:
        argv = command.serve_argv(
            str(engine.path),
            config,
            served_names=tuple(names),
            port=launch.port,
            accelerator=engine.accelerator,
            version=engine.version,
        )
        environment = command.engine_environment(
            os.environ,
            config,
            api_key=launch.engine_key,
            accelerator=engine.accelerator,
            cache_dir=Path(settings.LLMOPS_DATA) / "cache",
        )
    except command.RefusedSetting as error:
        raise Obstacle(str(error), "Take it out of the configuration.") from error
    return LaunchSpec(launch.pk, argv, environment, launch.directory), engine
