"""The demo of a first run: an account of each kind at the sandbox, phones, contacts, and a week of history."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from contacts import consent
from contacts.models import Contact, ContactList, How
from devices import inventory
from devices.models import Reading
from messaging import ledger
from messaging.models import Message
from messaging.segments import measure
from providers import registry
from providers.errors import ProviderError
from providers.models import ProviderAccount
from providers.types import Feature, Status
from sandbox.accounts import open_account

from . import demo_campaigns, demo_conversations, demo_phones

ACCOUNTS = {  # the first is what a key without an account sends through: the one that tells most of its messages
    "smsprovider": "Appointments",
    "smsgateway": "Phones on the shelf",
    "customersms": "Customer care",
    "voipcommunications": "Overseas",
}
SENDERS = {"smsprovider": "Demo"}
KEY = "sandbox-demo"
SECRETS = {"api_password": "sandbox-secret"}
NAMES = ("Ada", "Bruno", "Chiara", "Dimitri", "Emine", "Farah", "Goran", "Hanna", "Ines", "Jonas", "Kofi", "Lin")
TEXTS = (
    "Hello {name}, your appointment is tomorrow at {hour}:30. Reply STOP to opt out.",
    "{name}, your parcel is out for delivery today between {hour}:00 and {hour}:45.",
    "Your verification code is {code}. It expires in 10 minutes.",
    "Dear {name}, invoice {code} is due on Friday. Thank you!",
    "Weekend sale 🎉 20 % off with code SUN{code}. Ends Sunday!",
)
REPLIES = ("Thank you!", "Can we move it to Friday?", "OK, see you then.", "Who is this?")
PROBLEMS = (
    ("unreachable_handset", "The phone could not be reached."),
    ("blocked", "The recipient's network refused it."),
)
DAYS, PER_DAY = 7, 260


def load(say: Callable[[str], None]) -> None:
    """Make the demo if there is no account yet; afterwards only keep its addresses right when the port changes."""
    if not ProviderAccount.objects.exists():
        say("Loading the demo …")
        with transaction.atomic():
            accounts = [_account(slug, name) for slug, name in ACCOUNTS.items() if slug in registry.kinds()]
            guests, people = _contacts()
            history = ledger.insert(list(_history(accounts, people)))
            hearing = [account for account in accounts if account.kind_class.poll_after is not None]
            demo_campaigns.load((hearing or accounts)[0], people, guests)
            answering = [account for account in accounts if account.can(Feature.INBOUND)]
            demo_conversations.load((answering or accounts)[0], people, history)
    _follow_port()


def base_url(kind: str) -> str:
    """The sandbox's address for a kind, at this installation."""
    host = "127.0.0.1" if settings.HOST in ("0.0.0.0", "::", "localhost") else settings.HOST
    return f"http://{host}:{settings.PORT}/sandbox/{kind}{registry.adapter_class(kind).base_url_ends}"


def _account(kind: str, name: str) -> ProviderAccount:
    account = ProviderAccount(name=f"{name} (sandbox)", kind=kind, base_url=base_url(kind))
    fields = registry.adapter_class(kind).fields
    account.set_credentials({f.name: SECRETS.get(f.name, KEY) if f.secret else f.default for f in fields})
    account.sender = SENDERS.get(kind, "")
    account.save()
    return account


def _follow_port() -> None:
    """Both ends know each other's address: the account the sandbox's, the sandbox our callback."""
    for account in ProviderAccount.objects.filter(name__endswith="(sandbox)", base_url__contains="/sandbox/"):
        if account.base_url != base_url(account.kind):
            account.base_url = base_url(account.kind)
            account.save(update_fields=["base_url", "updated_at"])
        carrier = open_account(account.kind, KEY)
        if account.can(Feature.INBOUND) and carrier.webhook_url != account.callback_url:
            carrier.webhook_url = account.callback_url
            carrier.save(update_fields=["webhook_url"])


def sync_devices() -> None:
    """The sandbox's phones, once it answers, and what the demo knows of them."""
    for account in ProviderAccount.objects.filter(name__endswith="(sandbox)"):
        if account.can(Feature.DEVICES) and not Reading.objects.filter(balance__sim__device__account=account).exists():
            try:
                inventory.sync(account)
            except ProviderError:
                return  # the next start tries again
            demo_phones.load(account)


def _contacts() -> tuple[ContactList, list[Contact]]:
    """The list, and those on it who did not opt out."""
    people = Contact.objects.bulk_create(
        Contact(number=f"+1555010{index:04d}", name=f"{NAMES[index % len(NAMES)]} {chr(65 + index // 12)}.")
        for index in range(1, 61)
    )
    guests = ContactList.objects.create(name="Demo guests")
    consent.subscribe(guests, [person.pk for person in people], How.IMPORT, "the demo")
    consent.opt_out([people[-1].pk], How.STOP, "the demo")
    guests.refresh_from_db()
    return guests, people[:-1]


def _history(accounts: list[ProviderAccount], people: list[Contact]) -> Iterator[Message]:
    dice = random.Random(7)
    now = timezone.now()
    moments = sorted(now - timedelta(seconds=_age(dice)) for _ in range(DAYS * PER_DAY))
    hearing = [account for account in accounts if account.can(Feature.INBOUND)]
    for moment in moments:
        yield _past(dice, dice.choice(accounts), dice.choice(people), moment)
        if hearing and dice.random() < 0.04:
            yield _reply(dice, dice.choice(hearing), dice.choice(people), moment + timedelta(minutes=3))


def _age(dice: random.Random) -> float:
    """Seconds ago, mostly by day."""
    day = dice.randrange(DAYS)
    return day * 86_400 + dice.triangular(600, 86_000, 30_000)


def _reply(dice: random.Random, account: ProviderAccount, person: Contact, moment: datetime) -> Message:
    return Message(
        account=account,
        number=person.number,
        text=dice.choice(REPLIES),
        status=Status.RECEIVED.value,
        provider_id=f"demo-{dice.randrange(10**12):012d}",
        due_at=moment,
        created_at=moment,
        sent_at=moment,
        done_at=moment,
    )


def _past(dice: random.Random, account: ProviderAccount, person: Contact, moment: datetime) -> Message:
    text = dice.choice(TEXTS).format(
        name=person.name.split()[0], hour=dice.randrange(9, 18), code=dice.randrange(10**5)
    )
    fate = dice.random()
    failed, knows_end = fate < 0.05, account.kind_class.poll_after is not None
    status = Status.FAILED if failed else Status.DELIVERED if knows_end and fate < 0.97 else Status.SENT
    code, words = dice.choice(PROBLEMS) if failed else ("", "")
    done = moment + timedelta(seconds=dice.uniform(2, 40))
    return Message(
        account=account,
        number=person.number,
        text=text,
        sender=account.sender,
        segments=measure(text).parts,
        status=status.value,
        provider_id=f"demo-{dice.randrange(10**12):012d}",
        error_code=code,
        error_text=words,
        due_at=moment,
        created_at=moment,
        sent_at=moment + timedelta(seconds=1),
        done_at=None if status is Status.SENT else done,
    )
