from __future__ import annotations

import json
from datetime import datetime, time
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Model
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from api import keys
from api.models import Scope, all_scopes
from messaging.models import Route
from providers.models import ProviderAccount


class Command(BaseCommand):
    help = "Make an API key; prints it and its secret as one line of JSON, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        through = parser.add_mutually_exclusive_group()
        through.add_argument("--account", help="send through this account; without it, the first enabled one")
        through.add_argument("--route", help="send through this route: accounts that stand in for each other")
        scopes = "what it may do, given as often as needed; without it, everything but administration"
        parser.add_argument("--scope", action="append", choices=Scope.values, help=scopes)
        parser.add_argument("--rate", action="append", default=[], metavar="N/UNIT", help="limit, such as 100/minute")
        parser.add_argument("--credits", type=int, help="parts of messages that it may send in all")
        networks = "address or network that it may be used from, such as 203.0.113.0/24"
        parser.add_argument("--allow-from", action="append", default=[], metavar="NETWORK", help=networks)
        parser.add_argument("--expires", metavar="TIME", help="refuse it from then on: 2030-01-31 or 2030-01-31T12:00")

    def handle(self, *args: Any, **options: Any) -> None:
        account = _named(ProviderAccount, "account", options["account"])
        route = _named(Route, "route", options["route"])
        try:
            _, key, secret = keys.create(
                options["name"],
                account,
                route,
                scopes=options["scope"] or all_scopes(),
                rates=options["rate"],
                credits=options["credits"],
                addresses=options["allow_from"],
                expires_at=_moment(options["expires"]),
            )
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


def _moment(text: str | None) -> datetime | None:
    """By the clock of the server where it names no zone; a day alone is its beginning. Raises CommandError."""
    if text is None:
        return None
    try:
        day = parse_date(text)
        moment = datetime.combine(day, time()) if day else parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"“{text}” is no time. Write it as 2030-01-31 or 2030-01-31T12:00.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
