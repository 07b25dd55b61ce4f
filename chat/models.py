"""What people and models said to each other. A conversation is seen by its owner alone."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.models import User
from instances.models import Instance

from .markdown import render_markdown


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def of(self, user: User) -> Self:
        return self.filter(owner=user)


class Conversation(models.Model):
    """What one person said to models, and what they answered."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations"
    )
    instance = models.ForeignKey(  # asked next; null when its row is gone
        Instance, null=True, blank=True, on_delete=models.SET_NULL, related_name="conversations"
    )
    title = models.CharField(max_length=100)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)  # when something was last said

    objects = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ("-updated", "-pk")
        indexes = [models.Index(fields=["owner", "-updated"], name="conversation_by_owner")]

    def __str__(self) -> str:
        return f"conversation {self.pk}"  # not its title: an administrator does not read along


class MessageQuerySet(models.QuerySet["Message"]):
    def writing(self) -> Self:
        return self.filter(state=Message.State.WRITING)

    def settle(self, message: Message, state: Message.State, **facts: object) -> bool:
        """End an answer that is being written: False when it had ended already."""
        return self.writing().filter(pk=message.pk).update(state=state, **facts) == 1


class Message(models.Model):
    """One bubble. Guarantees that at most one answer of a conversation is being written."""

    class Role(models.TextChoices):
        USER = "user", _("person")
        ASSISTANT = "assistant", _("model")

    class State(models.TextChoices):
        WRITING = "writing", _("being written")
        COMPLETE = "complete", _("complete")
        STOPPED = "stopped", _("stopped")  # by its reader
        INTERRUPTED = "interrupted", _("interrupted")  # its reader left, or the console ended
        ERROR = "error", _("error")

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    role = models.CharField(max_length=10, choices=Role.choices)
    text = models.TextField(blank=True)
    reasoning = models.TextField(blank=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.COMPLETE)
    error = models.CharField(max_length=500, blank=True)  # a sentence for the reader
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)  # from the request on
    reasoning_ms = models.PositiveIntegerField(null=True, blank=True)  # first token to the text's first
    duration_ms = models.PositiveIntegerField(null=True, blank=True)  # from the request to the last token
    served_by = models.CharField(max_length=200, blank=True)  # the instance's name, as it was then
    heard_at = models.DateTimeField(null=True, blank=True)  # while writing: its stream's last sign of life
    stop_asked = models.BooleanField(default=False)  # by its reader; the stream that writes it then ends
    created = models.DateTimeField(auto_now_add=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(state="writing"),
                name="message_one_writing_per_conversation",
            )
        ]

    def __str__(self) -> str:
        return f"message {self.pk} of {self.conversation_id}"

    @property
    def is_mine(self) -> bool:
        """Whether the conversation's owner said it."""
        return self.role == self.Role.USER

    @property
    def is_writing(self) -> bool:
        return self.state == self.State.WRITING

    @property
    def anchor(self) -> str:
        """The id of its bubble on the page."""
        return f"message-{self.pk}"

    @property
    def html(self) -> SafeString:
        return render_markdown(self.text, anchor=self.anchor)

    @property
    def reasoning_seconds(self) -> float | None:
        return None if self.reasoning_ms is None else self.reasoning_ms / 1000

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens after the first, over the time since the first; None when that says nothing."""
        if self.completion_tokens is None or self.first_token_ms is None or self.duration_ms is None:
            return None
        seconds = (self.duration_ms - self.first_token_ms) / 1000
        return (self.completion_tokens - 1) / seconds if seconds > 0 and self.completion_tokens > 1 else None

    @property
    def figures(self) -> str:
        """What stands under an answer, as far as known: "204 tokens · 118 tokens/s · first token 84 ms"."""
        parts = []
        if self.completion_tokens:
            parts.append(
                ngettext("%(count)s token", "%(count)s tokens", self.completion_tokens)
                % {"count": f"{self.completion_tokens:,}"}
            )
        if (speed := self.tokens_per_second) is not None:
            parts.append(
                _("%(speed)s tokens/s") % {"speed": f"{speed:.1f}" if speed < 100 else f"{speed:,.0f}"}
            )
        if self.first_token_ms is not None:
            first = self.first_token_ms
            time = f"{first} ms" if first < 1000 else f"{first / 1000:.1f} s"
            parts.append(_("first token %(time)s") % {"time": time})
        return " · ".join(parts)
