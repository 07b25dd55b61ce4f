from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Event, User
from instances import revisions
from instances.configuration import clean_configuration
from instances.models import DesiredState, Instance, Revision
from instances.services import deploy_instance, revise_instance
from instances.states import State

from .made import make_launch

pytestmark = pytest.mark.usefixtures("engine")


def made(mia: User, *configs: dict[str, Any]) -> Instance:
    """An instance with a revision for each configuration."""
    wanted = [clean_configuration({"name": "tiny", "model": "a/b", **one}, user=mia) for one in configs]
    first, *rest = wanted
    instance = deploy_instance(
        actor=mia,
        name="tiny",
        served_name="tiny",
        config=first.config,
        restart_policy="on-failure",
        start=False,
    )
    for one in rest:
        revise_instance(
            actor=mia,
            instance=instance,
            config=one.config,
            served_name=one.served_name,
            restart_policy=one.restart_policy,
        )
    return instance


def test_every_save_that_changes_something_is_a_revision(mia: User) -> None:
    instance = made(mia, {}, {"max_model_len": 4096}, {"max_model_len": 4096}, {"served_name": "other"})
    numbers = list(instance.revisions.values_list("number", "served_name"))
    assert numbers == [(3, "other"), (2, "tiny"), (1, "tiny")]


def test_a_line_says_what_its_save_changed(mia: User) -> None:
    before = {"max_model_len": 4096, "args": {"seed": 7}}
    instance = made(mia, before, {"max_model_len": 8192, "env": {"VLLM_LOGGING_LEVEL": "DEBUG"}})
    newest, first = revisions.lines_of(instance)
    assert first.summary == "a/b"
    assert newest.summary == ("max_model_len 4096 → 8192, --seed taken out, VLLM_LOGGING_LEVEL DEBUG added")


def test_any_two_can_be_compared_and_the_older_one_stands_left(mia: User) -> None:
    instance = made(mia, {"dtype": "float16"}, {"dtype": "bfloat16"}, {"max_model_len": 512})
    found = revisions.compared(revisions.lines_of(instance), 3, 1)
    assert found is not None and (found.left.number, found.right.number) == (1, 3)
    assert [(row.key, row.kind, row.left, row.right) for row in found.rows[:2]] == [
        ("dtype", "removed", "float16", ""),
        ("max_model_len", "added", "", "512"),
    ]
    assert {row.kind for row in found.rows[2:]} == {"same"} and found.differing == 2


def test_the_page_shows_both_sides_and_the_launches_of_each(page: Client, mia: User) -> None:
    instance = made(mia, {}, {"max_model_len": 512})
    make_launch(instance, State.ERROR, error="Out of memory.", exit_code=1)
    text = page.get(f"/instances/{instance.pk}/configuration/").content.decode()
    assert "<ins>512</ins>" in text and "Out of memory." in text and "exit 1" in text
    alone = page.get(
        f"/instances/{instance.pk}/compare/", {"left": 1, "right": 2}, headers={"HX-Request": "true"}
    ).content.decode()
    assert alone.strip().startswith("<section") and "<ins>512</ins>" in alone


def test_an_earlier_one_is_deployed_again_as_a_new_revision(page: Client, mia: User) -> None:
    instance = made(mia, {"max_model_len": 512}, {"max_model_len": 1024})
    answer = page.post(f"/instances/{instance.pk}/revisions/1/again/")
    assert answer["Location"] == f"/instances/{instance.pk}/"
    instance.refresh_from_db()
    assert instance.newest_revision.number == 3 and instance.config["max_model_len"] == 512
    assert instance.desired_state == DesiredState.RUNNING
    assert Event.objects.filter(verb="started").exists()


def test_an_earlier_one_that_is_not_allowed_any_more_is_refused_with_the_reason(
    as_jonas: Client, mia: User
) -> None:
    instance = made(mia, {"trust_remote_code": True}, {})
    answer = as_jonas.post(f"/instances/{instance.pk}/revisions/1/again/", follow=True)
    assert "Revision 1 cannot run" in answer.content.decode()
    assert Revision.objects.filter(instance=instance).count() == 2


def test_an_earlier_one_can_be_duplicated_under_a_fresh_name(page: Client, mia: User) -> None:
    instance = made(mia, {"max_model_len": 512}, {"max_model_len": 1024})
    form = page.get("/deploy/", {"copy": instance.pk, "revision": 1}).context["form"]
    assert (form["name"].value(), form["max_model_len"].value()) == ("tiny-2", 512)


@pytest.mark.django_db
def test_the_page_of_many_revisions_costs_no_more_queries(
    page: Client, mia: User, django_assert_max_num_queries: Any
) -> None:
    instance = made(mia, *({"max_model_len": 512 + n} for n in range(12)))
    for _ in range(5):
        make_launch(instance, State.STOPPED)
    with django_assert_max_num_queries(14):
        page.get(f"/instances/{instance.pk}/configuration/")


# ---------------------------------------------------------------- the same for programs


def test_programs_read_compare_and_deploy_again(page: Client, mia: User) -> None:
    instance = made(mia, {}, {"max_model_len": 2048, "args": {"seed": 7}})
    address = f"/api/models/{instance.pk}"
    newest, first = page.get(f"{address}/revisions").json()
    assert (newest["number"], newest["served_name"], newest["restart_policy"]) == (2, "tiny", "on-failure")
    found = page.get(f"{address}/compare?left=1&right=2").json()
    assert {"key": "--seed", "left": "", "right": "7"} in found
    assert {"key": "max_model_len", "left": "", "right": "2048"} in found
    assert page.get(f"{address}/compare?left=1&right=9").status_code == 404
    again = page.post(f"{address}/revisions/1/deploy")
    assert again.status_code == 202 and again.json()["served_name"] == "tiny"
    newest = page.get(f"{address}/revisions").json()[0]
    assert newest["number"] == 3 and newest["configuration"] == first["configuration"]
