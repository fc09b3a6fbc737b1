"""Webhooks: registering them, who may see what, and turning what happened into deliveries.

What happened is written by the rooms below (providers/outbox.py). Here it becomes a Delivery for each webhook that
wants it and may see it, and is gone from there in the same transaction. api/deliveries.py posts them.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from contacts.models import Contact
from devices.models import UssdRequest
from messaging.models import Message
from providers import errors, guard, outbox
from providers.models import ProviderAccount
from providers.outbox import Taken
from providers.types import UssdInfo

from . import formats, gateway, gateway_phones
from .formats import Happening
from .models import Addressed, ApiKey, Delivery, Scope, Webhook

BATCH = 500  # occurrences that one transaction passes on
MOST = 20  # webhooks of one key
LONGEST_URL = 500
REPLAYED = 1_000  # deliveries of one click
KEPT = timedelta(days=30)
AGAIN = timedelta(hours=1)  # after which a request that names a paused callback URL has it tried again
REPORTS = [name for name in formats.EVENTS if formats.speaks(Webhook.Format.SMSPROVIDER, name)]


# --- Registering -----------------------------------------------------------------------------------------


def register(key: ApiKey, url: str, events: Sequence[str], format: str = Webhook.Format.SMSPROVIDER) -> Webhook:
    """A webhook of the key for a URL that is checked; the one that it has for it in this format gets the events and
    keeps its secret.

    ``events``: none means all that the format has words for; in a wire format the word for a failure means
    cancellations too. Raises InvalidRequest.
    """
    wanted = _chosen(events, format)
    with transaction.atomic():
        ApiKey.objects.select_for_update(no_key=True).only("pk").get(pk=key.pk)
        mine = Webhook.objects.filter(key=key.pk, for_campaigns=False)
        row = mine.filter(url=url, format=format).first()
        if row is None:
            if mine.count() >= MOST:
                raise errors.InvalidRequest(f"This API key has {MOST} webhooks. Delete one of them first.")
            row = Webhook(key=key, url=url, format=format, sealed={"secret": formats.new_secret()})
        row.events, row.enabled = wanted, True
        row.save()
        keep_wanted()
    return row


def _chosen(events: Sequence[str], format: str) -> list[str]:
    known = [name for name in formats.EVENTS if formats.speaks(format, name)]
    unknown = [name for name in events if name not in known]
    if unknown:
        raise errors.InvalidRequest(f"There is no event “{unknown[0][:40]}”. Choose of {', '.join(known)}.")
    wanted = set(events or known)
    if format != Webhook.Format.STANDARD and "message.failed" in wanted:
        wanted.add("message.canceled")
    return [name for name in known if name in wanted]


def for_request(key: ApiKey, url: str) -> Webhook:
    """The webhook behind a ``callback_url``. It hears of the campaigns that are Addressed to it.

    The message matters more than what is told of it: whether the host may be called is seen when it is to be, and the
    webhook's page says why it is not. Raises InvalidRequest for what is no URL.
    """
    row = Webhook.objects.filter(key=key.pk, url=url, for_campaigns=True).first()
    if row is None:
        _check_spelling(url)
        with transaction.atomic():
            values = {"format": Webhook.Format.SMSPROVIDER, "events": REPORTS}
            row, _new = Webhook.objects.get_or_create(key=key, url=url, for_campaigns=True, defaults=values)
            keep_wanted()
    elif row.paused_at and row.paused_at < timezone.now() - AGAIN:
        resume(row)
    return row


def check(url: str) -> None:
    """Look the host up, so not in a transaction; one that is not found now may be when there is something to tell.

    Raises InvalidRequest.
    """
    _check_spelling(url)
    try:
        with contextlib.suppress(guard.UnknownHost):
            guard.check(url)
    except guard.Refused as error:
        raise errors.InvalidRequest(str(error)) from error


def _check_spelling(url: str) -> None:
    if len(url) > LONGEST_URL:
        raise errors.InvalidRequest(f"The URL is longer than {LONGEST_URL} characters.")
    try:
        guard.check_spelling(url)
    except guard.Refused as error:
        raise errors.InvalidRequest(str(error)) from error


def keep_wanted() -> None:
    """Have written what some webhook wants to hear of, and nothing else. To be called whenever webhooks change."""
    with transaction.atomic():
        outbox.alone()
        rows = Webhook.objects.filter(enabled=True)
        wanted = {name for names in rows.filter(for_campaigns=False).values_list("events", flat=True) for name in names}
        outbox.want(wanted | set(REPORTS if rows.filter(for_campaigns=True).exists() else []))


# --- What people do with them ----------------------------------------------------------------------------


def save(row: Webhook, columns: Sequence[str] | None = None) -> Webhook:
    """Keep a webhook that was made or changed by hand, or only these columns of it."""
    with transaction.atomic():
        row.save(update_fields=columns)
        keep_wanted()
    return row


def rotate(row: Webhook) -> str:
    """Give it a new secret; the one before is no good any more."""
    row.sealed = {"secret": formats.new_secret()}
    row.save(update_fields=["sealed"])
    return str(row.sealed["secret"])


def remember(pk: int, key_hash: str) -> None:
    """That a post signed with this key was taken, of the two that a rotated one has."""
    row = Webhook.objects.select_for_update(no_key=True, of=("self",)).filter(pk=pk).first()
    if row:
        row.sealed = {**row.sealed, "taken": key_hash}
        row.save(update_fields=["sealed"])


def pause(row: Webhook, reason: str) -> None:
    """Deliver nothing until it is resumed; what happens is kept."""
    Webhook.objects.filter(pk=row.pk, paused_reason="").update(paused_reason=reason[:300], paused_at=timezone.now())


def resume(row: Webhook) -> None:
    """Deliver what was kept, at once."""
    now = timezone.now()
    with transaction.atomic():
        Webhook.objects.filter(pk=row.pk).update(
            paused_reason="", paused_at=None, failures=0, failing_since=None, hold_until=None
        )
        Delivery.objects.filter(webhook=row.pk, state=Delivery.State.WAITING, next_at__gt=now).update(next_at=now)


def delete(row: Webhook) -> None:
    with transaction.atomic():
        row.delete()
        keep_wanted()


def test(row: Webhook) -> Delivery:
    """Post a test event, in the background."""
    name, body = formats.test_body(row.format, timezone.now())
    return Delivery.objects.create(webhook=row, event=name, body=body)


def replay(rows: Iterable[Delivery]) -> int:
    """Post them once more, in the background, under the same ids as before. Returns how many."""
    again = [
        Delivery(webhook_id=row.webhook_id, event=row.event, subject=row.subject, body=row.body, replay_of_id=first)
        for row, first in ((row, row.replay_of_id or row.pk) for row in rows)
    ]
    return len(Delivery.objects.bulk_create(again, batch_size=BATCH))


def replay_failed(row: Webhook) -> int:
    """Post once more what was given up, oldest first, unless that was done; the newest REPLAYED at most."""
    again = row.deliveries.filter(replay_of__isnull=False)
    later = dict(again.order_by("pk").values_list("replay_of", "pk"))
    failed = row.deliveries.filter(state=Delivery.State.FAILED).order_by("-pk")[:REPLAYED]
    return replay([each for each in reversed(failed) if later.get(each.replay_of_id or each.pk, 0) <= each.pk])


def outdated(now: datetime) -> Iterator[QuerySet[Any]]:
    """What is to be deleted, oldest first: old deliveries, and callback URLs that nothing names any more."""
    yield Delivery.objects.filter(created_at__lt=now - KEPT).order_by("created_at")
    recent = Addressed.objects.filter(webhook=OuterRef("pk"), campaign__created_at__gte=now - KEPT)
    waiting = Delivery.objects.filter(webhook=OuterRef("pk"))
    rows = Webhook.objects.filter(for_campaigns=True, created_at__lt=now - KEPT)
    yield rows.exclude(Exists(recent)).exclude(Exists(waiting)).order_by("pk")


# --- Who sees what -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Eye:
    """What a webhook may see. ``key`` None: everything. ``accounts``: those of the key; none: all."""

    webhook: Webhook
    key: ApiKey | None
    accounts: frozenset[int]

    def message(self, row: Message, name: str) -> bool:
        if self.key is None or row.client == self.key.pk:
            return True
        received = name == "message.received"
        return self._uses(row.account_id) and self._may(Scope.READ) and (received or self.key.reads_all)

    def ussd(self, row: UssdRequest) -> bool:
        return self.key is None or (self._uses(row.account_id) and self._may(Scope.USSD))

    def contact(self) -> bool:
        return self.key is None or self._may(Scope.CONTACTS)

    def _uses(self, account: int) -> bool:
        return not self.accounts or account in self.accounts

    def _may(self, scope: Scope) -> bool:
        return self.key is not None and bool({scope.value, Scope.ADMIN.value} & set(self.key.scopes))


def _eyes() -> list[Eye]:
    rows = Webhook.objects.filter(working(), for_campaigns=False).order_by("pk").defer("sealed", "key__sealed")
    return [
        Eye(row, row.key, frozenset(account.pk for account in row.key.accounts.all()) if row.key else frozenset())
        for row in rows.select_related("key").prefetch_related("key__accounts")
    ]


def working(prefix: str = "") -> Q:
    """Webhooks that are switched on and whose key, if they have one, is good. A paused one too: what is for it waits.

    ``prefix``: the way to the webhook, as ``webhook__``.
    """
    good = Q(**{f"{prefix}key__enabled": True, f"{prefix}key__revoked_at": None})
    good &= Q(**{f"{prefix}key__expires_at": None}) | Q(**{f"{prefix}key__expires_at__gt": timezone.now()})
    good &= Q(**{f"{prefix}key__owner": None}) | Q(**{f"{prefix}key__owner__is_active": True})
    return Q(**{f"{prefix}enabled": True}) & (good | Q(**{f"{prefix}key": None}))


# --- Passing on --------------------------------------------------------------------------------------------


def pass_on() -> bool:
    """Make deliveries of what happened, oldest first. False: nothing is left, or somebody else is at it."""
    if not outbox.waiting():
        return False
    with transaction.atomic():
        taken = outbox.take(BATCH)
        Delivery.objects.bulk_create(_deliveries(taken) if taken else (), batch_size=BATCH)
    return bool(taken)


def _deliveries(taken: Sequence[Taken]) -> Iterator[Delivery]:
    eyes, facts = _eyes(), _Facts(taken)
    for each in taken:
        if happening := facts.of(each):
            for webhook in _listeners(each, facts, eyes):
                if body := formats.body(webhook.format, happening):
                    subject = f"{each.name.partition('.')[0]}:{each.subject}"
                    yield Delivery(webhook_id=webhook.pk, event=each.name, subject=subject, body=body)


def _listeners(each: Taken, facts: _Facts, eyes: Iterable[Eye]) -> Iterator[Webhook]:
    for eye in eyes:
        if each.name in eye.webhook.events and facts.seen_by(eye, each):
            yield eye.webhook
    yield from (webhook for webhook in facts.addressed(each) if each.name in webhook.events)


class _Facts:
    """What a batch of occurrences is about: a handful of queries for all."""

    def __init__(self, taken: Sequence[Taken]) -> None:
        ids: dict[str, set[int]] = defaultdict(set)
        for each in taken:
            ids[each.name.partition(".")[0]].add(each.subject)
        self.messages = Message.objects.in_bulk(ids["message"])
        self.infos = {int(info.id): info for info in gateway.message_infos(list(self.messages.values()))}
        self.codes = UssdRequest.objects.in_bulk(ids["ussd"])
        self.people = Contact.objects.in_bulk(ids["contact"])
        self.phones = gateway_phones.ids((row.account_id, row.device_id) for row in self.codes.values())
        self.accounts: Mapping[int, str] = dict(ProviderAccount.objects.values_list("pk", "name"))
        self.callbacks = self._callbacks()

    def _callbacks(self) -> Mapping[int, Webhook]:
        """By campaign."""
        campaigns = {row.campaign_id for row in self.messages.values() if row.campaign_id and row.client}
        rows = Addressed.objects.filter(working("webhook__"), campaign__in=campaigns) if campaigns else ()
        if campaigns:
            rows = rows.select_related("webhook").defer("webhook__sealed")
        return {row.campaign_id: row.webhook for row in rows}

    def of(self, each: Taken) -> Happening | None:
        """None: it is not there any more."""
        values: dict[str, Any] = {}
        if message := self._row(each, "message", self.messages):
            values = {"message": self.infos[each.subject], "account": self.accounts.get(message.account_id, "")}
        elif code := self._row(each, "ussd", self.codes):
            values = {"ussd": self._ussd(code), "account": self.accounts.get(code.account_id, "")}
        elif person := self._row(each, "contact", self.people):
            values = {"contact": person}
        return Happening(each.name, each.at, **values) if values else None

    def seen_by(self, eye: Eye, each: Taken) -> bool:
        if message := self._row(each, "message", self.messages):
            return eye.message(message, each.name)
        if code := self._row(each, "ussd", self.codes):
            return eye.ussd(code)
        return eye.contact()

    def addressed(self, each: Taken) -> tuple[Webhook, ...]:
        message = self._row(each, "message", self.messages)
        webhook = self.callbacks.get(message.campaign_id or 0) if message else None
        return (webhook,) if webhook else ()

    @staticmethod
    def _row(each: Taken, room: str, rows: Mapping[int, Any]) -> Any:
        return rows.get(each.subject) if each.name.startswith(f"{room}.") else None

    def _ussd(self, row: UssdRequest) -> UssdInfo:
        phone = self.phones.get((row.account_id, row.device_id), "")
        times = {"sent_at": row.sent_at, "answered_at": row.answered_at}
        return UssdInfo(str(row.pk), row.code, phone, row.sim, row.response, **times)
