from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

from accounts.models import User
from instances.configuration import ConfigurationError, body_of, clean_configuration

from .made import make_instance


def wrong(user: User, **data: Any) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        clean_configuration({"name": "a", "model": "Qwen/Qwen3-0.6B", **data}, user=user)
    return caught.value.errors


def config(user: User, **data: Any) -> dict[str, Any]:
    return clean_configuration({"name": "a", "model": "Qwen/Qwen3-0.6B", **data}, user=user).config


def test_the_least_is_a_name_and_a_model(mia: User) -> None:
    made = clean_configuration({"name": "a", "model": "Qwen/Qwen3-0.6B"}, user=mia)
    assert (made.name, made.served_name, made.restart_policy, made.start) == ("a", "a", "on-failure", True)
    assert made.config == {"model": "Qwen/Qwen3-0.6B"}


def test_every_wrong_field_is_named_at_once(mia: User) -> None:
    errors = wrong(mia, name="No Such", port=80, dtype="int3", gpu_memory_utilization="nan", colour="red")
    assert set(errors) == {"name", "port", "dtype", "gpu_memory_utilization", "colour"}


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a\n", "ä", "a" * 64, 7, None])
def test_a_name_must_fit_into_addresses_and_folders(mia: User, name: Any) -> None:
    assert "name" in wrong(mia, name=name)


@pytest.mark.parametrize(
    ("typed", "tokens"),
    [("32768", 32768), ("32,768", 32768), ("32k", 32768), (" 1 ", 1), ("1M", 2**20), (8, 8)],
)
def test_a_context_length_is_read_as_people_write_it(mia: User, typed: Any, tokens: int) -> None:
    assert config(mia, max_model_len=typed)["max_model_len"] == tokens


@pytest.mark.parametrize("typed", ["0", "-5", "many", "1.5", True, 1.5, "9" * 40, []])
def test_what_is_no_number_of_tokens_is_refused(mia: User, typed: Any) -> None:
    assert "max_model_len" in wrong(mia, max_model_len=typed)


def test_numbers_may_come_as_strings(mia: User) -> None:
    made = config(mia, port="8200", gpu_memory_utilization="0.5", tensor_parallel_size="2")
    assert (made["port"], made["gpu_memory_utilization"], made["tensor_parallel_size"]) == (8200, 0.5, 2)


def test_what_is_given_wins_over_the_preset(mia: User) -> None:
    data = {
        "name": "a",
        "preset": "tiny-demo",
        "max_model_len": "512",
        "args": {"seed": 7, "enforce_eager": None},
    }
    made = clean_configuration(data, user=mia).config
    assert made["model"] == str(settings.DEMO_DIR / "tiny-chat")
    assert made["max_model_len"] == 512
    assert made["args"] == {
        "distributed-executor-backend": "uni",
        "kv-cache-memory-bytes": "64M",
        "seed": 7,
    }


def test_null_takes_a_value_of_the_preset_away(mia: User) -> None:
    data = {"name": "a", "preset": "tiny-demo", "max_model_len": None}
    assert "max_model_len" not in clean_configuration(data, user=mia).config


# row 36: flags that load code or listen elsewhere, row 37: environment
@pytest.mark.parametrize(
    "data",
    [
        {"args": {"--host": "0.0.0.0"}},
        {"args": {"api_key": "x"}},
        {"args": {"max-model-len": 5}},
        {"args": {"worker-cls": "evil.Worker"}},
        {"env": {"ld_preload": "/tmp/x.so"}},
        {"env": {"VLLM_API_KEY": "x"}},
        {"env": {"A": "1\nB=2"}},
    ],
)
def test_what_only_the_console_may_set_is_refused(mia: User, data: dict[str, Any]) -> None:
    assert set(wrong(mia, **data)) == set(data)


# row 38: local paths
@pytest.mark.parametrize("model", ["/etc", "../../etc", "~root", "a/../../etc", "-x", "a/b/c"])
def test_a_model_outside_the_roots_is_refused(mia: User, model: str) -> None:
    assert set(wrong(mia, model=model)) == {"model"}


# row 39: trust_remote_code
def test_trusting_remote_code_needs_its_permission(mia: User, jonas: User) -> None:
    assert config(mia, trust_remote_code="true")["trust_remote_code"] is True
    assert set(wrong(jonas, trust_remote_code=True)) == {"trust_remote_code"}


def test_an_instance_gives_the_body_that_would_make_it_again(mia: User) -> None:
    instance = make_instance(mia, "kept", max_model_len=512, args={"seed": 7})
    made = clean_configuration(body_of(instance), user=mia)
    assert (made.name, made.config) == ("kept", instance.config)


def test_the_name_of_an_instance_stays(mia: User) -> None:
    instance = make_instance(mia, "kept")
    with pytest.raises(ConfigurationError) as caught:
        clean_configuration({**body_of(instance), "name": "other"}, user=mia, instance=instance)
    assert set(caught.value.errors) == {"name"}
