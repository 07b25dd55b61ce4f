from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from instances.models import Instance, Job
from tests.fakes import fake_installed
from tests.instances.made import make_instance

ENGINE_KEYS = set(
    "slug engine version accelerator path works reason advice default installing removable instances flags"
    " flags_version".split()
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.LLMOPS_DATA = tmp_path
    monkeypatch.setenv("LLMOPS_ENGINES", str(tmp_path / "engines"))
    monkeypatch.delenv("LLMOPS_VLLM", raising=False)
    for version in ("0.31.0", "0.32.0"):
        fake_installed.install(tmp_path / "engines", version)
    return tmp_path / "engines"


def ask(page: Client, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = page.generic(method, path, json.dumps(body or {}), content_type="application/json")
    return answer.status_code, json.loads(answer.content or "null")


def test_engines_are_listed_with_what_one_needs_to_choose_one(page: Client, mia: User, home: Path) -> None:
    make_instance(mia, "old", engine="0.31.0+cpu")
    fake_installed.install(home, "0.29.0", works=False)
    status, (default, older, broken) = ask(page, "GET", "/api/engines")
    assert status == 200 and set(default) == ENGINE_KEYS
    assert (default["engine"], default["default"], default["flags_version"]) == ("0.32.0+cpu", True, "0.32.0")
    assert (older["instances"], older["removable"], older["works"]) == (["old"], False, True)
    assert not broken["works"] and broken["reason"] and broken["advice"] and broken["removable"]


def test_the_status_tells_those_that_work(page: Client, home: Path) -> None:
    fake_installed.install(home, "0.29.0", works=False)
    found = ask(page, "GET", "/api/system/status")[1]["engines"]
    assert [(one["version"], one["accelerator"], one["default"]) for one in found] == [
        ("0.32.0+cpu", "cpu", True),
        ("0.31.0+cpu", "cpu", False),
    ]


def test_a_version_is_installed_followed_and_cancelled(page: Client) -> None:
    status, asked = ask(page, "POST", "/api/engines", {"version": "0.30.0", "accelerator": "cpu"})
    assert (status, asked["kind"], asked["subject"], asked["state"]) == (202, "engine", "0.30.0", "waiting")
    assert ask(page, "GET", f"/api/jobs/{asked['id']}")[1]["id"] == asked["id"]
    assert ask(page, "DELETE", f"/api/jobs/{asked['id']}")[0] == 202
    assert not Job.objects.get().wanted


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": "x"}, "version"),
        ({"version": "0.31.0"}, "version"),
        ({}, "version"),
        ({"version": "0.30.0", "accelerator": "tpu"}, "accelerator"),
        ({"version": "0.30.0", "path": "/"}, "path"),
    ],
)
def test_what_cannot_be_installed_names_the_field(page: Client, body: Any, field: str) -> None:
    status, answer = ask(page, "POST", "/api/engines", body)
    assert status == 422 and answer["detail"][0]["field"] == field and not Job.objects.exists()


def test_one_is_removed_unless_something_uses_it(page: Client, mia: User, home: Path) -> None:
    old = make_instance(mia, "old", engine="0.31.0+cpu")
    status, answer = ask(page, "DELETE", "/api/engines/cpu-0.31.0")
    assert status == 409 and "old runs on it" in answer["detail"] and (home / "cpu-0.31.0").exists()
    Instance.objects.filter(pk=old.pk).update(removed_at=timezone.now())
    assert ask(page, "DELETE", "/api/engines/cpu-0.31.0")[0] == 204
    assert ask(page, "DELETE", "/api/engines/cpu-0.31.0")[0] == 404
    assert not (home / "cpu-0.31.0").exists()


def test_engines_are_for_those_who_may(as_jonas: Client, home: Path) -> None:
    assert ask(as_jonas, "GET", "/api/engines")[0] == 200
    assert ask(as_jonas, "POST", "/api/engines", {"version": "0.30.0"})[0] == 403
    assert ask(as_jonas, "DELETE", "/api/engines/cpu-0.31.0")[0] == 403
    assert (home / "cpu-0.31.0").exists() and not Job.objects.exists()


def test_a_change_moves_an_instance_to_another_engine_and_back(page: Client, mia: User) -> None:
    instance = make_instance(mia, "tiny")
    path = f"/api/models/{instance.pk}"
    assert ask(page, "PATCH", path, {"engine": "0.31.0"})[0] == 200
    instance.refresh_from_db()
    assert instance.config["engine"] == "0.31.0+cpu"
    status, answer = ask(page, "PATCH", path, {"engine": "9.9.9"})
    assert status == 422 and answer["detail"][0]["field"] == "engine"
    assert "0.31.0+cpu" in answer["detail"][0]["message"]
    assert ask(page, "PATCH", path, {"engine": None})[0] == 200
    instance.refresh_from_db()
    assert "engine" not in instance.config
