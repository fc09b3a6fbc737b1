from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from api import keys
from providers.models import ProviderAccount


class Command(BaseCommand):
    help = "Make an API key; prints it and its secret as one line of JSON, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--account", help="send through this account; without it, the first enabled one")

    def handle(self, *args: Any, **options: Any) -> None:
        account = None
        if options["account"]:
            account = ProviderAccount.objects.filter(name=options["account"]).first()
            if account is None:
                raise CommandError(f"There is no account “{options['account']}”.")
        try:
            _, key, secret = keys.create(options["name"], account)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(json.dumps({"key": key, "secret": secret}))
