"""The card of a log, as the server draws it: all of it works before any script has loaded."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from instances.log_card import Ask, first_error, marked
from instances.logs import store
from instances.models import Instance, Launch
from instances.pages import Page
from instances.pushes import Feed, Reader
from instances.states import State

from .made import in_state

pytestmark = pytest.mark.usefixtures("engine")
CORPUS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>' onmouseover=alert(1)",
    "</li></ol><mark>no</mark> &lt;b&gt; &amp;amp; {{ 7|add:7 }} {% now 'Y' %}",
    "javascript:alert(1) &#x3C;script&#x3E;",
]


@pytest.fixture
def launch(mia: User, settings: Any, tmp_path: Any) -> Launch:
    settings.LLMOPS_DATA = tmp_path
    found = in_state(mia, State.RUNNING, ready_at=timezone.now()).last_launch
    assert found
    found.directory.mkdir(parents=True)
    return found


def say(launch: Launch, *lines: str) -> None:
    with (launch.directory / "log").open("a") as file:
        file.writelines(f"2026-11-25T03:54:48.123Z {line}\n" for line in lines)


def end(launch: Launch, **facts: Any) -> None:
    Launch.objects.filter(pk=launch.pk).update(state=State.STOPPED, ended_at=timezone.now(), **facts)


def own(launch: Launch, query: str = "") -> str:
    return f"/instances/{launch.instance_id}/launches/{launch.pk}/{query}"


def get(client: Client, address: str, target: str = "") -> str:
    answer = client.get(address, headers={"HX-Request": "true", "HX-Target": target} if target else {})
    assert answer.status_code == 200
    return answer.content.decode()


def texts(html: str) -> list[str]:
    """The lines of the log as they would be read."""
    lines = re.findall(r'<li id="at-\d+"[^>]*>.*?<span>(.*?)</span></li>', html, re.DOTALL)
    return [unescape(re.sub(r"</?mark>", "", line)) for line in lines]


@pytest.mark.parametrize("where", ["logs", "own"])
def test_a_search_shows_the_lines_with_their_hits_marked_and_counted(
    page: Client, launch: Launch, where: str
) -> None:
    say(launch, *(f"INFO a Needle and a needle {n}" for n in range(37)), "INFO hay", "INFO more hay")
    address = own(launch) if where == "own" else f"/instances/{launch.instance_id}/logs/"
    html = get(page, address + "?q=needle")
    assert len(texts(html)) == 37 and "37 hits" in html and 'value="needle"' in html
    assert "a <mark>Needle</mark> and a <mark>needle</mark> 3" in html
    assert "data-log=" not in html  # what is found does not move
    assert "1 hit<" in get(page, address + "?q=more")
    assert "No line of this log is like that." in get(page, address + "?q=straw")


def test_a_search_finds_the_newest_thousand_and_leads_to_those_before_them(
    page: Client, launch: Launch
) -> None:
    say(launch, *(f"INFO line {n}" for n in range(1200)))
    html = get(page, own(launch, "?q=line"))
    assert "1,000+ hits" in html and texts(html)[0] == "INFO line 200"
    before = re.search(r'href="[^"?]*(\?q=line&amp;before=\d+)"', html)
    assert before
    earlier = get(page, own(launch, unescape(before[1])), target="log-earlier")
    assert texts(earlier)[-1] == "INFO line 199" and "log-earlier" not in earlier and "<html" not in earlier


def test_levels_are_links_that_keep_the_search(page: Client, launch: Launch) -> None:
    say(
        launch,
        "INFO fine a",
        "WARNING odd a",
        "ERROR bad a",
        "Traceback (most recent call last):",
        "  File",
        "X",
    )
    assert texts(get(page, own(launch, "?level=error"))) == [
        "ERROR bad a", "Traceback (most recent call last):", "  File",
    ]  # fmt: skip
    html = get(page, own(launch, "?level=warning&q=a"))
    assert [text for text in texts(html) if text.endswith(" a")] == ["WARNING odd a", "ERROR bad a"]
    assert f'href="{own(launch)}?q=a&amp;level=error"' in html and f'href="{own(launch)}?q=a"' in html
    assert re.search(r'id="log-level-warning"[^>]* aria-current="true"', html)
    assert '<input type="hidden" name="level" form="log-form" value="warning">' in html
    assert len(texts(get(page, own(launch, "?level=loud")))) == 6


@pytest.mark.parametrize("search", ["", "<", "script", "alert(1)", "&lt;", "{{", '"', "amp"])
@pytest.mark.parametrize("target", ["", "log-view"])
def test_no_line_and_no_search_can_act(page: Client, launch: Launch, search: str, target: str) -> None:
    # row 41
    say(launch, *CORPUS)
    html = page.get(own(launch), {"q": search}, headers={"HX-Target": target}).content.decode()
    log = html[html.index('id="log-view"') :]
    assert texts(log) == [text for text in CORPUS if search in text]
    assert not re.search(
        r"<(script|img|svg|b)\b(?![^>]*lucide)", log[: log.index("</ol>")].replace("<b></b>", "")
    )
    for text in CORPUS:
        assert f'value="{text}"' not in get(page, own(launch) + "?q=" + text.replace("&", "%26"))


@pytest.mark.parametrize(
    ("text", "search", "html"),
    [
        ("a<b>c", "", "a&lt;b&gt;c"),
        ("a<b>c", "<B", "a<mark>&lt;b</mark>&gt;c"),
        ("&lt;", "l", "&amp;<mark>l</mark>t;"),
        ("a.c abc", "a.c", "<mark>a.c</mark> abc"),
        ("no", "yes", "no"),
        ("ÜBER über", "über", "<mark>ÜBER</mark> <mark>über</mark>"),
    ],
)
def test_hits_are_marked_in_the_text_and_never_in_its_escapes(text: str, search: str, html: str) -> None:
    assert marked(text, search) == html


def test_each_line_has_an_address_that_shows_it_among_its_neighbours(page: Client, launch: Launch) -> None:
    say(launch, *(f"INFO line {n}" for n in range(1000)))
    lines = store.read(launch.directory).lines
    at = lines[500].offset
    live = get(page, f"/instances/{launch.instance_id}/logs/")
    assert f'href="{own(launch)}?at={lines[990].offset}#at-{lines[990].offset}"' in live
    html = get(page, own(launch, f"?at={at}"))
    assert texts(html) == [f"INFO line {n}" for n in range(400, 600)]
    assert f'<li id="at-{at}" class="here">' in html and html.count('class="here"') == 1
    assert "data-log=" not in html
    earlier = get(page, own(launch, f"?before={lines[400].offset}"), target="log-earlier")
    assert texts(earlier) == [f"INFO line {n}" for n in range(200, 400)]
    assert earlier.index("log-earlier") < earlier.index("line 200") and "log-later" not in earlier
    later = get(page, own(launch, f"?after={lines[600].offset}"), target="log-later")
    assert texts(later) == [f"INFO line {n}" for n in range(600, 800)]
    assert later.index("line 799") < later.index("log-later") and f"?after={lines[800].offset}" in later
    last = get(page, own(launch, f"?after={lines[800].offset}"), target="log-later")
    assert texts(last)[-1] == "INFO line 999" and "log-later" not in last
    # the same as whole pages, without a script
    assert texts(get(page, own(launch, f"?before={lines[400].offset}"))) == texts(earlier)
    assert texts(get(page, own(launch, f"?after={lines[600].offset}"))) == texts(later)


@pytest.mark.parametrize("at", ["999999999", "0", "x", "-5", "1" * 30])
def test_any_place_that_is_asked_for_is_answered(page: Client, launch: Launch, at: str) -> None:
    say(launch, "INFO one", "INFO two")
    assert texts(get(page, own(launch, f"?at={at}"))) == ["INFO one", "INFO two"]


def test_the_first_error_can_be_gone_to_when_there_is_one(page: Client, launch: Launch) -> None:
    say(launch, "INFO one")
    assert re.search(r"data-log-error hidden>", get(page, own(launch)))
    say(launch, "ERROR two", "ERROR three")
    html = get(page, own(launch))
    at = store.read(launch.directory).lines[1].offset
    assert f'href="{own(launch)}?at={at}#at-{at}" data-log-error>' in html


def test_each_byte_of_a_log_is_looked_at_once_for_its_first_error(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = store.first_error

    def watched(directory: Path, since: int = 0) -> int | None:
        seen.append(since)
        return real(directory, since)

    monkeypatch.setattr(store, "first_error", watched)
    say(launch, "INFO one")
    assert first_error(launch.directory) is None and first_error(launch.directory) is None
    size = store.size(launch.directory)
    with (launch.directory / "log").open("a") as file:
        file.write("2026-11-25T03:54:48.123Z ERR")
    assert first_error(launch.directory) is None
    with (launch.directory / "log").open("a") as file:
        file.write("OR two\n")
    assert first_error(launch.directory) == size and first_error(launch.directory) == size
    assert seen == [0, size]


def test_a_launch_that_has_ended_is_not_live(page: Client, launch: Launch) -> None:
    say(launch, "INFO one")
    html = get(page, own(launch))
    assert "data-log=" in html and "data-live=" in html and "data-log-pause" in html
    end(launch)
    html = get(page, own(launch))
    assert "data-log=" not in html and ">ended</span>" in html and "data-log-pause" not in html


@pytest.mark.parametrize(
    ("kind", "tab"), [("instance", "overview"), ("instance", "logs"), ("launch", "overview")]
)
def test_an_open_page_is_told_that_the_launch_has_ended(launch: Launch, kind: str, tab: str) -> None:
    feed = Feed(Page(kind, instance=launch.instance_id, tab=tab, launch=launch.pk), Reader("en", "", ""))
    assert 'id="log-state"' not in "".join(feed.changed())
    end(launch)
    told = "".join(feed.changed())
    assert '<span class="muted small" id="log-state" hx-swap-oob="true" data-log-state data-ended>' in told
    assert 'id="instance-log"' not in told  # the lines stay as they are
    assert 'id="log-state"' not in "".join(feed.changed())


def test_the_page_of_a_launch_says_itself_that_it_has_ended(page: Client, launch: Launch) -> None:
    html = get(page, own(launch))
    assert 'id="launch-head"' in html and 'id="launch-ending"' in html
    feed = Feed(Page("launch", instance=launch.instance_id, launch=launch.pk), Reader("en", "", ""))
    assert "Stopped" not in "".join(feed.changed())
    end(launch)
    told = "".join(feed.changed())
    assert (
        'id="launch-head" hx-swap-oob="true"' in told and 'id="launch-ending"' in told and "Stopped" in told
    )


def test_a_log_that_made_room_says_so(page: Client, launch: Launch) -> None:
    end(launch, log_dropped_at=timezone.now())
    html = get(page, own(launch))
    assert "was dropped to make room on <time" in html and "log-search" not in html.split("</script>")[-1]
    assert 'class="log"' not in html


def test_an_answer_to_a_search_renews_the_head_but_for_the_field(page: Client, launch: Launch) -> None:
    say(launch, "INFO one", "INFO two")
    html = get(page, f"/instances/{launch.instance_id}/logs/?q=one", target="log-view")
    assert html.lstrip().startswith('<div class="log-frame" id="log-view"') and "<html" not in html
    for part in ("log-state", "log-levels", "log-tools"):
        assert re.search(rf'id="{part}"[^>]* hx-swap-oob="true"', html), part
    assert (
        '<span id="log-count" hx-swap-oob="innerHTML">1 hit</span>' in html and 'id="log-search"' not in html
    )


@pytest.mark.parametrize(
    ("query", "kind"), [("", "inline"), ("?download", "attachment"), ("?download=1", "attachment")]
)
def test_the_whole_log_can_be_downloaded(page: Client, launch: Launch, query: str, kind: str) -> None:
    say(launch, "INFO one")
    answer = page.get(own(launch, f"log/{query}"))
    assert answer["Content-Disposition"] == f'{kind}; filename="tiny-launch-1.log"'


async def test_a_download_holds_all_parts_and_says_what_is_missing(
    async_client: Any, transactional_db: None, settings: Any, tmp_path: Any
) -> None:
    from asgiref.sync import sync_to_async

    from instances.logs.writer import Writer

    from .conftest import BACKEND

    settings.LLMOPS_DATA = tmp_path
    user = await sync_to_async(User.objects.create_superuser)("mia", password="a-long-password")
    instance: Instance = await sync_to_async(in_state)(user, State.RUNNING)
    launch = await sync_to_async(lambda: instance.launches.get())()
    launch.directory.mkdir(parents=True)
    log = Writer(str(launch.directory), 1024 * 1024)
    for number in range(30_000):
        log.feed(b"\x1b[31mINFO line %06d %s\x1b[0m\n" % (number, b"x" * 20))
    log.close()
    await async_client.aforce_login(user, backend=BACKEND)
    answer = await async_client.get(own(launch, "log/?download"))
    parts = [part async for part in answer.streaming_content]
    assert len(parts) > 2 and max(map(len, parts)) < 1024 * 1024  # never in memory as a whole
    lines = b"".join(parts).decode().splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        line.text for line in store.read(launch.directory, limit=100_000).lines
    ]
    assert (
        lines[-1].endswith(f"Z INFO line 029999 {'x' * 20}")
        and sum("dropped here" in line for line in lines) == 1
    )


def test_the_api_takes_a_level(page: Client, launch: Launch) -> None:
    say(launch, "INFO one", "WARNING two", "ERROR three")
    address = f"/api/models/{launch.instance_id}/logs"
    for level, expected in (("error", 1), ("warning", 2), ("", 3)):
        assert len(page.get(address, {"level": level}).json()["lines"]) == expected
    assert page.get(address, {"level": "loud"}).status_code == 422
    both = page.get(address, {"level": "warning", "search": "TWO"}).json()["lines"]
    assert [line["text"] for line in both] == ["WARNING two"]


def test_whatever_is_not_understood_in_an_address_is_as_if_it_were_absent() -> None:
    from django.http import QueryDict

    assert Ask.from_query(QueryDict("level=loud&at=x&before=-1&after=")) == Ask()
    assert Ask.from_query(QueryDict("at=7&level=error&q=a")) == Ask("a", "", at=7)
