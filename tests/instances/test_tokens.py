from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Event, User
from instances import tokens
from instances.models import HubToken

CANARY = "hf_canaryOfAToken0123456789"


def test_a_token_is_kept_encrypted_and_comes_back_only_for_processes(mia: User) -> None:
    tokens.keep(actor=mia, hub="huggingface", token=f" {CANARY}\n")
    row = HubToken.objects.get()
    assert CANARY not in row.encrypted and row.set_by == mia
    assert tokens.environment() == {"HF_TOKEN": CANARY}
    assert not Event.objects.filter(detail__contains=CANARY).exists()


def test_another_token_takes_its_place_and_it_can_be_removed(mia: User) -> None:
    tokens.keep(actor=mia, hub="huggingface", token=CANARY)
    tokens.keep(actor=mia, hub="huggingface", token="hf_another_one")
    assert tokens.value("huggingface") == "hf_another_one" and HubToken.objects.count() == 1
    tokens.remove(actor=mia, hub="huggingface")
    assert tokens.environment() == {}


def test_with_another_secret_key_it_is_as_if_none_had_been_given(mia: User, settings: Any) -> None:
    tokens.keep(actor=mia, hub="huggingface", token=CANARY)
    settings.SECRET_KEY = "another"
    assert tokens.value("huggingface") == ""


@pytest.mark.parametrize("text", ["", "short", "with blanks inside", "hf_\nsecond", "ü" * 20])
def test_what_is_no_token_is_refused_with_a_sentence(mia: User, text: str) -> None:
    with pytest.raises(tokens.NoToken, match="A token has"):
        tokens.keep(actor=mia, hub="huggingface", token=text)
