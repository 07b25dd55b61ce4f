from __future__ import annotations

import datetime as dt
import hashlib
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import services
from accounts.models import ApiKey, User


def test_only_the_hash_is_kept(mia: User) -> None:
    key, secret = services.create_api_key(owner=mia, name="grader")
    kept = ApiKey.objects.values().get(pk=key.pk)
    assert kept["hash"] == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(kept) and secret.startswith(kept["prefix"])


def test_a_valid_key_leads_to_its_owner(mia: User) -> None:
    key, secret = services.create_api_key(owner=mia)
    assert services.owner_of_key(secret) == mia
    key.refresh_from_db()
    assert key.last_used is not None


@pytest.mark.parametrize("spoil", ["revoked", "expired", "inactive", "other"])
def test_a_key_that_does_not_hold_leads_to_nobody(mia: User, spoil: str) -> None:
    key, secret = services.create_api_key(owner=mia)
    if spoil == "revoked":
        services.revoke_api_key(actor=mia, key=key)
    elif spoil == "expired":
        ApiKey.objects.update(expires=timezone.now() - dt.timedelta(seconds=1))
    elif spoil == "inactive":
        User.objects.update(is_active=False)
    else:
        secret += "x"
    assert services.owner_of_key(secret) is None


def test_the_command_prints_the_key_as_its_last_word(mia: User, client: Client) -> None:
    output = StringIO()
    call_command("create_api_key", "mia", stdout=output)
    secret = output.getvalue().split()[-1]
    answer = client.get("/api/models/list", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()) == (200, [])


def test_the_command_says_when_there_is_no_such_person(db: None) -> None:
    with pytest.raises(CommandError, match="There is no user 'mia'"):
        call_command("create_api_key", "mia")
