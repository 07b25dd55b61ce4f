"""The flags of the deploy form: rows of what is set, and a search for what can be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from instances.models import Instance
from instances.vllm import engines

from .made import make_instance

pytestmark = pytest.mark.usefixtures("engine")


def rows(**texts: str) -> dict[str, Any]:
    """What the rows of these flags send, and a model."""
    args = {name.replace("_", "-"): text for name, text in texts.items()}
    sent = {"name": "tiny", "model": "Qwen/Qwen3-0.6B", "restart": "on", "start": "true"}
    return {**sent, "flag": list(args), **{f"args.{name}": text for name, text in args.items()}}


def found(page: Client, **asked: Any) -> str:
    return page.get("/deploy/flags/", asked).content.decode()


def changed(page: Client, body: dict[str, Any], **asked: str) -> str:
    sent = {name.replace("_", "-"): value for name, value in asked.items()}
    return page.post("/deploy/flags/rows/", {**body, **sent}).content.decode()


def row(text: str, name: str) -> str:
    """The HTML of one flag's row."""
    found = re.search(rf'<li class="flag-row[^>]*id="flag-{name}-row".*?</li>', text, re.DOTALL)
    assert found, f"no row of {name}"
    return found[0]


def test_the_page_has_rows_of_what_is_set_alone(page: Client) -> None:
    text = page.get("/deploy/", {"preset": "tiny-demo"}).content.decode()
    assert re.findall(r'name="flag" value="([^"]+)"', text) == [
        "enforce-eager",
        "distributed-executor-backend",
        "kv-cache-memory-bytes",
    ]
    assert "--max-num-seqs" not in text


def test_words_find_flags_by_name_help_and_group(page: Client) -> None:
    assert "--max-num-seqs" in found(page, q="max num seq")
    assert "--seed" in found(page, q="random seed")
    assert "<h3>Scheduler</h3>" in found(page, q="scheduler")


def test_nothing_typed_shows_the_groups_and_one_of_them_its_flags(page: Client) -> None:
    assert 'name="group" value="SchedulerConfig"' in found(page)
    text = found(page, group="SchedulerConfig")
    assert "--max-num-seqs" in text and "--seed" not in text


def test_a_flag_that_is_set_already_is_not_offered_again(page: Client) -> None:
    assert 'name="flag-add" value="seed"' in found(page, q="seed")
    text = found(page, q="seed", flag=["seed"])
    assert 'value="seed"' not in text and "set above" in text


def test_a_refused_flag_is_found_with_its_reason_and_cannot_be_added(page: Client) -> None:
    text = found(page, q="middleware")
    assert "imports a Python object by name" in text and 'value="middleware"' not in text


# row 39: what trusting remote code means
def test_remote_code_leads_to_its_own_field_which_says_what_it_means(page: Client) -> None:
    text = found(page, q="trust-remote-code")
    assert 'href="#id_trust_remote_code"' in text and 'value="trust-remote-code"' not in text
    assert "Runs Python that comes with the model" in page.get("/deploy/").content.decode()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("max-num-sequences", "Did you mean --max-num-seqs"),
        ("use-v2-block-manager", "no --use-v2-block-manager any more"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(page: Client, typed: str, said: str) -> None:
    assert said in found(page, q=typed)


def test_a_click_adds_a_row_which_takes_the_focus(page: Client) -> None:
    text = changed(page, rows(seed="7"), flag_add="max-num-seqs")
    assert re.findall(r'name="flag" value="([^"]+)"', text) == ["seed", "max-num-seqs"]
    assert "autofocus" in row(text, "max-num-seqs") and "autofocus" not in row(text, "seed")
    assert 'value="7"' in row(text, "seed")


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        ("max num seq", "max-num-seqs", 'value=""'),
        ("--max_num_seqs=4", "max-num-seqs", 'value="4"'),
        ("-dp 2", "data-parallel-size", 'value="2"'),
        ("--no-enable-prefix-caching", "enable-prefix-caching", 'value="true" id='),
        ("enforce-eager", "enforce-eager", 'value="true" checked'),
    ],
)
def test_enter_adds_the_best_of_what_was_typed(page: Client, typed: str, name: str, value: str) -> None:
    assert value in row(changed(page, rows(), find="1", q=typed), name)


def test_enter_on_a_name_that_does_not_exist_gives_a_row_that_says_so(page: Client) -> None:
    text = row(changed(page, rows(), find="1", q="--max-num-sequences 4"), "max-num-sequences")
    assert 'value="4"' in text and "Did you mean --max-num-seqs" in text


def test_a_flag_that_is_there_is_not_added_twice(page: Client) -> None:
    text = changed(page, rows(seed="7"), find="1", q="--seed 8")
    assert text.count('name="flag"') == 1 and 'value="7"' in row(text, "seed")


def test_a_row_goes_and_the_next_one_takes_the_focus(page: Client) -> None:
    text = changed(page, rows(seed="7", max_num_seqs="4", block_size="16"), flag_remove="max-num-seqs")
    assert "max-num-seqs" not in re.findall(r'name="flag" value="([^"]+)"', text)
    assert "autofocus" in row(text, "block-size")


def test_the_command_follows_the_rows(page: Client) -> None:
    assert "--max-num-seqs 4" in changed(page, rows(max_num_seqs="4"), flag_add="seed")
    assert "--max-num-seqs 4" in page.post("/deploy/command/", rows(max_num_seqs="4")).content.decode()


def test_a_wrong_flag_alone_is_left_out_of_the_command(page: Client) -> None:
    text = page.post("/deploy/command/", rows(max_num_seqs="4", seed="x")).content.decode()
    assert "--max-num-seqs 4" in text and "--seed" not in text


def test_each_kind_has_its_own_control(page: Client) -> None:
    sent = rows(enable_prefix_caching="false", kv_cache_dtype="fp8", compilation_config="{}", seed="7")
    text = changed(page, sent)
    assert 'type="checkbox"' in row(text, "enable-prefix-caching")
    assert '<option value="fp8" selected>' in row(text, "kv-cache-dtype")
    assert "<textarea" in row(text, "compilation-config")
    assert 'inputmode="decimal"' in row(text, "seed")


def test_what_is_saved_are_values_of_their_kinds_that_differ_from_the_default(page: Client) -> None:
    sent = rows(
        seed="7",
        block_size="",
        enable_prefix_caching="false",
        kv_cache_dtype="auto",
        compilation_config='{"mode": 3}',
        cudagraph_capture_sizes="1\n2\n4",
        max_num_batched_tokens="8k",
    )
    assert page.post("/deploy/", sent).status_code == 302
    assert Instance.objects.get().config["args"] == {
        "seed": 7,
        "enable-prefix-caching": False,
        "compilation-config": {"mode": 3},
        "cudagraph-capture-sizes": [1, 2, 4],
        "max-num-batched-tokens": "8k",
    }


def test_a_ticked_box_sends_its_hidden_twin_first(page: Client) -> None:
    sent = rows(enforce_eager="") | {"args.enforce-eager": ["false", "true"]}
    page.post("/deploy/", sent)
    assert Instance.objects.get().config["args"] == {"enforce-eager": True}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("seed", "many", "takes a whole number"),
        ("kv-cache-dtype", "fp7", "Choose one of"),
        ("compilation-config", "{'mode': 3}", "write {&quot;mode&quot;: 3}"),
        ("no-such-thing", "5", "There is no flag --no-such-thing"),
        ("max-num-sequences", "4", "Did you mean --max-num-seqs"),
        ("use-v2-block-manager", "true", "any more"),
        ("worker-cls", "x.Y", "imports a Python class by name"),
        ("trust-remote-code", "true", "has a field of its own"),
        ("chat-template", "/etc/passwd", "outside the folders for models"),
        ("--HOST", "0.0.0.0", "engines listen on 127.0.0.1 only"),
    ],
)
def test_an_error_stands_in_its_own_row_and_keeps_what_was_typed(
    page: Client, name: str, text: str, said: str
) -> None:
    sent = rows(block_size="16") | {"flag": ["block-size", name], f"args.{name}": text}
    answer = page.post("/deploy/", sent, headers={"HX-Request": "true"})
    html = answer.content.decode()
    wrong, right = row(html, re.sub(r"[^\w-]", "_", name)), row(html, "block-size")
    assert answer.status_code == 422 and said in wrong and 'aria-invalid="true"' in wrong
    assert text in wrong.replace("&#x27;", "'") and "aria-invalid" not in right
    assert "autofocus" in wrong and not Instance.objects.exists()


def test_what_is_wrong_is_said_once_a_value_was_changed(page: Client) -> None:
    text = page.post("/deploy/flags/check/", rows(seed="x", block_size="16")).content.decode()
    assert re.search(r'id="flag-seed_error"[^>]*hx-swap-oob="true">.*takes a whole number', text, re.DOTALL)
    assert re.search(r'id="flag-block-size_error"[^>]*hidden', text)


def test_a_name_that_is_wrong_in_itself_needs_no_value_to_be_said_so(page: Client) -> None:
    for name in ("host", "max-num-sequences", "use-v2-block-manager"):
        assert "aria-invalid" in row(changed(page, rows(), flag_add=name), name)


@pytest.mark.parametrize(
    "args",
    [
        {"seed": 7, "enforce-eager": True, "enable-prefix-caching": False},
        {"cudagraph-capture-sizes": [1, 2, 4], "compilation-config": {"mode": 3}},
        {"kv-cache-dtype": "fp8", "max-num-batched-tokens": "8k", "chat-template": "{{ messages }}"},
        {"lora-modules": ["a=org/a", {"name": "b", "path": "org/b"}], "enable-lora": True},
        {"hf-overrides": {"rope_theta": 1000000.0}, "limit-mm-per-prompt": {"image": 1}},
    ],
)
def test_an_edit_that_changes_nothing_keeps_every_flag(page: Client, mia: User, args: dict[str, Any]) -> None:
    instance = make_instance(mia, "tiny", args=args)
    form = page.get("/deploy/", {"from": instance.pk}).context["form"]
    sent = {"flag": [one.written for one in form.rows()]}
    sent |= {f"args.{one.written}": one.text for one in form.rows()}
    page.post(f"/deploy/?from={instance.pk}", {**rows(), **sent, "start": "false"})
    instance.refresh_from_db()
    assert instance.config["args"] == args


def test_lines_of_a_page_without_scripts_count_too(page: Client) -> None:
    page.post("/deploy/", {**rows(seed="7"), "args": "--max-num-seqs 4\n--enforce-eager"})
    assert Instance.objects.get().config["args"] == {"seed": 7, "max-num-seqs": 4, "enforce-eager": True}


def test_a_flag_given_twice_is_said_and_both_stay(page: Client) -> None:
    answer = page.post("/deploy/", {**rows(seed="7"), "args": "--seed 8"})
    html = answer.content.decode()
    assert "given twice" in row(html, "--seed") and 'value="7"' in row(html, "seed")


def test_no_replacement_is_offered_where_a_person_has_to_choose(page: Client) -> None:
    assert "flag-instead" not in row(changed(page, rows(task="")), "task")
    assert "flag-instead" not in row(
        changed(page, rows(quantization_param_path="x")), "quantization-param-path"
    )


def test_the_flags_are_those_of_the_chosen_engine(
    page: Client, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = engines.Engine(Path("/opt/other/bin/vllm"), "9.9.9", "cpu", "other")
    monkeypatch.setattr(engines, "choose", lambda *_: other)
    monkeypatch.setattr(engines, "choices", lambda *_: [("9.9.9", other)])
    settings.LLMOPS_DATA = tmp_path
    known = {"name": "shiny", "spellings": ["--shiny"], "group": "New", "kind": "whole", "help": "How shiny."}
    (tmp_path / "flags").mkdir()
    (tmp_path / "flags" / f"{other.slug}.json").write_text(json.dumps({"version": "9.9.9", "flags": [known]}))
    assert "How shiny." in found(page, q="shiny", engine="9.9.9")
    assert "There is no flag --shiny" in found(page, q="shiny")
    text = changed(page, {**rows(seed="7", shiny="3"), "engine": "9.9.9"})
    assert "no flag --seed in vLLM 9.9.9" in row(text, "seed") and "aria-invalid" not in row(text, "shiny")


def test_advice_that_is_taken_loses_no_flag_that_was_typed(page: Client) -> None:
    sent = {**rows(seed="x", no_such="5"), "take": json.dumps({"args": {"max-num-seqs": 4}})}
    text = page.post("/deploy/", sent).content.decode()
    assert re.findall(r'name="flag" value="([^"]+)"', text) == ["seed", "no-such", "max-num-seqs"]
    assert 'value="x"' in row(text, "seed") and 'value="5"' in row(text, "no-such")
    assert "changed as advised" in row(text, "max-num-seqs") and "changed" not in row(text, "seed")


def test_the_editor_is_for_people_who_are_signed_in(client: Client, mia: User) -> None:
    assert client.get("/deploy/flags/").status_code == 302
    assert client.post("/deploy/flags/rows/").status_code == 302


def test_a_mistyped_name_gives_way_to_the_one_that_was_meant(page: Client) -> None:
    wrong = row(changed(page, rows(max_num_sequences="4", seed="7")), "max-num-sequences")
    assert 'name="flag-instead" value="max-num-sequences=max-num-seqs"' in wrong
    text = changed(page, rows(max_num_sequences="4", seed="7"), flag_instead="max-num-sequences=max-num-seqs")
    assert re.findall(r'name="flag" value="([^"]+)"', text) == ["max-num-seqs", "seed"]
    assert 'value="4"' in row(text, "max-num-seqs")


@pytest.mark.parametrize(
    ("sent", "names", "value"),
    [
        ({"task": "embed"}, ["runner", "convert"], '<option value="pooling" selected>'),
        ({"override_pooler_config": "{}"}, ["pooler-config"], "{}"),
        ({"use_v2_block_manager": "", "runner": "pooling"}, ["runner"], '<option value="pooling" selected>'),
    ],
)
def test_a_removed_flag_gives_way_to_what_replaced_it(
    page: Client, sent: dict[str, str], names: list[str], value: str
) -> None:
    old = next(iter(sent)).replace("_", "-")
    text = changed(page, rows(**sent), flag_instead=f"{old}={old}")
    assert re.findall(r'name="flag" value="([^"]+)"', text) == names
    assert value in row(text, names[0])
