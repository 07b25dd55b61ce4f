"""What a page shows of an instance, ready to be drawn: the state as a person sees it, phases, figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from functools import cached_property

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitoring.charts import Spark
from monitoring.sampler import Readings, TargetReading

from . import mending, metrics, shelf
from .figures import Figures
from .models import Instance, Launch
from .phase_bars import MOVING, PhaseBar, phases_of
from .states import State
from .usual import Usual, starts_of
from .vllm.phases import BY_SLUG

SHOW = ("all", "live", "needs-you")


class Card:
    """An instance as a page shows it. Everything that its templates ask for is here; they decide nothing."""

    spark: Spark | None = None  # tokens per second of the last hour, where it is shown

    def __init__(
        self, instance: Instance, usual: Usual | None = None, reading: TargetReading | None = None
    ) -> None:
        self.instance = instance
        self.launch = instance.last_launch
        self.usual = usual
        self.reading = reading

    @property
    def id(self) -> str:
        return f"instance-{self.instance.pk}"

    @cached_property
    def state(self) -> State:
        """As observed; but what was just asked for shows at once, before the supervisor has begun with it."""
        if self.instance.is_ending:
            return State.STOPPING
        if self.instance.is_awaited:
            return State.INITIALIZING
        return self.instance.state

    @property
    def label(self) -> str:
        return _("Removing") if self.instance.removing else str(self.state.label)

    @property
    def frame(self) -> tuple[object, ...]:
        """What its head and its buttons depend on; while it stays, only the middle is drawn anew."""
        one, launch = self.instance, self.launch
        restart = one.restart["attempt"] if one.restart else None
        of_launch = launch and (launch.pk, launch.state)
        return (
            self.state,
            self.label,
            of_launch,
            one.revision_id,
            restart,
            self.place,
            self.usual and self.usual.total,
            one.removed_at,
        )

    @property
    def moving(self) -> bool:
        return self.state in MOVING

    @property
    def is_live(self) -> bool:
        return self.instance.is_live or self.instance.is_awaited

    @property
    def serving(self) -> bool:
        return self.state in (State.RUNNING, State.UNHEALTHY)

    @property
    def place(self) -> str:
        """What it runs on, as far as a launch has shown it."""
        if self.launch and self.launch.accelerator == "cpu":
            return _("CPU")
        gpus = self.instance.config.get("gpus")
        return _("GPU %(numbers)s") % {"numbers": ", ".join(map(str, gpus))} if gpus else ""

    @property
    def shown_model(self) -> str:
        """What is ours in words; a folder of somebody's own as they wrote it."""
        model = self.instance.model
        if model.startswith(str(settings.DEMO_DIR)):
            return _("Demo model, ships with the console")
        return shelf.title_of(model, short=False)

    @property
    def look(self) -> tuple[object, ...]:
        """What its own page shows of the launch beyond the frame."""
        launch = self.launch
        said = [notice.get("code") for notice in self.notices]
        return (self.doing, self.counted, self.phases, launch and launch.error, said)

    @property
    def now(self) -> Figures:
        """What its process tree and its engine do now."""
        return Figures(self.reading, self.id)

    # ------------------------------------------------------------ starting

    @cached_property
    def phases(self) -> list[PhaseBar]:
        return phases_of(self.launch) if self.launch else []

    @property
    def doing(self) -> str:
        """The phase in words."""
        if self.launch is None or self.instance.is_awaited:
            return _("Getting ready to start")
        if self.launch.state == State.INITIALIZING:
            return self.launch.note or _("Getting ready to start")
        if phase := BY_SLUG.get(self.launch.phase):
            return _(phase.sentence)
        return _("Starting the engine")

    @property
    def counted(self) -> str:
        """How far the phase is: `3 of 8`, or `37 %`; empty where the engine does not say."""
        if self.launch is None or self.instance.is_awaited or not self.launch.progress:
            return ""
        n, m = self.launch.progress
        return f"{n} %" if m == 100 else _("%(n)s of %(m)s") % {"n": n, "m": m}

    @property
    def ready_at(self) -> dt.datetime | None:
        """When it will be ready, by earlier launches of this model here; None where they cannot tell."""
        if self.usual is None or self.launch is None or self.launch.state != State.STARTING:
            return None
        left = self.usual.left(self.launch, timezone.now())
        return timezone.now() + left if left > dt.timedelta(seconds=1) else None

    # ------------------------------------------------------------ ended

    @property
    def ending(self) -> str:
        """How the last launch ended, in a few words."""
        return ending_of(self.launch) if self.launch else _("Never started")

    @property
    def died_in(self) -> str:
        if self.launch is None or self.launch.ready_at:
            return ""
        phase = BY_SLUG.get(self.launch.phase)
        return _(phase.label) if phase else ""

    @property
    def mend(self) -> str:
        """The change that its failure advises, as the label of a button; empty where there is none."""
        launch = self.launch
        if launch is None or launch.state != State.ERROR or self.instance.removed_at:
            return ""
        return mending.button(launch.change)

    # ------------------------------------------------------------ running

    @property
    def notices(self) -> list[dict[str, str]]:
        """What its engine's log says that matters, though it answers."""
        return self.launch.notices if self.launch and self.serving else []


def ending_of(launch: Launch) -> str:
    """`Stopped by Mia`, the cause of an error, or the state of what has not ended."""
    if launch.state == State.ERROR:
        return launch.error or str(State.ERROR.label)
    if launch.state == State.STOPPED:
        if launch.stopped_by:
            return _("Stopped by %(person)s") % {"person": launch.stopped_by.shown_name}
        return str(State.STOPPED.label)
    return str(State(launch.state).label)


def what_was_asked(launch: Launch, first: bool) -> str:
    """`Deploy`, `Start`, or `Restart, 1 of 5`."""
    if launch.attempt:
        return _("Restart, %(n)s of %(m)s") % {"n": launch.attempt, "m": settings.RESTART_BUDGET}
    return _("Deploy") if first else _("Start")


def cards_of(instances: Iterable[Instance], readings: Readings | None = None) -> list[Card]:
    """Their cards; one query more while any of them is on its way up."""
    instances = list(instances)
    starting = {one.model for one in instances if one.state in MOVING or one.is_awaited}
    usual = starts_of(starting)
    return [Card(one, usual.get(one.model), reading_of(one, readings)) for one in instances]


def reading_of(instance: Instance, readings: Readings | None) -> TargetReading | None:
    if readings is None or instance.last_launch is None or not instance.is_live:
        return None
    return readings.targets.get(f"launch:{instance.last_launch.pk}")


def with_sparks(cards: Collection[Card]) -> None:
    """Give those that serve what they did in the last hour: one query a minute for all of them."""
    serving = [card for card in cards if card.serving and card.launch]
    sparks = metrics.sparks(tuple(card.launch.pk for card in serving if card.launch))
    for card in serving:
        card.spark = sparks.get(card.launch.pk) if card.launch else None


def shown(cards: Iterable[Card], show: str) -> list[Card]:
    if show == "live":
        return [card for card in cards if card.is_live]
    if show == "needs-you":
        return [card for card in cards if card.instance.needs_a_person]
    return list(cards)


def summary(cards: Collection[Card]) -> str:
    """`1 running, 1 unhealthy, 1 starting, 1 needs you`: what is not the case is left out."""
    if not cards:
        return _("Nothing is deployed yet")
    running = sum(card.state == State.RUNNING for card in cards)
    unhealthy = sum(card.state in (State.UNHEALTHY, State.LOST) for card in cards)
    starting = sum(card.moving for card in cards)
    stopping = sum(card.state == State.STOPPING for card in cards)
    needs = sum(card.instance.needs_a_person for card in cards)
    parts = []
    if running:
        parts.append(_("%(n)s running") % {"n": running})
    if unhealthy:
        parts.append(_("%(n)s unhealthy") % {"n": unhealthy})
    if starting:
        parts.append(_("%(n)s starting") % {"n": starting})
    if stopping:
        parts.append(_("%(n)s stopping") % {"n": stopping})
    if needs:
        parts.append(ngettext("%(n)s needs you", "%(n)s need you", needs) % {"n": needs})
    return ", ".join(parts) or _("Nothing runs")
