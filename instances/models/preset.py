"""Ready configurations for the deploy form. Administrators edit them."""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from instances.model_paths import models_dir

from .instance import NAME_MESSAGE, NAME_PATTERN

TINY_DEMO = "tiny-demo"


class PresetQuerySet(models.QuerySet["Preset"]):
    def offered(self) -> Self:
        return self.filter(enabled=True)


class Preset(models.Model):
    """A configuration that was tried, with what a person needs to know before choosing it."""

    slug = models.CharField(
        max_length=63, unique=True, validators=[RegexValidator(NAME_PATTERN, NAME_MESSAGE)]
    )
    title = models.CharField(max_length=80)
    family = models.CharField(max_length=40)
    model = models.CharField(  # a hub id, or a path that may begin with {demo} or {models}
        max_length=500
    )
    summary = models.CharField(max_length=200, blank=True)
    size = models.CharField(max_length=40, blank=True)  # of the weights as they are served, in words
    gpu_memory = models.PositiveIntegerField(  # GB of one GPU that it was made for; 0: needs none
        "GPU memory (GB)", default=0
    )
    gpus = models.PositiveSmallIntegerField("GPUs", default=1)
    config = models.JSONField(default=dict, blank=True)  # further keys of the deploy body
    position = models.PositiveIntegerField(default=0)
    enabled = models.BooleanField(default=True)

    objects = PresetQuerySet.as_manager()

    class Meta:
        ordering = ("position", "pk")

    def __str__(self) -> str:
        return self.title

    @property
    def resolved_model(self) -> str:
        """With its folder as it is on this machine."""
        places = {"{demo}": settings.DEMO_DIR, "{models}": models_dir()}
        for mark, place in places.items():
            if self.model.startswith(mark):
                return f"{place}{self.model.removeprefix(mark)}"
        return self.model

    @property
    def configuration(self) -> dict[str, Any]:
        """Keys of the deploy body."""
        return {"model": self.resolved_model, **self.config}

    @property
    def needs_gpu(self) -> bool:
        return self.gpu_memory > 0
