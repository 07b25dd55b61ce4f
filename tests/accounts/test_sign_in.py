from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User


def test_a_page_without_a_login_leads_to_the_login_and_back(client: Client, mia: User) -> None:
    assert client.get("/history/").headers["Location"] == "/accounts/login/?next=/history/"
    answer = client.post(
        "/accounts/login/?next=/history/",
        {"username": "mia", "password": "a-long-password", "next": "/history/"},
    )
    assert answer.headers["Location"] == "/history/"
    assert client.get("/history/").status_code == 200


def test_a_fragment_without_a_login_sends_the_whole_page_there(client: Client, mia: User) -> None:
    answer = client.get("/", headers={"HX-Request": "true"})
    assert answer.status_code == 204 and answer.headers["HX-Redirect"].startswith("/accounts/login/")


def test_a_wrong_password_is_said_in_the_card(client: Client, mia: User) -> None:
    answer = client.post("/accounts/login/", {"username": "mia", "password": "wrong"})
    assert answer.status_code == 200 and b"password" in answer.content and b'value="mia"' in answer.content


def test_signing_out_ends_the_session(client: Client, mia: User) -> None:
    client.force_login(mia)
    client.post("/accounts/logout/")
    assert client.get("/").status_code == 302


# row 35: password guessing
def test_guessing_passwords_locks_out_by_name_and_address(
    client: Client, mia: User, settings: object
) -> None:
    settings.AXES_ENABLED = True  # type: ignore[attr-defined]
    for _ in range(10):
        client.post("/accounts/login/", {"username": "mia", "password": "wrong"})
    answer = client.post("/accounts/login/", {"username": "mia", "password": "a-long-password"})
    assert answer.status_code == 429


@pytest.mark.parametrize("path", ["/healthz"])
def test_health_needs_no_login(client: Client, db: None, path: str) -> None:
    assert client.get(path).status_code == 200
