from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from contacts import recipients
from messaging import campaigns
from messaging.models import Message
from providers.models import ProviderAccount


class Command(BaseCommand):
    help = "Queue a message; prints the message ids, one a line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="name of the account")
        parser.add_argument("--to", required=True, metavar="NUMBER[,NUMBER...]")
        parser.add_argument("--text", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        account = ProviderAccount.objects.filter(name=options["account"]).first()
        if account is None:
            names = ", ".join(ProviderAccount.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no account “{options['account']}”. Accounts: {names}.")
        chosen = recipients.choose(options["to"], settings.SMSDASH_DEFAULT_REGION)
        if chosen.dropped:
            raise CommandError(" ".join(f"{dropped.text}: {dropped.sentence}" for dropped in chosen.dropped))
        draft = campaigns.Draft(account, chosen.kept, options["text"])
        if problems := campaigns.check(draft):
            raise CommandError(" ".join(problems.values()))
        campaign = campaigns.submit(draft)
        while not campaign.complete:
            campaigns.expand(campaign.pk)
            campaign.refresh_from_db()
        for pk in Message.objects.filter(campaign=campaign).order_by("pk").values_list("pk", flat=True):
            self.stdout.write(str(pk))
