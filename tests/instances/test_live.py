from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts.models import User
from instances import announce, consumers, metrics
from instances.consumers import reader_of
from instances.logs import store
from instances.models import Instance, Launch
from instances.pushes import Reader
from instances.routing import websocket_urlpatterns
from instances.states import State
from monitoring import latest
from monitoring.announce import readings_taken
from monitoring.engine_metrics import EngineReading
from monitoring.processes import Usage
from monitoring.sampler import Readings, TargetReading

from .made import in_state, make_instance, make_launch

pytestmark = pytest.mark.django_db(transaction=True)
Socket = WebsocketCommunicator
Open = Callable[..., Awaitable[Socket]]
application = URLRouter(websocket_urlpatterns)


def scope_of(socket: Socket) -> dict[str, Any]:
    return cast(dict[str, Any], socket.scope)


@pytest.fixture
async def user(transactional_db: None) -> User:
    return await sync_to_async(User.objects.create_superuser)("mia", password="a-long-password")


@pytest.fixture(autouse=True)
def nothing_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "_heard", None)


@pytest.fixture
async def connect(user: User) -> AsyncIterator[Open]:
    """Open a socket as Mia; all are closed at the end."""
    sockets: list[Socket] = []

    async def opened(address: str, who: User | AnonymousUser | None = None, **headers: str) -> Socket:
        encoded = [
            (name.encode(), value.encode()) for name, value in {"host": "atlas:7860", **headers}.items()
        ]
        socket = WebsocketCommunicator(application, address, headers=encoded)
        scope_of(socket).update(user=who or user, cookies={"llmops_csrf": "c" * 32})
        connected, _ = await socket.connect()
        assert connected
        sockets.append(socket)
        return socket

    yield opened
    for socket in sockets:
        await socket.disconnect()


async def heard(socket: Socket, *words: str, within: float = 10.0) -> str:
    """What is pushed, up to and with the message in which the last of the words came."""
    text = ""
    async with asyncio.timeout(within):
        while not all(word in text for word in words):
            text += str(await socket.receive_from(timeout=within))
    return text


async def move(launch: Launch, state: State, **facts: Any) -> None:
    assert await sync_to_async(Launch.objects.move)(launch, state, **facts)
    await announce.instance_changed(launch.instance_id)


def readings(launch: Launch, rate: float) -> Readings:
    engine = EngineReading(2, 0, 31.0, 10.0, 20.0, 5.0, rate, 0.086)
    usage = Usage(cpu_percent=180.0, memory=3 * 2**30, processes=3)
    return Readings(None, None, {f"launch:{launch.pk}": TargetReading(usage, engine)}, datetime.now(UTC))


@pytest.mark.parametrize("address", ["/ws/live/?page=dashboard", "/api/models/ws/logs/1"])
async def test_without_a_login_it_is_closed(address: str) -> None:
    socket = WebsocketCommunicator(application, address)
    scope_of(socket)["user"] = AnonymousUser()
    assert await socket.connect() == (False, 4401)


async def test_a_page_is_sent_all_that_it_shows_when_it_connects(connect: Open, user: User) -> None:
    instance = await sync_to_async(make_instance)(user)
    text = await heard(await connect("/ws/live/?page=dashboard"), 'id="recent"')
    for part in ("summary", "sidebar-instances", "instances", f"instance-{instance.pk}"):
        assert f'id="{part}"' in text
    assert 'id="instances" hx-swap-oob="true"' in text
    assert "c" * 32 in text  # its forms can be sent by this browser


async def test_a_bell_sends_the_card_as_it_is_now_and_nothing_that_stayed(connect: Open, user: User) -> None:
    changed = await sync_to_async(in_state)(user, State.STARTING, "a")
    stays = await sync_to_async(in_state)(user, State.STOPPED, "b", ended_at=timezone.now())
    socket = await connect("/ws/live/?page=dashboard")
    await heard(socket, 'id="recent"')
    launch = await sync_to_async(lambda: changed.launches.get())()
    await move(launch, State.RUNNING, ready_at=timezone.now())
    text = await heard(socket, f'id="instance-{changed.pk}"')
    assert 'data-state="running"' in text and ">1 running<" in text
    assert f'id="instance-{stays.pk}"' not in text and 'id="recent"' not in text


async def test_progress_replaces_the_middle_of_the_card_alone(connect: Open, user: User) -> None:
    """The buttons stay as they are, so that nobody loses the focus or a press."""
    instance = await sync_to_async(in_state)(user, State.STARTING)
    socket = await connect("/ws/live/?page=dashboard")
    await heard(socket, 'id="recent"')
    await Launch.objects.filter(instance=instance).aupdate(phase="weights", progress=[3, 8])
    await announce.instance_changed(instance.pk)
    text = await heard(socket, "Loading weights")
    assert "3 of 8" in text and f'id="instance-{instance.pk}-body"' in text
    assert f'id="instance-{instance.pk}"' not in text


async def test_a_burst_of_bells_is_few_pushes_and_a_bell_for_nothing_none(connect: Open, user: User) -> None:
    instance = await sync_to_async(in_state)(user, State.STARTING)
    socket = await connect("/ws/live/?page=dashboard")
    await heard(socket, 'id="recent"')
    launch = await sync_to_async(lambda: instance.launches.get())()
    await move(launch, State.RUNNING, ready_at=timezone.now())
    for _ in range(20):
        await announce.instance_changed(instance.pk)
    await heard(socket, 'data-state="running"')
    assert await socket.receive_nothing(timeout=0.5)


async def test_a_new_instance_appears_and_a_removed_one_goes(connect: Open, user: User) -> None:
    socket = await connect("/ws/live/?page=dashboard")
    await heard(socket, "Deploy your first model")
    instance = await sync_to_async(make_instance)(user)
    await announce.instance_changed(instance.pk)
    await heard(socket, f'id="instance-{instance.pk}"', 'id="head-action"')
    await Instance.objects.filter(pk=instance.pk).aupdate(removed_at=timezone.now())
    await announce.instance_changed(instance.pk)
    assert "Deploy your first model" in await heard(socket, 'id="instances"')


async def test_figures_are_pushed_without_asking_the_database(connect: Open, user: User) -> None:
    instance = await sync_to_async(in_state)(user, State.RUNNING, ready_at=timezone.now())
    launch = await sync_to_async(lambda: instance.launches.get())()
    socket = await connect("/ws/live/?page=dashboard")
    await heard(socket, 'id="recent"')
    await readings_taken(readings(launch, 142.0))
    text = await heard(socket, "142")
    assert 'id="system"' in text  # it had none before
    figures = json.loads(text[text.rindex("{") :])
    assert figures[f"instance-{instance.pk}-tokens"] == "142"
    assert figures[f"instance-{instance.pk}-first_token"] == "86"
    assert f'id="instance-{instance.pk}' not in text  # numbers travel alone
    await readings_taken(readings(launch, 143.5))
    assert json.loads(await socket.receive_from(10)) == {f"instance-{instance.pk}-tokens": "144"}


async def test_a_page_says_so_when_readings_stay_away(
    connect: Open, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "STALE", -0.8)
    socket = await connect("/ws/live/?page=machine&span=15m")
    assert "the supervisor does not run" in await heard(socket, "Nothing is measured")


async def test_charts_are_told_when_a_point_is_over(
    connect: Open, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await sync_to_async(in_state)(user, State.RUNNING, ready_at=timezone.now())
    launch = await sync_to_async(lambda: instance.launches.get())()
    monkeypatch.setattr(metrics, "point", lambda span: 7)
    socket = await connect(f"/ws/live/?page=instance&instance={instance.pk}&tab=metrics&span=15m")
    await heard(socket, 'id="instance-head"')
    monkeypatch.setattr(metrics, "point", lambda span: 8)
    await readings_taken(readings(launch, 142.0))
    assert '"charts":"8"' in await heard(socket, '"charts"')


@pytest.mark.parametrize(("pause", "second_comes"), [(3600.0, False), (0.2, True)])
async def test_figures_wait_for_their_time_and_the_newest_are_not_lost(
    connect: Open, user: User, monkeypatch: pytest.MonkeyPatch, pause: float, second_comes: bool
) -> None:
    monkeypatch.setattr(consumers, "READINGS_EVERY", pause)
    instance = await sync_to_async(in_state)(user, State.RUNNING, ready_at=timezone.now())
    launch = await sync_to_async(lambda: instance.launches.get())()
    socket = await connect(f"/ws/live/?page=instance&instance={instance.pk}&tab=metrics")
    await heard(socket, 'id="instance-head"')
    await readings_taken(readings(launch, 142.0))
    await heard(socket, '"tokens":"142"')
    await readings_taken(readings(launch, 150.0))
    if second_comes:
        await heard(socket, '"tokens":"150"')
    else:
        assert await socket.receive_nothing(timeout=0.3)


async def test_a_page_that_shows_no_figures_is_sent_none(connect: Open, user: User) -> None:
    instance = await sync_to_async(in_state)(user, State.RUNNING, ready_at=timezone.now())
    launch = await sync_to_async(lambda: instance.launches.get())()
    socket = await connect("/ws/live/?page=other")
    await heard(socket, 'id="sidebar-instances"')
    await readings_taken(readings(launch, 1.0))
    assert await socket.receive_nothing(timeout=0.3)


async def test_a_hidden_page_is_sent_nothing_and_all_when_it_is_seen_again(connect: Open, user: User) -> None:
    instance = await sync_to_async(in_state)(user, State.STARTING)
    socket = await connect("/ws/live/?page=dashboard")
    await heard(socket, 'id="recent"')
    await socket.send_to(json.dumps({"paused": True}))
    launch = await sync_to_async(lambda: instance.launches.get())()
    await move(launch, State.RUNNING, ready_at=timezone.now())
    assert await socket.receive_nothing(timeout=0.3)
    await socket.send_to(json.dumps({"paused": False}))
    text = await heard(socket, 'id="recent"', 'data-state="running"')
    assert 'id="summary"' in text and 'id="instances"' in text


@pytest.mark.parametrize("message", ["nonsense", "[]", "7", '{"paused": 1}', '{"x": 2}'])
async def test_it_lives_through_any_message(connect: Open, user: User, message: str) -> None:
    socket = await connect("/ws/live/?page=other&instance=x&tab=../../etc")
    await heard(socket, 'id="sidebar-instances"')
    await socket.send_to(message)
    instance = await sync_to_async(make_instance)(user)
    await announce.instance_changed(instance.pk)
    await heard(socket, "tiny")


def test_it_is_drawn_for_its_reader(settings: Any) -> None:
    settings.LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
    headers = [(b"host", b"atlas:7860"), (b"accept-language", b"zh-CN,zh;q=0.9")]
    reader = reader_of({"headers": headers, "cookies": {"llmops_csrf": "token"}, "scheme": "wss"})
    assert reader == Reader(language="zh-hans", csrf_token="token", address="https://atlas:7860/v1")


# ---------------------------------------------------------------- the page of an instance


async def test_the_page_of_an_instance_follows_its_launch(connect: Open, user: User) -> None:
    instance = await sync_to_async(in_state)(user, State.STARTING)
    launch = await sync_to_async(lambda: instance.launches.get())()
    address = f"/ws/live/?page=instance&instance={instance.pk}&tab=overview&launch={launch.pk}"
    socket = await connect(address)
    text = await heard(socket, 'id="instance-overview"')
    assert 'id="instance-log"' not in text  # the page has it, and it has a socket of its own
    await move(launch, State.RUNNING, ready_at=timezone.now())
    text = await heard(socket, 'id="instance-head"', 'id="instance-overview"')
    assert "http://atlas:7860/v1" in text and "Running" in text


async def test_a_new_launch_brings_its_log_with_it(connect: Open, user: User) -> None:
    instance = await sync_to_async(make_instance)(user)
    first = await sync_to_async(make_launch)(instance, State.STOPPED, ended_at=timezone.now())
    socket = await connect(f"/ws/live/?page=instance&instance={instance.pk}&tab=logs&launch={first.pk}")
    assert 'id="instance-log"' not in await heard(socket, 'id="instance-head"')
    second = await sync_to_async(make_launch)(instance, State.STARTING)
    await announce.instance_changed(instance.pk)
    text = await heard(socket, 'id="instance-log"')
    assert f'data-launch="{second.pk}"' in text and f"launch={second.pk}" in text


# ---------------------------------------------------------------- the log


def write(launch: Launch, *lines: str) -> None:
    launch.directory.mkdir(parents=True, exist_ok=True)
    with (launch.directory / "log").open("a") as file:
        file.writelines(f"2026-11-25T03:54:48.000Z {line}\n" for line in lines)


async def batch(socket: Socket) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(str(await socket.receive_from(timeout=10)))
    return answer


async def test_a_log_comes_in_batches_and_goes_on_without_a_hole(connect: Open, user: User) -> None:
    instance = await sync_to_async(in_state)(user, State.STARTING)
    launch = await sync_to_async(lambda: instance.launches.get())()
    write(launch, "one", "two")
    socket = await connect(f"/api/models/ws/logs/{instance.pk}")
    first = await batch(socket)
    assert (first["seq"], [line["text"] for line in first["lines"]]) == (1, ["one", "two"])
    assert set(first["lines"][0]) == {"offset", "time", "level", "text"}
    await socket.send_to(json.dumps({"ack": 1}))
    write(launch, "three")
    second = await batch(socket)
    assert [line["text"] for line in second["lines"]] == ["three"]
    again = await connect(f"/api/models/ws/logs/{instance.pk}?offset={first['next_offset']}")
    assert [line["text"] for line in (await batch(again))["lines"]] == ["three"]


# row 28: a viewer that never reads
async def test_it_waits_for_acknowledgements(connect: Open, user: User) -> None:
    instance = await sync_to_async(in_state)(user, State.STARTING)
    launch = await sync_to_async(lambda: instance.launches.get())()
    write(launch, *(f"line {n}" for n in range(20_000)))
    socket = await connect(f"/api/models/ws/logs/{instance.pk}")
    for _ in range(8):
        last = await batch(socket)
    assert await socket.receive_nothing(timeout=0.3)
    await socket.send_to("nonsense")
    await socket.send_to(json.dumps({"ack": 8}))
    assert (await batch(socket))["lines"][0]["offset"] == last["next_offset"]


async def test_an_older_launch_can_be_followed_and_another_instance_cannot(connect: Open, user: User) -> None:
    instance = await sync_to_async(make_instance)(user)
    older = await sync_to_async(make_launch)(instance, State.STOPPED, ended_at=timezone.now())
    await sync_to_async(make_launch)(instance, State.STARTING)
    write(older, "old words")
    socket = await connect(f"/api/models/ws/logs/{instance.pk}?launch={older.pk}")
    assert [line["text"] for line in (await batch(socket))["lines"]] == ["old words"]
    other = await sync_to_async(make_instance)(user, "other")
    for address in (f"/api/models/ws/logs/{other.pk}?launch={older.pk}", "/api/models/ws/logs/999"):
        refused = WebsocketCommunicator(application, address)
        scope_of(refused)["user"] = user
        assert await refused.connect() == (False, 4404)


async def test_a_log_that_cannot_be_read_closes_its_socket(
    connect: Open, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would look live for ever; so its page connects again."""

    def broken(*_: object) -> None:
        raise ValueError("a log that no reader was made for")

    instance = await sync_to_async(in_state)(user, State.STARTING)
    launch = await sync_to_async(lambda: instance.launches.get())()
    monkeypatch.setattr(store, "read", broken)
    write(launch, "one")
    socket = await connect(f"/api/models/ws/logs/{instance.pk}")
    assert await socket.receive_output(timeout=10) == {"type": "websocket.close", "code": 4500}


async def test_the_first_launch_is_waited_for(connect: Open, user: User) -> None:
    instance = await sync_to_async(make_instance)(user)
    socket = await connect(f"/api/models/ws/logs/{instance.pk}")
    launch = await sync_to_async(make_launch)(instance, State.STARTING)
    write(launch, "hello")
    await announce.instance_changed(instance.pk)
    assert [line["text"] for line in (await batch(socket))["lines"]] == ["hello"]


async def test_a_bell_rung_from_elsewhere_is_heard(connect: Open, user: User) -> None:
    instance = await sync_to_async(make_instance)(user)
    socket = await connect("/ws/live/?page=other")
    await heard(socket, "tiny")
    await Instance.objects.filter(pk=instance.pk).aupdate(name="renamed")
    layer = get_channel_layer()
    assert layer is not None
    await layer.group_send("instances", {"type": "instance.changed", "instance": instance.pk})
    await heard(socket, "renamed")
