"""The chat page: a conversation, or the invitation to begin one."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User

from .. import services
from ..forms import MessageForm
from ..models import Conversation
from ..targets import Target, running_targets

LISTED = 200  # conversations at the side


def _by_day(conversations: list[Conversation]) -> list[tuple[str, list[Conversation]]]:
    """Newest first, under the names of days; a day without any is left out."""
    today = timezone.localdate()
    groups: dict[str, list[Conversation]] = {}
    for conversation in conversations:
        day = timezone.localdate(conversation.updated)
        if day >= today:
            name = _("Today")
        elif day == today - dt.timedelta(days=1):
            name = _("Yesterday")
        elif day > today - dt.timedelta(days=7):
            name = _("Last 7 days")
        else:
            name = _("Earlier")
        groups.setdefault(name, []).append(conversation)
    return list(groups.items())


def _selected(running: list[Target], conversation: Conversation | None, wanted: str) -> Target | None:
    """The model that the page offers: the one asked for, else the one talked to last, else the first."""
    ids = [wanted, str(conversation.instance_id) if conversation else ""]
    for instance_id in ids:
        for target in running:
            if str(target.instance_id) == instance_id:
                return target
    return running[0] if running else None


def _page(request: HttpRequest, conversation: Conversation | None, **more: Any) -> HttpResponse:
    assert isinstance(request.user, User)
    running = running_targets()
    selected = _selected(
        running, conversation, request.POST.get("instance") or request.GET.get("instance", "")
    )
    instance = conversation.instance if conversation else None
    said = list(conversation.messages.all()) if conversation else []
    context = {
        "conversation": conversation,
        "days": _by_day(list(Conversation.objects.of(request.user)[:LISTED])),
        "said": said,
        "writing": next((message for message in said if message.is_writing), None),
        "running": running,
        "selected": selected,
        "absent": instance if instance and (not selected or selected.instance_id != instance.pk) else None,
        **more,
    }
    return render(request, "chat/chat.html", context, status=422 if "form" in more else 200)


@require_GET
def newest(request: HttpRequest) -> HttpResponse:
    """The conversation in which something was said last; with `?instance=`, a new one with that model."""
    assert isinstance(request.user, User)
    conversation = None if "instance" in request.GET else Conversation.objects.of(request.user).first()
    if conversation is not None:
        services.settle_silent(conversation=conversation)
    return _page(request, conversation)


@require_GET
def new(request: HttpRequest) -> HttpResponse:
    return _page(request, None)


@require_GET
def show(request: HttpRequest, conversation_id: int) -> HttpResponse:
    assert isinstance(request.user, User)
    conversation = get_object_or_404(Conversation.objects.of(request.user), pk=conversation_id)
    services.settle_silent(conversation=conversation)
    return _page(request, conversation)


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """The first message of a new conversation."""
    assert isinstance(request.user, User)
    form = MessageForm(request.POST)
    if not form.is_valid():
        return _page(request, None, form=form)
    conversation = services.start_conversation(
        owner=request.user, instance=form.cleaned_data["instance"], text=form.cleaned_data["text"]
    )
    return redirect("conversation", conversation.pk)


@require_POST
def delete(request: HttpRequest, conversation_id: int) -> HttpResponse:
    assert isinstance(request.user, User)
    conversation = get_object_or_404(Conversation.objects.of(request.user), pk=conversation_id)
    services.delete_conversation(conversation=conversation)
    return redirect("chat")
