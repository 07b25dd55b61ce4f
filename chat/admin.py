from django.contrib import admin
from django.http import HttpRequest

from .models import Conversation


@admin.register(Conversation)
class ConversationAdmin(admin.ModelAdmin[Conversation]):
    """That there are conversations, not what is said in them: an administrator does not read along."""

    list_display = ("pk", "owner", "instance", "created", "updated")
    list_select_related = ("owner", "instance")
    fields = readonly_fields = ("owner", "instance", "created", "updated")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return False
