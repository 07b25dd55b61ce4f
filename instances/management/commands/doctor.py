import sys
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand

from instances.doctor import findings

MARKS = {"ok": "✓", "warn": "!", "bad": "✗"}


class Command(BaseCommand):
    help = "Look at everything that the console needs, and say what is wrong and what to do. Changes nothing."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        counts: Counter[str] = Counter()
        styles = {"ok": self.style.SUCCESS, "warn": self.style.WARNING, "bad": self.style.ERROR}
        for name, finding in findings():
            counts[finding.mark] += 1
            self.stdout.write(f"{styles[finding.mark](MARKS[finding.mark])} {name}: {finding.sentence}")
            if finding.advice:
                self.stdout.write(f"    {finding.advice}")
            self.stdout.flush()
        self.stdout.write(f"\n{counts['ok']} fine, {counts['warn']} to know, {counts['bad']} wrong.")
        if counts["bad"]:
            sys.exit(1)
