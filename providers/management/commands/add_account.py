from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from providers import hours, registry
from providers.models import ProviderAccount


class Command(BaseCommand):
    help = "Add a provider account; prints its id and its callback URL."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--kind", required=True, help=f"one of: {', '.join(registry.kinds())}")
        parser.add_argument("--base-url", required=True)
        parser.add_argument("--credential", action="append", default=[], metavar="KEY=VALUE")
        parser.add_argument("--sender", default="", help="default sender ID")
        parser.add_argument("--rate", action="append", default=[], metavar="N/second|minute|hour|day")
        parser.add_argument("--hours", default="", metavar="TEXT", help=f"sending hours, such as “{hours.EXAMPLE}”")
        parser.add_argument("--zone", default="", metavar="NAME", help="their time zone, such as Europe/Tallinn")

    def handle(self, *args: Any, **options: Any) -> None:
        account = ProviderAccount(
            name=options["name"],
            kind=options["kind"],
            base_url=options["base_url"].rstrip("/"),
            sender=options["sender"],
            rates=options["rate"],
            hours=options["hours"],
            zone=options["zone"],
        )
        if account.kind not in registry.kinds():
            raise CommandError(f"There is no kind “{account.kind}”. Kinds: {', '.join(registry.kinds())}.")
        account.set_credentials(self.credentials(account, options["credential"]))
        try:
            account.full_clean()
        except ValidationError as error:
            raise CommandError(
                " ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())
            ) from error
        account.save()
        self.stdout.write(f"id: {account.pk}")
        self.stdout.write(f"callback URL: {account.callback_url}")

    def credentials(self, account: ProviderAccount, pairs: list[str]) -> dict[str, str]:
        """The named values, with the kind's defaults. Unknown and missing names are refused."""
        fields = {field.name: field for field in account.kind_class.fields}
        given = {}
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not equals:
                # the text may be a secret: it is not repeated
                raise CommandError("Write each --credential as KEY=VALUE.")
            if name not in fields:
                raise CommandError(f"{account.kind} has no credential “{name}”. It has: {', '.join(fields)}.")
            given[name] = value
        values = {name: given.get(name, field.default) for name, field in fields.items()}
        if missing := [name for name, field in fields.items() if field.required and not values[name]]:
            raise CommandError(f"Missing: {', '.join(f'--credential {name}=…' for name in missing)}.")
        return values
