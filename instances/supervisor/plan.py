"""From what people saved to what the launcher starts: checks, port, command, environment."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction

from instances import model_paths, presence, tokens
from instances.launchers.base import LaunchSpec
from instances.models import Instance, Launch
from instances.states import State
from instances.vllm import command, engines
from monitoring.gpu import GpuReadings

from . import claims, ports
from .obstacle import Obstacle


def open_launch(instance: Instance, *, attempt: int = 0) -> Launch | None:
    """The row of a new launch, with its port reserved; None when somebody was first."""
    try:
        with transaction.atomic():
            # Read anew and held: it may have been revised, stopped or removed meanwhile.
            wanted = Instance.objects.should_run().select_for_update(no_key=True).filter(pk=instance.pk)
            found = wanted.filter(removing=False).first()
            return _new_launch(found, attempt) if found else None
    except IntegrityError:
        return None


def _new_launch(instance: Instance, attempt: int) -> Launch:
    fixed = instance.config.get("port")
    reserved = Launch.objects.live().here().filter(port__isnull=False)
    taken = set(reserved.values_list("port", flat=True))
    port = fixed or ports.first_free(settings.LAUNCH_PORTS, taken)
    if fixed in taken:
        port = None  # told at the check, in words
    while True:
        launch = Launch.objects.create(
            instance=instance,
            revision=instance.newest_revision,
            port=port,
            host=socket.gethostname(),
            served_name=instance.served_name,
            engine_key=secrets.token_urlsafe(32),
            asked_by=None if attempt else instance.desired_by,
            attempt=attempt,
        )
        if not launch.directory.exists():
            return launch
        launch.delete()  # a folder of another database's launch: its number is used up, and it is left alone


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
        first, last = settings.LAUNCH_PORTS[0], settings.LAUNCH_PORTS[-1]
        raise Obstacle(
            f"No port from {first} to {last} is free.",
            "End programs that listen there, or set LLMOPS_LAUNCH_PORTS to another range.",
        )
    if not ports.is_free(launch.port):
        raise Obstacle(
            f"Port {launch.port} is in use by {ports.holder(launch.port)}.",
            "Leave the port empty, or choose another one.",
        )


def engine_of(launch: Launch) -> engines.Engine:
    """The one that its configuration names, or the default one. Raises Obstacle."""
    engine = engines.choose(launch.revision.config.get("engine"))
    if isinstance(engine, engines.Missing):
        raise Obstacle(engine.reason, engine.mend)
    return engine


def check_gpus(launch: Launch, engine: engines.Engine, gpus: GpuReadings | None) -> None:
    """What the driver says is told instead of tried: an engine would fail after a minute, with less to say.

    Raises Obstacle. Engines that run already are left alone: they often go on.
    """
    if engine.accelerator != "cuda" or gpus is None:
        return
    if gpus.out_of_reach:
        raise Obstacle(gpus.reason, "Set the driver right, then start it again.")
    named = claims.named(launch.revision.config)
    for gpu in gpus.gpus:
        if gpu.error and (gpu.index in launch.gpus or any(map(gpu.uuid.startswith, named))):
            who = f"GPU {gpu.index}, {gpu.name}".rstrip(", ")
            raise Obstacle(f"{who}: {gpu.error}", "Choose another GPU, or set this one right.")


def why_to_wait(launch: Launch, live: Sequence[Launch]) -> str:
    """What this launch must wait for, as a sentence; empty when it may start. Raises Obstacle.

    Whoever shares a GPU beyond its memory waits for those that are on their way down, and is refused otherwise.
    """
    if waits := claims.waits_for(launch, live):
        return waits
    crowd = claims.crowded(launch, live)
    if crowd is None:
        return ""
    gpu, others = crowd
    leaving = [one for one in others if one.state == State.STOPPING or not one.instance.wants(one)]
    if leaving:
        return f"Waits until {leaving[0].instance.name} has ended and given GPU {gpu} back."
    names = ", ".join(f"{one.instance.name} ({claims.share_of(one.revision.config):.0%})" for one in others)
    raise Obstacle(
        f"GPU {gpu} is claimed by {names}; {claims.share_of(launch.revision.config):.0%} more do not fit.",
        "Choose another GPU, stop what runs there, or lower the memory share of one of them.",
    )


def spec_of(launch: Launch, engine: engines.Engine, gpus: GpuReadings | None = None) -> LaunchSpec:
    """What to start for this launch. Raises Obstacle."""
    check_port(launch)
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
            gpus=claims.visible(config, gpus),
        )
    except command.RefusedSetting as error:
        raise Obstacle(str(error), "Take it out of the configuration.") from error
    environment |= tokens.environment("huggingface")  # what comes from elsewhere is on the disk by now
    if presence.needs_no_hub(config):
        environment["HF_HUB_OFFLINE"] = "1"
    return LaunchSpec(launch.pk, argv, environment, launch.directory)
