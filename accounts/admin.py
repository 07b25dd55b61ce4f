from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from .models import ApiKey, Event, User

admin.site.site_header = "LLM Ops Center"
admin.site.site_title = "LLM Ops Center"
admin.site.register(User, UserAdmin)


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin[ApiKey]):
    list_display = ("prefix", "name", "owner", "created", "last_used", "expires", "revoked")
    list_select_related = ("owner",)
    readonly_fields = ("hash", "prefix", "owner", "created", "last_used")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a key made here could not be shown to its owner


@admin.register(Event)
class EventAdmin(admin.ModelAdmin[Event]):
    list_display = ("at", "actor_name", "verb", "subject_name", "subject", "detail")
    list_filter = ("verb",)
    search_fields = ("actor_name", "verb", "subject_name", "detail")
    date_hierarchy = "at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return False
