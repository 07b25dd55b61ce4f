from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from instances.states import State

from .made import in_state


@pytest.mark.parametrize("model", ["instance", "revision", "launch"])
def test_lists_and_rows_are_shown_without_the_engine_key(page: Client, mia: User, model: str) -> None:
    instance = in_state(mia, State.RUNNING, "listed", ready_at=timezone.now())
    assert instance.last_launch and instance.revision
    pk = {"instance": instance.pk, "revision": instance.revision.pk, "launch": instance.last_launch.pk}[model]
    for address in (f"/admin/instances/{model}/", f"/admin/instances/{model}/{pk}/change/"):
        answer = page.get(address)
        assert answer.status_code == 200
        assert "listed" in answer.content.decode()
        assert "canary-of-an-engine-key" not in answer.content.decode()


@pytest.mark.parametrize("model", ["instance", "revision", "launch"])
def test_what_was_observed_cannot_be_written_there(page: Client, model: str) -> None:
    assert page.get(f"/admin/instances/{model}/add/").status_code == 403


@pytest.mark.parametrize("number", [1, 5])
def test_the_list_of_instances_asks_a_fixed_number_of_times(
    page: Client, mia: User, number: int, django_assert_num_queries: Any
) -> None:
    for n in range(number):
        in_state(mia, State.RUNNING, f"i-{n}", ready_at=timezone.now())
    with django_assert_num_queries(5):  # session, user, two counts, rows
        page.get("/admin/instances/instance/")
