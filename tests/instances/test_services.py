from __future__ import annotations

import uuid
from typing import Any

import pytest

from accounts.models import Event, User
from instances import services
from instances.models import DesiredState, Instance, Launch
from instances.states import State


def deploy(actor: User, name: str = "a", **options: Any) -> Instance:
    given = {"served_name": name, "config": {"model": "x/y"}, "restart_policy": "on-failure", **options}
    return services.deploy_instance(actor=actor, name=name, **given)


def launched(instance: Instance, state: State) -> Launch:
    return Launch.objects.create(instance=instance, revision=instance.newest_revision, host="h", state=state)


def test_a_deploy_is_an_instance_a_revision_and_an_event(mia: User) -> None:
    instance = deploy(mia)
    assert (instance.newest_revision.number, instance.config) == (1, {"model": "x/y"})
    assert instance.desired_state == DesiredState.RUNNING
    event = Event.objects.get()
    assert (event.actor, event.verb, event.subject) == (mia, "deployed", f"instance:{instance.pk}")


# row 31: the form is sent again
def test_the_same_form_sent_twice_is_one_instance(mia: User) -> None:
    submission = uuid.uuid4()
    assert deploy(mia, submission=submission) == deploy(mia, submission=submission)
    assert Instance.objects.count() == 1


def test_a_name_is_unique_among_those_not_removed(mia: User) -> None:
    first = deploy(mia)
    with pytest.raises(services.NameTaken, match="called a"):
        deploy(mia)
    services.remove_instance(actor=mia, instance=first)
    assert deploy(mia).pk != first.pk


# row 23: five instances running, a sixth asked for
def test_the_sixth_is_refused_with_a_sentence_and_nothing_is_saved(mia: User, settings: Any) -> None:
    settings.LLMOPS_MAX_INSTANCES = 5
    for name in "abcde":
        deploy(mia, name)
    with pytest.raises(services.LimitReached, match="5 of 5 instances should run already: a, b, c, d, e"):
        deploy(mia, "f")
    assert not Instance.objects.filter(name="f").exists()
    saved = deploy(mia, "f", start=False)
    with pytest.raises(services.LimitReached):
        services.start_instance(actor=mia, instance=saved)


def test_a_start_of_what_runs_changes_nothing(mia: User) -> None:
    instance = deploy(mia)
    launch = launched(instance, State.RUNNING)
    services.start_instance(actor=mia, instance=instance)
    instance.refresh_from_db()
    assert instance.wants(launch)


def test_a_start_while_stopping_asks_for_a_later_launch(mia: User) -> None:
    instance = deploy(mia)
    launch = launched(instance, State.STOPPING)
    services.stop_instance(actor=mia, instance=instance)
    services.start_instance(actor=mia, instance=instance)
    instance.refresh_from_db()
    assert instance.desired_state == DesiredState.RUNNING and not instance.wants(launch)


# row 14: a second Stop forces at once
def test_a_second_stop_forces(mia: User) -> None:
    instance = deploy(mia)
    launch = launched(instance, State.RUNNING)
    services.stop_instance(actor=mia, instance=instance)
    assert instance.forced_through == 0
    Launch.objects.update(state=State.STOPPING)
    services.stop_instance(actor=mia, instance=Instance.objects.get())
    assert Instance.objects.get().forced_through == launch.pk


def test_removing_what_runs_hides_it_only_when_it_is_gone(mia: User) -> None:
    instance = deploy(mia)
    launch = launched(instance, State.RUNNING)
    services.remove_instance(actor=mia, instance=instance)
    assert Instance.objects.visible().get().desired_state == DesiredState.STOPPED
    Launch.objects.filter(pk=launch.pk).update(state=State.STOPPED)
    assert Instance.objects.finish_removals() == 1
    assert not Instance.objects.visible().exists()


def test_a_revision_is_made_only_of_a_change(mia: User) -> None:
    instance = deploy(mia)
    same = {"served_name": instance.served_name, "restart_policy": instance.restart_policy}
    services.revise_instance(actor=mia, instance=instance, config={"model": "x/y"}, **same)
    assert instance.revisions.count() == 1
    services.revise_instance(actor=mia, instance=instance, config={"model": "x/z"}, **same)
    assert Instance.objects.get().newest_revision.number == 2
