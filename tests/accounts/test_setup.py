from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from accounts import setup_token
from accounts.kept import kept_secret
from accounts.models import Event, User

pytestmark = pytest.mark.django_db
GOOD = {"username": "mia", "password": "a-long-password"}


@pytest.fixture(autouse=True)
def fresh_token() -> None:
    setup_token.discard()


def test_every_page_leads_to_setup_while_there_is_nobody(client: Client) -> None:
    for page in ("/", "/deploy/", "/chat/", "/history/", "/accounts/login/"):
        assert client.get(page).headers["Location"].startswith("/setup/"), page


def test_it_makes_the_first_administrator_and_signs_in(client: Client) -> None:
    answer = client.post("/setup/", {"token": setup_token.current().lower(), **GOOD})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    user = User.objects.get()
    assert user.is_superuser and user.check_password(GOOD["password"])
    assert client.get("/").status_code == 200
    assert Event.objects.get().verb == "became administrator"


def test_it_refuses_a_wrong_token_and_keeps_what_was_typed(client: Client) -> None:
    answer = client.post("/setup/", {"token": "AAAA-BBBB-CCCC", **GOOD})
    assert answer.status_code == 422
    assert b"This is not the token" in answer.content and b'value="mia"' in answer.content
    assert not User.objects.exists()


@pytest.mark.parametrize("password", ["short", "password1234567890"[:8], "1234567890"])
def test_it_refuses_a_weak_password(client: Client, password: str) -> None:
    answer = client.post("/setup/", {"token": setup_token.current(), "username": "mia", "password": password})
    assert answer.status_code == 422
    assert not User.objects.exists()


def test_it_is_gone_once_a_superuser_exists_however_made(client: Client) -> None:
    token = setup_token.current()
    User.objects.create_superuser("root", password="a-long-password")
    assert client.get("/setup/").headers["Location"] == "/"
    client.post("/setup/", {"token": token, **GOOD})
    assert User.objects.count() == 1


def test_the_token_is_the_same_at_every_start_until_it_is_used() -> None:
    first = setup_token.current()
    assert setup_token.current() == first
    setup_token.discard()
    assert setup_token.current() != first


def test_a_kept_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert kept_secret(path, lambda: "first") == "first"
    assert kept_secret(path, lambda: "second") == "first"
    assert path.stat().st_mode & 0o777 == 0o600 and [one.name for one in tmp_path.iterdir()] == ["secret"]
