"""What people decide in their conversations. Each call is one transaction.

What is said is no history for others: conversations leave no events.
"""

from __future__ import annotations

import datetime as dt

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from instances.models import Instance

from . import announce
from .models import Conversation, Message

TITLE_LENGTH = 60  # characters
SILENT_AFTER = dt.timedelta(seconds=10)  # a stream gives a sign of life every 2 s
UNCLAIMED_AFTER = dt.timedelta(minutes=1)  # an answer that no page came to fetch


class AnswerInProgress(Exception):
    """The conversation's last answer is still being written; carries a sentence."""


class NotTheLast(Exception):
    """Only the last answer of a conversation can be written again; carries a sentence."""


def title_from(text: str) -> str:
    """The first words of the first line, cut between words."""
    line = " ".join(text.strip().splitlines()[0].split()) if text.strip() else ""
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[:TITLE_LENGTH]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut) + "…"


def _begin_answer(conversation: Conversation, instance: Instance) -> Message:
    """An empty answer, to be written by the stream that asks for it first."""
    try:
        with transaction.atomic():
            return Message.objects.create(
                conversation=conversation,
                role=Message.Role.ASSISTANT,
                state=Message.State.WRITING,
                served_by=instance.name,
            )
    except IntegrityError as error:
        raise AnswerInProgress(
            _("The last answer is still being written. Stop it, or wait for its end.")
        ) from error


def _ask_next(conversation: Conversation, instance: Instance) -> None:
    conversation.instance = instance
    conversation.save(update_fields=["instance", "updated"])


@transaction.atomic
def start_conversation(*, owner: User, instance: Instance, text: str) -> Conversation:
    conversation = Conversation.objects.create(owner=owner, instance=instance, title=title_from(text))
    say(conversation=conversation, instance=instance, text=text)
    return conversation


@transaction.atomic
def say(*, conversation: Conversation, instance: Instance, text: str) -> tuple[Message, Message]:
    """The person's message, and the answer to it, yet empty. Raises AnswerInProgress (nothing is saved)."""
    settle_silent(conversation=conversation)
    said = Message.objects.create(conversation=conversation, role=Message.Role.USER, text=text)
    answer = _begin_answer(conversation, instance)
    _ask_next(conversation, instance)
    return said, answer


@transaction.atomic
def retry_answer(*, answer: Message, instance: Instance) -> Message:
    """A new, empty answer in place of the last one. Raises AnswerInProgress, NotTheLast."""
    conversation = answer.conversation
    settle_silent(conversation=conversation)
    last = conversation.messages.last()
    if last is None or last.pk != answer.pk:
        raise NotTheLast(_("Only the last answer can be written again. Load the page again."))
    if last.is_writing:
        raise AnswerInProgress(_("The answer is still being written. Stop it first."))
    last.delete()
    fresh = _begin_answer(conversation, instance)
    _ask_next(conversation, instance)
    return fresh


@transaction.atomic
def stop_answer(*, answer: Message) -> None:
    """Ask the stream that writes it to end; if none does, end it here. Already ended: nothing changes."""
    if (
        Message.objects.writing()
        .filter(pk=answer.pk, heard_at__isnull=True)
        .update(state=Message.State.STOPPED)
    ):
        return
    Message.objects.writing().filter(pk=answer.pk).update(stop_asked=True)
    settle_silent(conversation=answer.conversation)
    announce.answer_decided(answer.pk)


@transaction.atomic
def settle_silent(*, conversation: Conversation) -> None:
    """Mark as interrupted what nobody writes any more: the console ended, or no page came to fetch it."""
    now = timezone.now()
    silent = Q(heard_at__lt=now - SILENT_AFTER) | Q(heard_at__isnull=True, created__lt=now - UNCLAIMED_AFTER)
    conversation.messages.filter(silent, state=Message.State.WRITING).update(state=Message.State.INTERRUPTED)


@transaction.atomic
def delete_conversation(*, conversation: Conversation) -> None:
    """It cannot be had again. An answer that is being written ends."""
    writing = list(conversation.messages.filter(state=Message.State.WRITING).values_list("pk", flat=True))
    conversation.delete()
    for message_id in writing:
        announce.answer_decided(message_id)
