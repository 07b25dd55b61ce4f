from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, User
from accounts.services import create_api_key, owner_of_key
from instances.models import Launch


@pytest.fixture
def signed_in(client: Client, mia: User) -> Client:
    client.force_login(mia)
    return client


def test_it_shows_a_new_key_once(signed_in: Client, mia: User) -> None:
    page = signed_in.post(reverse("key-make"), {"name": "grader"}).content.decode()
    secret = re.search(r"llmops-[\w-]{40,}", page)
    assert secret is not None
    assert owner_of_key(secret.group()) == mia
    again = signed_in.get(reverse("keys")).content.decode()
    assert secret.group() not in again
    assert "grader" in again and secret.group()[:11] in again


def test_it_answers_htmx_with_the_keys_alone(signed_in: Client) -> None:
    response = signed_in.post(reverse("key-make"), {"name": "grader"}, headers={"HX-Request": "true"})
    fragment = response.content.decode()
    assert "grader" in fragment and "<html" not in fragment
    assert "no-store" in response["Cache-Control"]


def test_it_wants_a_name(signed_in: Client) -> None:
    assert signed_in.post(reverse("key-make"), {"name": ""}).status_code == 422
    assert not ApiKey.objects.exists()


def test_a_revoked_key_is_of_no_use(signed_in: Client, mia: User) -> None:
    key, secret = create_api_key(owner=mia, name="grader")
    signed_in.post(reverse("key-revoke", args=[key.pk]))
    assert owner_of_key(secret) is None
    assert key.prefix not in signed_in.get(reverse("keys")).content.decode()


def test_another_persons_key_is_not_there(signed_in: Client, jonas: User) -> None:  # row 33
    key, secret = create_api_key(owner=jonas, name="theirs")
    assert "theirs" not in signed_in.get(reverse("keys")).content.decode()
    assert signed_in.post(reverse("key-revoke", args=[key.pk])).status_code == 404
    assert owner_of_key(secret) == jonas


@pytest.mark.parametrize("language", ["python", "curl", "javascript", "no-such"])
def test_use_it_names_this_address_and_a_running_model(
    signed_in: Client, running: Launch, language: str
) -> None:
    page = signed_in.get(reverse("keys"), {"language": language}, headers={"host": "localhost:7860"})
    text = re.sub("<[^>]+>", "", page.content.decode())
    assert "http://localhost:7860/v1" in text
    assert "tiny" in text


def test_use_it_says_when_nothing_runs(signed_in: Client) -> None:
    page = signed_in.get(reverse("keys")).content.decode()
    assert "none runs" in page and "MODEL" in page
