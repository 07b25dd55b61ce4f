from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User
from accounts.services import create_api_key


class Command(BaseCommand):
    help = "Make an API key for a person. The key is the last word printed; it may do all that its owner may."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="made at the command line")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = User.objects.filter(username=options["username"]).first()
        if owner is None:
            raise CommandError(
                f"There is no user {options['username']!r}. `manage.py createsuperuser` makes the first one."
            )
        _, secret = create_api_key(owner=owner, name=options["name"])
        self.stdout.write(f"Shown only once: {secret}")
