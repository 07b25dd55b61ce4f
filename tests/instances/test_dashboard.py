from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from instances import metrics
from instances.models import Instance
from instances.states import State
from instances.vllm import engines

from .made import in_state, make_instance, make_launch

pytestmark = pytest.mark.usefixtures("engine")


def html(page: Client, address: str = "/") -> str:
    answer = page.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def card(text: str, instance: Instance) -> str:
    """The part of a page that is this instance's card."""
    begin = text.rindex("<article", 0, text.index(f'id="instance-{instance.pk}"'))
    return text[begin : text.index("</article>", begin)]


def test_it_needs_a_login(client: Client, mia: User) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/?next=/")


def test_the_empty_one_invites_to_deploy(page: Client) -> None:
    text = html(page)
    assert "Deploy your first model" in text and "Try the demo model" in text
    assert "Nothing is deployed yet" in text


def test_the_summary_leaves_out_what_is_not_the_case(page: Client, mia: User) -> None:
    in_state(mia, State.RUNNING, "a", ready_at=timezone.now())
    in_state(mia, State.STARTING, "b")
    in_state(mia, State.ERROR, "c", error="It failed.", ended_at=timezone.now())
    assert "1 running, 1 starting, 1 needs you" in html(page)


def test_a_starting_one_shows_its_phase_and_how_long_it_usually_takes(page: Client, mia: User) -> None:
    now = timezone.now()
    earlier = make_instance(mia, "earlier", running=False)
    for seconds in (10, 12, 90):
        began = now - dt.timedelta(hours=1)
        make_launch(
            earlier,
            State.STOPPED,
            created=began,
            started_at=began,
            ready_at=began + dt.timedelta(seconds=seconds),
            ended_at=now,
        )
    facts: dict[str, Any] = {
        "phase": "weights",
        "progress": [3, 8],
        "phases": {"seen": ["import", "weights"], "seconds": {}},
    }
    starting = in_state(mia, State.STARTING, "new", created=now - dt.timedelta(seconds=4), **facts)
    text = card(html(page), starting)
    assert "Loading weights" in text and "3 of 8" in text
    assert "usually 12 s" in text
    assert text.count("data-phase=") == 7 and 'value="3"' in text


def test_a_failed_one_shows_cause_and_way_out(page: Client, mia: User) -> None:
    failed = in_state(
        mia, State.ERROR, error="The KV cache is too small.", advice="Shorten it.", ended_at=timezone.now()
    )
    text = card(html(page), failed)
    assert "The KV cache is too small." in text and "Shorten it." in text
    assert f"/deploy/?from={failed.pk}" in text and "Start again" in text and "attention" in text


def test_one_that_restarts_by_itself_says_so_and_needs_nobody(page: Client, mia: User) -> None:
    soon = timezone.now() + dt.timedelta(seconds=20)
    facts: dict[str, Any] = {"restart_at": soon, "restart_attempt": 2, "ended_at": timezone.now()}
    failed = in_state(mia, State.ERROR, error="It was killed.", **facts)
    text = html(page)
    assert "2 of 5" in card(text, failed) and "data-until" in card(text, failed)
    assert "attention" not in card(text, failed) and "needs you" not in text


def test_a_stopped_one_says_who_stopped_it(page: Client, mia: User) -> None:
    now = timezone.now()
    facts: dict[str, Any] = {"created": now - dt.timedelta(minutes=3), "ended_at": now, "stopped_by": mia}
    stopped = in_state(mia, State.STOPPED, **facts)
    text = card(html(page), stopped)
    assert "mia stopped it" in text and "after 3 min 00 s" in text
    assert "/start/" in text and "/remove/" in text


def test_a_stopping_one_can_be_forced(page: Client, mia: User) -> None:
    stopping = in_state(mia, State.STOPPING)
    assert "Stop now" in card(html(page), stopping)


def test_a_start_shows_before_the_supervisor_has_begun(page: Client, mia: User) -> None:
    asked = make_instance(mia)
    assert 'data-state="initializing"' in card(html(page), asked)


def test_it_can_show_the_live_ones_alone(page: Client, mia: User) -> None:
    in_state(mia, State.RUNNING, "runs", ready_at=timezone.now())
    in_state(mia, State.STOPPED, "rests", ended_at=timezone.now())
    names = [card.instance.name for card in page.get("/?show=live").context["cards"]]
    assert names == ["runs"]


def test_a_removed_one_is_gone(page: Client, mia: User) -> None:
    gone = make_instance(mia, "gone")
    Instance.objects.filter(pk=gone.pk).update(removed_at=timezone.now())
    assert "gone" not in html(page)


def test_a_missing_engine_is_said_with_its_mend(
    page: Client, engine: Callable[[engines.Engine | engines.Missing], None]
) -> None:
    engine(engines.Missing("No engine is installed yet.", "Run ./start.sh; it installs one."))
    text = html(page)
    assert "No engine is installed yet." in text and "Run ./start.sh; it installs one." in text


def test_recent_events_are_sentences(page: Client, mia: User) -> None:
    record_event(
        actor=mia, verb="deployed", subject="instance:1", subject_name="tiny", detail="Qwen/Qwen3-0.6B"
    )
    record_event(
        actor=None, verb="saw fail", subject="instance:1", subject_name="tiny", detail="Out of memory."
    )
    text = html(page)
    assert "deployed tiny, Qwen/Qwen3-0.6B" in text and "tiny failed: Out of memory." in text
    record_event(
        actor=mia, verb="saved", subject="instance:2", subject_name="mine", detail="/srv/models/mine-7b"
    )
    assert "saved mine, mine-7b<" in html(page)
    assert "Supervisor" not in text


# row 41: nothing that a person or an engine wrote is markup
def test_what_others_wrote_is_text(page: Client, mia: User) -> None:
    in_state(
        mia, State.ERROR, error="<script>alert(1)</script>", advice="<img src=x>", ended_at=timezone.now()
    )
    text = html(page)
    assert "<script>alert" not in text and "<img src=x>" not in text


# row 40: no secret on a page
def test_the_engine_key_is_on_no_page(page: Client, mia: User) -> None:
    instance = in_state(mia, State.RUNNING, ready_at=timezone.now(), port=8123)
    for tab in ("", "logs/", "metrics/", "history/", "configuration/"):
        assert "canary-of-an-engine-key" not in html(page, f"/instances/{instance.pk}/{tab}")
    assert "canary-of-an-engine-key" not in html(page)


@pytest.mark.parametrize("number", [1, 6])
def test_its_queries_do_not_grow_with_the_instances(
    page: Client, mia: User, number: int, django_assert_num_queries: Any
) -> None:
    for n in range(number):
        in_state(mia, State.RUNNING, f"i-{n}", ready_at=timezone.now())
        in_state(mia, State.STARTING, f"s-{n}")
    # session, user, the newest readings, instances, launches, usual starts, events, sparks
    metrics._sparks.cache_clear()
    with django_assert_num_queries(8):
        page.get("/")


def test_the_list_for_programs_costs_the_same_for_any_number_of_instances(
    page: Client, mia: User, django_assert_num_queries: Any
) -> None:
    page.get("/api/models/list")
    for number in range(4):
        in_state(mia, State.RUNNING, f"one-{number}")
    with django_assert_num_queries(4):  # session, person, instances, launches
        assert len(page.get("/api/models/list").json()) == 4


def test_a_card_names_its_model_as_people_do(page: Client, mia: User, settings: Any) -> None:
    ours = settings.LLMOPS_DATA / "models"
    names = {
        str(ours / "smollm2-135m-instruct"): "SmolLM2 135M Instruct",
        str(ours / "modelscope" / "Qwen" / "Qwen3-8B"): "Qwen/Qwen3-8B",
        str(ours / "my-own" / "model"): str(ours / "my-own" / "model"),
        "Qwen/Qwen3-8B": "Qwen/Qwen3-8B",
    }
    instances = {
        make_instance(mia, f"m{number}", model=model): name
        for number, (model, name) in enumerate(names.items())
    }
    text = html(page)
    for instance, name in instances.items():
        assert f'cut">{name}</p>' in card(text, instance)
