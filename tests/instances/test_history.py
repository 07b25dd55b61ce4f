from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from instances.models import Instance
from instances.states import State

from .made import in_state, make_instance, make_launch


@pytest.fixture
def past(mia: User, jonas: User) -> list[int]:
    """Three launches of one instance by Mia, Jonas and the supervisor, and one of another."""
    now = timezone.now()

    def at(seconds: float) -> dt.datetime:
        return now - dt.timedelta(hours=1) + dt.timedelta(seconds=seconds)

    tiny, other = make_instance(mia, "tiny"), make_instance(mia, "other", running=False)
    ready: dict[str, Any] = {"created": at(0), "ready_at": at(12)}
    stopped = make_launch(tiny, State.STOPPED, **ready, ended_at=at(600), stopped_by=jonas, exit_code=0)
    failed = make_launch(
        tiny,
        State.ERROR,
        created=at(700),
        ended_at=at(731),
        error="Out of memory.",
        exit_code=1,
        asked_by=jonas,
    )
    again = make_launch(tiny, State.RUNNING, created=at(800), ready_at=at(820), asked_by=None, attempt=1)
    first = make_launch(other, State.STOPPED, created=at(0), ended_at=at(5), exit_code=-9)
    return [launch.pk for launch in (stopped, failed, again, first)]


def shown(browser: Client, /, **query: Any) -> list[int]:
    return [row.launch.pk for row in browser.get("/history/", query).context["rows"]]


def test_there_is_a_line_for_every_launch_newest_first(page: Client, past: list[int]) -> None:
    assert shown(page) == past[::-1]


def test_a_line_tells_who_what_and_how_it_ended(page: Client, past: list[int]) -> None:
    rows = {row.launch.pk: row for row in page.get("/history/").context["rows"]}
    stopped, failed, again, _ = past
    assert (rows[stopped].what, rows[stopped].ending) == ("Deploy", "Stopped by jonas")
    assert (rows[failed].what, rows[failed].ending) == ("Start", "Out of memory.")
    assert (rows[again].what, rows[again].ending) == ("Restart, 1 of 5", "Running")
    text = page.get("/history/").content.decode()
    assert "10 min 00 s" in text and ">-9<" in text and "Supervisor" in text


def test_its_figures_are_true(page: Client, past: list[int], mia: User) -> None:
    long_ago = timezone.now() - dt.timedelta(days=8)
    make_launch(make_instance(mia, "ancient"), State.ERROR, created=long_ago, ended_at=timezone.now())
    figures = page.get("/history/").context["figures"]
    assert (figures.launches, figures.by_people, figures.by_restarts, figures.failed) == (4, 3, 1, 1)
    assert figures.median_ready == dt.timedelta(seconds=16)
    assert figures.longest_name == "tiny"


def test_without_launches_it_says_so_and_invents_nothing(page: Client) -> None:
    text = page.get("/history/").content.decode()
    assert "Nothing was launched yet." in text


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({"q": "memory"}, [1]),
        ({"q": "OTHER"}, [3]),
        ({"ending": "failed"}, [1]),
        ({"ending": "live"}, [2]),
        ({"ending": "stopped"}, [3, 0]),
        ({"ending": "nonsense", "instance": "x", "person": "-1"}, [3, 2, 1, 0]),
    ],
)
def test_it_can_be_filtered(page: Client, past: list[int], query: dict[str, str], kept: list[int]) -> None:
    assert shown(page, **query) == [past[n] for n in kept]


def test_it_can_be_filtered_by_instance_and_person(page: Client, past: list[int], jonas: User) -> None:
    other = Instance.objects.get(name="other")
    assert shown(page, instance=other.pk) == [past[3]]
    assert shown(page, person=jonas.pk) == [past[1]]


def test_pages_have_25_lines_and_keep_the_filters(page: Client, mia: User) -> None:
    many = make_instance(mia, "many")
    for _ in range(26):
        make_launch(many, State.STOPPED, ended_at=timezone.now())
    assert len(shown(page)) == 25 and len(shown(page, page=2)) == 1
    text = page.get("/history/", {"q": "many"}).content.decode()
    assert "?q=many&amp;page=2" in text and "1 to 25 of 26" in text
    assert len(shown(page, page="nonsense")) == 25


def test_a_removed_instance_stays_in_history(page: Client, mia: User) -> None:
    gone = in_state(mia, State.STOPPED, "gone", ended_at=timezone.now())
    Instance.objects.filter(pk=gone.pk).update(removed_at=timezone.now())
    text = page.get("/history/").content.decode()
    assert "gone" in text and f'href="/instances/{gone.pk}/"' not in text
    launch = gone.launches.get()
    assert page.get(f"/instances/{gone.pk}/launches/{launch.pk}/").status_code == 200


@pytest.mark.parametrize("number", [2, 20])
def test_its_queries_do_not_grow_with_the_launches(
    page: Client, mia: User, number: int, django_assert_num_queries: Any
) -> None:
    instance = make_instance(mia)
    for _ in range(number):
        make_launch(instance, State.STOPPED, ended_at=timezone.now(), stopped_by=mia)
    # session, user; how many, rows; figures; two lists of choices; instances and launches of the sidebar
    with django_assert_num_queries(9):
        page.get("/history/")
