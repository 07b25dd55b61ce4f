"""What was measured, by subject and stretch of time."""

from __future__ import annotations

from django.db import models

TICK = 5  # seconds: one transaction for all subjects, folded from the readings of each second
MINUTE = 60
TEN_MINUTES = 600  # a point of a day's chart
HOUR = 3600
STEPS = (TICK, MINUTE, TEN_MINUTES, HOUR)


class Subject(models.Model):
    """What a reading is about: `host`, `gpu:<uuid>`, `launch:17`. Who owns it is known above."""

    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


class Sample(models.Model):
    """One subject in one stretch of time, in the form of `monitoring.folds`."""

    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveSmallIntegerField()  # seconds that the stretch is long, one of STEPS
    at = models.PositiveBigIntegerField()  # its begin, whole steps since 1970, in seconds
    values = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject", "step", "at"], name="sample_unique")]
        indexes = [models.Index(fields=["step", "at"], name="sample_by_age")]

    def __str__(self) -> str:
        return f"{self.subject} at {self.at} for {self.step} s"


class Snapshot(models.Model):
    """The newest readings, for web processes that have not heard any. One row."""

    readings = models.TextField()  # `Readings.to_text`
