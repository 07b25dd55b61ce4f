from django.contrib import admin
from django.http import HttpRequest

from .models import Instance, Launch, Revision


class Observed:
    """Shown, never written: what is kept here was decided elsewhere or observed."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class RevisionInline(Observed, admin.TabularInline[Revision, Instance]):
    model = Revision
    fk_name = "instance"
    fields = ("number", "author", "created", "config")
    extra = 0


@admin.register(Instance)
class InstanceAdmin(Observed, admin.ModelAdmin[Instance]):
    list_display = ("name", "served_name", "model_name", "desired_state", "state_now", "owner", "created", "removed_at")
    list_filter = ("desired_state", "restart_policy", ("removed_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "served_name", "owner__username")
    list_select_related = ("owner", "revision")
    inlines = (RevisionInline,)

    @admin.display(description="model")
    def model_name(self, instance: Instance) -> str:
        return instance.model

    @admin.display(description="state")
    def state_now(self, instance: Instance) -> str:
        return str(instance.state.label)


@admin.register(Revision)
class RevisionAdmin(Observed, admin.ModelAdmin[Revision]):
    list_display = ("instance", "number", "author", "created")
    list_select_related = ("instance", "author")
    search_fields = ("instance__name", "author__username")
    date_hierarchy = "created"


@admin.register(Launch)
class LaunchAdmin(Observed, admin.ModelAdmin[Launch]):
    list_display = ("id", "instance", "state", "asked_by", "attempt", "created", "ready_at", "ended_at", "exit_code", "error")
    list_filter = ("state", "accelerator", "engine_version")
    list_select_related = ("instance", "asked_by")
    search_fields = ("instance__name", "error", "asked_by__username")
    date_hierarchy = "created"
    exclude = ("engine_key",)  # a secret: never on a page
