"""The chat page without its stream: whose it is, what it shows, what is kept."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from chat import services
from chat.models import Conversation, Message
from chat.services import title_from
from instances.models import Launch
from instances.states import State

HTMX = {"HX-Request": "true"}


@pytest.fixture
def conversation(mia: User, running: Launch) -> Conversation:
    """One question of mia's, answered."""
    conversation = services.start_conversation(owner=mia, instance=running.instance, text="Hello there")
    answer = conversation.messages.get(role=Message.Role.ASSISTANT)
    Message.objects.settle(answer, Message.State.COMPLETE, text="Good **morning**.")
    return conversation


@pytest.fixture
def writing(conversation: Conversation, running: Launch) -> Message:
    """An answer of the same conversation that a stream is writing."""
    _, answer = services.say(conversation=conversation, instance=running.instance, text="And now?")
    Message.objects.filter(pk=answer.pk).update(heard_at=timezone.now(), text="Half an")
    return answer


@pytest.fixture
def signed_in(client: Client, mia: User) -> Client:
    client.force_login(mia)
    return client


@pytest.mark.parametrize("name", ["chat", "chat-new"])
def test_it_says_what_to_do_when_nothing_runs(signed_in: Client, name: str) -> None:
    page = signed_in.get(reverse(name)).content.decode()
    assert "No model is running yet" in page
    assert reverse("deploy") in page
    assert "<textarea" not in page


def test_it_offers_only_what_runs(signed_in: Client, running: Launch) -> None:
    assert ">tiny</option>" in signed_in.get(reverse("chat")).content.decode()
    Launch.objects.update(state=State.UNHEALTHY)
    assert ">tiny</option>" not in signed_in.get(reverse("chat")).content.decode()


def test_it_shows_the_newest_conversation(signed_in: Client, conversation: Conversation) -> None:
    page = signed_in.get(reverse("chat")).content.decode()
    assert "Hello there" in page and "<strong>morning</strong>" in page


def test_it_begins_anew_with_the_instance_asked_for(
    signed_in: Client, conversation: Conversation, running: Launch
) -> None:
    page = signed_in.get(reverse("chat"), {"instance": running.instance_id}).content.decode()
    assert "Talk to tiny" in page


def test_the_composer_is_empty_and_a_refused_text_is_kept(signed_in: Client, running: Launch) -> None:
    def composed(page: str) -> str:
        return page.partition('<textarea id="say"')[2].partition("</textarea>")[0].partition(">")[2]

    assert composed(signed_in.get(reverse("chat-new")).content.decode()) == ""
    refused = signed_in.post(reverse("chat-send"), {"text": "  a\nb", "instance": "999"})
    assert refused.status_code == 422
    assert composed(refused.content.decode()) == "  a\nb"


def test_the_first_message_makes_a_conversation(signed_in: Client, mia: User, running: Launch) -> None:
    response = signed_in.post(
        reverse("chat-send"), {"text": "What is the capital\nof Japan?", "instance": running.instance_id}
    )
    conversation = Conversation.objects.get(owner=mia)
    assert response["Location"] == reverse("conversation", args=[conversation.pk])
    assert conversation.title == "What is the capital"
    assert [(m.role, m.state) for m in conversation.messages.all()] == [
        ("user", "complete"),
        ("assistant", "writing"),
    ]
    page = signed_in.get(response["Location"]).content.decode()
    assert "sse-connect" in page and "data-stop" in page


@pytest.mark.parametrize("text", ["", "  \n "])
def test_it_refuses_to_say_nothing(signed_in: Client, running: Launch, text: str) -> None:
    response = signed_in.post(reverse("chat-send"), {"text": text, "instance": running.instance_id})
    assert response.status_code == 422
    assert "Write something first." in response.content.decode()
    assert not Conversation.objects.exists()


def test_a_further_message_comes_back_with_the_answer_to_be(
    signed_in: Client, conversation: Conversation, running: Launch
) -> None:
    response = signed_in.post(
        reverse("chat-send", args=[conversation.pk]),
        {"text": "<b>And</b> now?", "instance": running.instance_id},
        headers=HTMX,
    )
    fragment = response.content.decode()
    assert "&lt;b&gt;And&lt;/b&gt; now?" in fragment
    assert fragment.count("sse-connect") == 1 and "data-stop" in fragment
    assert "<html" not in fragment


def test_it_writes_one_answer_at_a_time(
    signed_in: Client, conversation: Conversation, writing: Message, running: Launch
) -> None:
    response = signed_in.post(
        reverse("chat-send", args=[conversation.pk]),
        {"text": "And then?", "instance": running.instance_id},
        headers=HTMX,
    )
    assert response.status_code == 409
    assert "still being written" in response.content.decode()
    assert not conversation.messages.filter(text="And then?").exists()


def test_an_answer_that_nobody_writes_any_more_is_marked(
    signed_in: Client, conversation: Conversation, writing: Message
) -> None:
    Message.objects.filter(pk=writing.pk).update(heard_at=timezone.now() - dt.timedelta(seconds=30))
    page = signed_in.get(reverse("conversation", args=[conversation.pk])).content.decode()
    assert "Half an" in page and "Interrupted" in page and "Retry" in page
    writing.refresh_from_db()
    assert writing.state == "interrupted"


def test_an_answer_that_nobody_writes_blocks_nothing(
    conversation: Conversation, writing: Message, running: Launch
) -> None:
    Message.objects.filter(pk=writing.pk).update(heard_at=timezone.now() - dt.timedelta(seconds=30))
    services.say(conversation=conversation, instance=running.instance, text="And then?")
    writing.refresh_from_db()
    assert (writing.state, writing.text) == ("interrupted", "Half an")


def test_an_answer_that_is_written_elsewhere_is_left_alone(
    signed_in: Client, conversation: Conversation, writing: Message
) -> None:
    signed_in.get(reverse("conversation", args=[conversation.pk]))
    writing.refresh_from_db()
    assert writing.state == "writing"


def test_retry_takes_the_place_of_the_last_answer(
    signed_in: Client, conversation: Conversation, running: Launch
) -> None:
    answer = conversation.messages.get(role="assistant")
    url = reverse("answer-retry", args=[conversation.pk, answer.pk])
    fragment = signed_in.post(url, {"instance": running.instance_id}, headers=HTMX).content.decode()
    assert "sse-connect" in fragment
    assert [m.state for m in conversation.messages.filter(role="assistant")] == ["writing"]


def test_retry_is_for_the_last_answer_only(
    signed_in: Client, conversation: Conversation, writing: Message
) -> None:
    first = conversation.messages.filter(role="assistant").first()
    assert first is not None
    url = reverse("answer-retry", args=[conversation.pk, first.pk])
    assert signed_in.post(url, headers=HTMX).status_code == 409
    first.refresh_from_db()
    assert first.text == "Good **morning**."


def test_delete_takes_all_of_it(signed_in: Client, conversation: Conversation) -> None:
    signed_in.post(reverse("conversation-delete", args=[conversation.pk]))
    assert not Conversation.objects.exists() and not Message.objects.exists()


@pytest.mark.parametrize(
    ("method", "name", "of_answer"),
    [
        ("get", "conversation", False),
        ("post", "chat-send", False),
        ("post", "conversation-delete", False),
        ("get", "answer-stream", True),
        ("post", "answer-stop", True),
        ("post", "answer-retry", True),
    ],
)
def test_another_persons_conversation_is_not_there(
    client: Client, conversation: Conversation, jonas: User, method: str, name: str, of_answer: bool
) -> None:  # row 33
    client.force_login(jonas)
    answer = conversation.messages.get(role="assistant")
    url = reverse(name, args=[conversation.pk, answer.pk] if of_answer else [conversation.pk])
    assert getattr(client, method)(url).status_code == 404
    assert "Hello there" not in client.get(reverse("chat")).content.decode()


def test_an_administrator_does_not_read_along(
    client: Client, jonas: User, mia: User, running: Launch
) -> None:
    conversation = services.start_conversation(owner=jonas, instance=running.instance, text="a secret")
    client.force_login(mia)
    assert client.get(reverse("conversation", args=[conversation.pk])).status_code == 404
    assert "a secret" not in str(conversation) + str(conversation.messages.first())


def test_a_title_is_the_first_words() -> None:
    assert title_from("  Why is\n the sky blue?") == "Why is"
    long = title_from("word " * 30)
    assert long.endswith("word…") and len(long) <= 61
    assert len(title_from("x" * 200)) == 61


def test_the_page_asks_the_database_a_fixed_number_of_times(
    signed_in: Client, conversation: Conversation, running: Launch
) -> None:
    url = reverse("conversation", args=[conversation.pk])
    with CaptureQueriesContext(connection) as few:
        signed_in.get(url)
    for number in range(5):
        services.start_conversation(
            owner=conversation.owner, instance=running.instance, text=f"Question {number}"
        )
        Message.objects.create(conversation=conversation, role="user", text="more")
    with CaptureQueriesContext(connection) as many:
        signed_in.get(url)
    assert len(few) == len(many)
