from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import User

from .configuration import CONFIG_KEYS, ConfigurationError, clean_configuration
from .models import Instance, Job, Launch, Preset, Revision
from .states import State


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
    fields = readonly_fields = ("number", "author", "created", "config")
    extra = 0


@admin.register(Instance)
class InstanceAdmin(Observed, admin.ModelAdmin[Instance]):
    list_display = (
        "name",
        "served_name",
        "model_name",
        "desired_state",
        "state_now",
        "owner",
        "created",
        "removed_at",
    )
    list_filter = ("desired_state", "restart_policy", ("removed_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "served_name", "owner__username")
    list_select_related = ("owner", "revision")
    inlines = (RevisionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Instance]:
        newest = Launch.objects.filter(instance=OuterRef("pk")).order_by("-pk")
        return super().get_queryset(request).annotate(last_state=Subquery(newest.values("state")[:1]))

    @admin.display(description="model")
    def model_name(self, instance: Instance) -> str:
        return instance.model

    @admin.display(description="state", ordering="last_state")
    def state_now(self, instance: Instance) -> str:
        return str(State(getattr(instance, "last_state", None) or State.STOPPED).label)


@admin.register(Revision)
class RevisionAdmin(Observed, admin.ModelAdmin[Revision]):
    list_display = ("instance", "number", "author", "created")
    list_select_related = ("instance", "author")
    search_fields = ("instance__name", "author__username")
    date_hierarchy = "created"


@admin.register(Launch)
class LaunchAdmin(Observed, admin.ModelAdmin[Launch]):
    list_display = (
        "id",
        "instance",
        "state",
        "asked_by",
        "attempt",
        "created",
        "ready_at",
        "ended_at",
        "exit_code",
        "error",
    )
    list_filter = ("state", "accelerator", "engine_version")
    list_select_related = ("instance", "asked_by")
    search_fields = ("instance__name", "error", "asked_by__username")
    date_hierarchy = "created"
    exclude = ("engine_key",)  # a secret: never on a page


class PresetForm(forms.ModelForm[Preset]):
    """A preset that the deploy form could not take is refused here, by the same judge."""

    user: User

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        config = cleaned.get("config")
        if self.errors or not cleaned.get("model"):
            return cleaned
        if not isinstance(config, dict) or "model" in config or not config.keys() <= set(CONFIG_KEYS):
            keys = ", ".join(key for key in CONFIG_KEYS if key != "model")
            self.add_error(
                "config", _("Write a JSON object with some of these keys: %(keys)s.") % {"keys": keys}
            )
            return cleaned
        draft = Preset(model=cleaned["model"], config=config)
        try:
            clean_configuration({"name": cleaned["slug"], **draft.configuration}, user=self.user)
        except ConfigurationError as error:
            for field, sentence in error.errors.items():
                self.add_error("model" if field == "model" else "config", f"{field}: {sentence}")
        return cleaned


@admin.register(Preset)
class PresetAdmin(admin.ModelAdmin[Preset]):
    form = PresetForm
    list_display = ("title", "family", "model", "size", "gpu_memory", "gpus", "position", "enabled")
    list_editable = ("position", "enabled")
    list_filter = ("family", "enabled")
    search_fields = ("title", "model", "summary")
    prepopulated_fields = {"slug": ("title",)}

    def get_form(
        self, request: HttpRequest, obj: Preset | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.user = request.user
        return form


@admin.register(Job)
class JobAdmin(Observed, admin.ModelAdmin[Job]):
    list_display = ("id", "kind", "subject", "state", "asked_by", "created", "ended_at", "error")
    list_filter = ("kind", "state")
    list_select_related = ("asked_by",)
    search_fields = ("subject", "error", "asked_by__username")
    date_hierarchy = "created"
