from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Event, User
from instances.models import DesiredState, Instance, Launch
from instances.states import State

from .made import in_state, make_instance, make_launch

pytestmark = pytest.mark.usefixtures("engine")
HTMX = {"HX-Request": "true"}


def write_log(launch: Launch, *lines: str) -> None:
    launch.directory.mkdir(parents=True, exist_ok=True)
    stamped = (f"2026-11-25T03:54:{n:02}.000Z {line}\n" for n, line in enumerate(lines))
    (launch.directory / "log").write_text("".join(stamped))


@pytest.fixture
def runs(mia: User) -> Instance:
    now = timezone.now()
    return in_state(
        mia,
        State.RUNNING,
        created=now - dt.timedelta(minutes=1),
        ready_at=now,
        port=8123,
        pid=4711,
        phase="warm_up",
        phases={"seen": ["import", "weights"], "seconds": {"import": 4.1, "weights": 11.8}},
    )


@pytest.mark.parametrize("tab", ["", "logs/", "metrics/", "history/", "configuration/"])
def test_every_tab_is_there(page: Client, runs: Instance, tab: str) -> None:
    assert page.get(f"/instances/{runs.pk}/{tab}").status_code == 200


@pytest.mark.parametrize("tab", ["", "logs/", "metrics/", "history/", "configuration/"])
def test_one_that_was_never_started_has_every_tab(page: Client, mia: User, tab: str) -> None:
    saved = make_instance(mia, running=False)
    assert page.get(f"/instances/{saved.pk}/{tab}").status_code == 200


def test_a_running_one_shows_its_address_and_a_command_to_copy(page: Client, runs: Instance) -> None:
    text = page.get(f"/instances/{runs.pk}/").content.decode()
    assert "http://testserver/v1" in text and "$LLMOPS_API_KEY" in text and "/v1/chat/completions" in text
    assert "8123" in text and "4711" in text
    assert "11.8 s" in text and "not needed" in text


def test_a_failed_one_tells_cause_advice_evidence_and_how_it_ended(page: Client, mia: User) -> None:
    began = timezone.now() - dt.timedelta(minutes=1)
    failed = in_state(
        mia,
        State.ERROR,
        created=began,
        ended_at=began + dt.timedelta(seconds=31.4),
        phase="memory",
        phases={"seen": ["import", "weights", "memory"], "seconds": {}},
        exit_code=1,
        error="The KV cache is too small.",
        advice="Set the context length to 65536.",
        evidence="ValueError: To serve at least one request",
    )
    text = page.get(f"/instances/{failed.pk}/").content.decode()
    for words in ("The KV cache is too small.", "Set the context length to 65536.", "31.4 s", "final"):
        assert words in text
    assert "ValueError: To serve at least one request" in text
    assert 'class="fail" data-phase="memory"' in text
    assert f'href="/deploy/?from={failed.pk}"' in text


def test_the_end_of_the_log_is_there_before_any_script_runs(page: Client, runs: Instance) -> None:
    assert runs.last_launch
    write_log(
        runs.last_launch, "INFO 11-25 03:54:48 [a.py:1] hello <b>you</b>", "ERROR 11-25 03:54:49 [a.py:2] bad"
    )
    text = page.get(f"/instances/{runs.pk}/logs/").content.decode()
    assert "hello &lt;b&gt;you&lt;/b&gt;" in text and 'class="err"' in text
    size = (runs.last_launch.directory / "log").stat().st_size
    assert f'data-offset="{size}"' in text and f"?launch={runs.last_launch.pk}" in text


def test_the_log_of_every_older_launch_can_be_read(page: Client, mia: User, runs: Instance) -> None:
    older = make_launch(make_instance(mia, "other"), State.STOPPED, ended_at=timezone.now())
    write_log(older, "one", "two")
    address = f"/instances/{older.instance_id}/launches/{older.pk}/"
    assert "two" in page.get(address).content.decode()
    assert page.get(f"/instances/{runs.pk}/launches/{older.pk}/").status_code == 404


async def test_a_whole_log_is_plain_text(async_client: Any, transactional_db: None) -> None:
    from asgiref.sync import sync_to_async

    from .conftest import BACKEND

    user = await sync_to_async(User.objects.create_superuser)("mia", password="a-long-password")
    instance = await sync_to_async(in_state)(user, State.STOPPED, ended_at=timezone.now())
    launch = await sync_to_async(lambda: instance.launches.get())()
    await sync_to_async(write_log)(launch, "one", "<two>")
    await async_client.aforce_login(user, backend=BACKEND)
    answer = await async_client.get(f"/instances/{instance.pk}/launches/{launch.pk}/log/")
    text = b"".join([part async for part in answer.streaming_content]).decode()
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert [line.split(maxsplit=1)[1] for line in text.splitlines()] == ["one", "<two>"]


@pytest.mark.parametrize(
    ("action", "desired"), [("start", "running"), ("stop", "stopped"), ("restart", "running")]
)
def test_an_action_writes_the_intent_and_leads_back(
    page: Client, runs: Instance, action: str, desired: str
) -> None:
    answer = page.post(f"/instances/{runs.pk}/{action}/")
    assert (answer.status_code, answer["Location"]) == (302, f"/instances/{runs.pk}/")
    runs.refresh_from_db()
    assert runs.desired_state == desired


def test_an_action_shows_at_once_where_it_was_pressed(page: Client, runs: Instance) -> None:
    head = page.post(f"/instances/{runs.pk}/stop/", headers={**HTMX, "HX-Target": "instance-head"})
    assert 'id="instance-head"' in head.content.decode() and "Stopping" in head.content.decode()
    card = page.post(f"/instances/{runs.pk}/stop/", headers={**HTMX, "HX-Target": f"instance-{runs.pk}"})
    assert f'id="instance-{runs.pk}"' in card.content.decode() and "<html" not in card.content.decode()


@pytest.mark.parametrize("action", ["start", "stop", "restart"])
def test_an_action_is_no_link(page: Client, runs: Instance, action: str) -> None:
    assert page.get(f"/instances/{runs.pk}/{action}/").status_code == 405


def test_a_start_beyond_the_limit_is_a_sentence(page: Client, mia: User, settings: Any) -> None:
    settings.LLMOPS_MAX_INSTANCES = 1
    make_instance(mia, "occupied")
    rests = make_instance(mia, "rests", running=False)
    answer = page.post(f"/instances/{rests.pk}/start/", headers=HTMX)
    assert answer.status_code == 409 and answer["Content-Type"].startswith("text/plain")
    assert "occupied" in answer.content.decode()
    shown = page.post(f"/instances/{rests.pk}/start/", follow=True).content.decode()
    assert "occupied" in shown and 'class="toast" data-state="error"' in shown


def test_removing_asks_first(page: Client, runs: Instance) -> None:
    assert "<dialog" in page.get(f"/instances/{runs.pk}/remove/", headers=HTMX).content.decode()
    runs.refresh_from_db()
    assert not runs.removing


def test_a_removed_one_is_ended_first_and_then_gone(page: Client, mia: User, runs: Instance) -> None:
    assert page.post(f"/instances/{runs.pk}/remove/")["Location"] == "/"
    runs.refresh_from_db()
    assert runs.removing and runs.removed_at is None and runs.desired_state == DesiredState.STOPPED
    rests = make_instance(mia, "rests", running=False)
    page.post(f"/instances/{rests.pk}/remove/")
    assert page.get(f"/instances/{rests.pk}/").status_code == 404
    assert Event.objects.filter(verb="removed").count() == 2


@pytest.mark.parametrize("path", ["", "logs/", "start/", "remove/", "launches/1/", "launches/1/log/"])
def test_without_a_login_there_is_nothing(client: Client, runs: Instance, path: str) -> None:
    send = client.post if path == "start/" else client.get
    assert send(f"/instances/{runs.pk}/{path}")["Location"].startswith("/accounts/login/")
