"""One exchange: what is said, the answer that streams in, Stop and Retry."""

from __future__ import annotations

from channels.db import database_sync_to_async
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from instances.models import Instance

from .. import services
from ..forms import MessageForm
from ..models import Conversation, Message
from ..streaming import answer_events


def _own_answer(user: User | AnonymousUser, conversation_id: int, answer_id: int) -> Message:
    assert isinstance(user, User)
    own = Message.objects.filter(conversation__owner=user, conversation_id=conversation_id)
    return get_object_or_404(
        own.filter(role=Message.Role.ASSISTANT).select_related("conversation__instance"), pk=answer_id
    )


def _back(request: HttpRequest, conversation_id: int, sentence: str = "", status: int = 409) -> HttpResponse:
    """To the page; to htmx only the sentence, which the page shows as a toast, and nothing is swapped."""
    if request.headers.get("HX-Request"):
        return HttpResponse(
            sentence, status=status if sentence else 204, content_type="text/plain; charset=utf-8"
        )
    if sentence:
        messages.error(request, sentence)
    return redirect("conversation", conversation_id)


@require_POST
def say(request: HttpRequest, conversation_id: int) -> HttpResponse:
    assert isinstance(request.user, User)
    conversation = get_object_or_404(Conversation.objects.of(request.user), pk=conversation_id)
    form = MessageForm(request.POST)
    if not form.is_valid():
        return _back(request, conversation_id, form.sentence, status=400)
    try:
        said, answer = services.say(
            conversation=conversation, instance=form.cleaned_data["instance"], text=form.cleaned_data["text"]
        )
    except services.AnswerInProgress as refusal:
        return _back(request, conversation_id, str(refusal))
    if not request.headers.get("HX-Request"):
        return redirect("conversation", conversation_id)
    context = {"conversation": conversation, "new": [said, answer], "writing": answer}
    return render(request, "chat/chat.html#exchange", context)


@require_GET
async def stream(request: HttpRequest, conversation_id: int, answer_id: int) -> StreamingHttpResponse:
    """The answer as server-sent events. Whoever asks first makes the engine write it."""
    await database_sync_to_async(_own_answer)(await request.auser(), conversation_id, answer_id)
    return StreamingHttpResponse(
        answer_events(answer_id),
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
    )


@require_POST
def stop(request: HttpRequest, conversation_id: int, answer_id: int) -> HttpResponse:
    services.stop_answer(answer=_own_answer(request.user, conversation_id, answer_id))
    return _back(request, conversation_id)


@require_POST
def retry(request: HttpRequest, conversation_id: int, answer_id: int) -> HttpResponse:
    """Write the last answer again, by the model that the page now offers."""
    answer = _own_answer(request.user, conversation_id, answer_id)
    chosen = request.POST.get("instance", "")
    offered = Instance.objects.visible().filter(pk=chosen).first() if chosen.isdecimal() else None
    instance = offered or answer.conversation.instance
    if instance is None:
        return _back(request, conversation_id, _("Choose a model that is running."))
    try:
        fresh = services.retry_answer(answer=answer, instance=instance)
    except (services.AnswerInProgress, services.NotTheLast) as refusal:
        return _back(request, conversation_id, str(refusal))
    if not request.headers.get("HX-Request"):
        return redirect("conversation", conversation_id)
    context = {"conversation": answer.conversation, "new": [fresh], "writing": fresh}
    return render(request, "chat/chat.html#exchange", context)
