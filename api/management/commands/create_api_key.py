from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Model

from api import keys
from messaging.models import Route
from providers.models import ProviderAccount


class Command(BaseCommand):
    help = "Make an API key; prints it and its secret as one line of JSON, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        through = parser.add_mutually_exclusive_group()
        through.add_argument("--account", help="send through this account; without it, the first enabled one")
        through.add_argument("--route", help="send through this route: accounts that stand in for each other")

    def handle(self, *args: Any, **options: Any) -> None:
        account = _named(ProviderAccount, "account", options["account"])
        route = _named(Route, "route", options["route"])
        try:
            _, key, secret = keys.create(options["name"], account, route)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(json.dumps({"key": key, "secret": secret}))


def _named(model: type[Model], what: str, name: str | None) -> Any:
    """The row of that name; None where no name is given. Raises CommandError."""
    if name is None:
        return None
    row = model._default_manager.filter(name=name).first()
    if row is None:
        raise CommandError(f"There is no {what} “{name}”.")
    return row
