"""The secret that lets downloads of gated models in. Written, never read back to a person."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class HubToken(models.Model):
    """One for each hub; `instances.tokens` alone encrypts and decrypts it."""

    hub = models.CharField(max_length=20, unique=True)  # "huggingface", "modelscope"
    encrypted = models.TextField(editable=False)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    set_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"token of {self.hub}"
