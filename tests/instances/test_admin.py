from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from instances.models import Preset
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


@pytest.mark.parametrize("model", ["instance", "revision", "launch", "job"])
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


PRESET = {
    "slug": "our-own",
    "title": "Our own",
    "family": "Qwen3",
    "model": "Qwen/Qwen3-4B",
    "gpu_memory": 12,
    "gpus": 1,
}


def add(page: Client, config: str, **fields: Any) -> Any:
    return page.post(
        "/admin/instances/preset/add/", {**PRESET, "position": 1, "enabled": "on", "config": config, **fields}
    )


def test_a_preset_is_added_and_offered(page: Client, engine: Any) -> None:
    answer = add(page, '{"max_model_len": 8192, "args": {"seed": 7}}')
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert Preset.objects.get(slug="our-own").configuration["args"] == {"seed": 7}
    assert "Our own" in page.get("/deploy/?size=12").content.decode()


@pytest.mark.parametrize(
    ("config", "fields", "words"),
    [
        ('{"max_model_len": "many"}', {}, "max_model_len: "),
        ('{"args": {"no-such-flag": 1}}', {}, "There is no flag --no-such-flag"),
        ('{"args": {"api-key": "x"}}', {}, "args: "),
        ('{"start": true}', {}, "some of these keys"),
        ("[1]", {}, "some of these keys"),
        ("{}", {"model": "/etc"}, "outside the folders for models"),
        ("{}", {"slug": "Not A Name"}, "slug"),
    ],
)
def test_a_preset_that_no_form_could_take_is_refused(
    page: Client, engine: Any, config: str, fields: dict[str, str], words: str
) -> None:
    answer = add(page, config, **fields)
    assert answer.status_code == 200 and words in answer.content.decode()
    assert not Preset.objects.filter(title="Our own").exists()
