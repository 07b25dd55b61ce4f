"""Who you are and what you did: people, the keys of their programs, and the history of what was done."""

from __future__ import annotations

import hashlib

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone


class User(AbstractUser):
    """A person who signs in. Ours from the first day, so that it can grow."""

    @property
    def shown_name(self) -> str:
        return self.get_full_name() or self.username

    @property
    def initials(self) -> str:
        words = self.shown_name.replace(".", " ").replace("_", " ").split()
        return "".join(word[0] for word in words[:2]).upper() or "?"

    @property
    def role(self) -> str:
        return "Administrator" if self.is_superuser else "Member"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def valid(self) -> ApiKeyQuerySet:
        now = timezone.now()
        return self.filter(
            Q(expires__isnull=True) | Q(expires__gt=now), revoked__isnull=True, owner__is_active=True
        )

    def for_secret(self, secret: str) -> ApiKeyQuerySet:
        return self.valid().filter(hash=ApiKey.hash_of(secret)).select_related("owner")


class ApiKey(models.Model):
    """What a program shows instead of a password. Only the hash is kept: 256 random bits need no slow one."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    hash = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=16, editable=False)  # what people recognise a key by
    scopes = models.JSONField(default=list, blank=True)  # plain words, judged by the caller; empty: all
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField(null=True, blank=True)
    revoked = models.DateTimeField(null=True, blank=True)
    last_used = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ("-created",)

    def __str__(self) -> str:
        return f"{self.name or 'key'} ({self.prefix}…)"

    @staticmethod
    def hash_of(secret: str) -> str:
        return hashlib.sha256(secret.encode()).hexdigest()


class Event(models.Model):
    """One line of history: who or what did what to what, when. Never changed afterwards."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=150)  # stays when the person is deleted
    verb = models.CharField(max_length=40)  # e.g. "deployed"
    subject = models.CharField(max_length=100, db_index=True)  # e.g. "instance:7"
    subject_name = models.CharField(max_length=200, blank=True)
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ("-at", "-id")

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.subject_name or self.subject}"
