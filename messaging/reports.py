"""Delivery reports, from callbacks and from polling: matched, applied forward only, kept when too early.

However many come at once, the number of queries is the same. What a provider repeats is stored once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from providers import registry
from providers.models import ProviderAccount
from providers.types import Problem, Report, Status

from . import gate, ledger, streaks
from .ledger import Change
from .models import DeliveryReport, Message
from .wire_ids import wire_id, with_ids

AT_ONCE = 500  # reports in one transaction
FRESH = timedelta(minutes=5)  # younger reports that match nothing are tried again by the clock
RECENT = 1_000  # of these, the newest
COLUMNS = ("provider_id", "number", "status", "sent_at", "campaign__undelivered_in_a_row")
# a message that has several reports ends as the last of these says, in whatever order they come
WORDS = (Status.SENT, Status.EXPIRED, Status.FAILED, Status.DELIVERED)
RANK = {status.value: place for place, status in enumerate(WORDS)}


def apply(account: ProviderAccount, reports: Iterable[Report]) -> int:
    """Keep the reports and move the messages they are about. Returns how many messages moved."""
    distinct: dict[tuple[str, str, str, str], DeliveryReport] = {}
    for row in (_row(account, report) for report in reports):
        distinct.setdefault(_key(row), row)
    rows, moved = list(distinct.values()), 0
    for start in range(0, len(rows), AT_ONCE):
        new = rows[start : start + AT_ONCE]
        with ledger.together():
            early = list(_unmatched(account, [row.provider_id for row in new]))
            moved += _work_on(account, early, new)
    return moved


def replay(account: ProviderAccount, provider_ids: Sequence[str]) -> int:
    """Apply the reports that overtook the answer in which these ids were given."""
    with connection.cursor() as cursor:  # the usual case, and asked after every request
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM messaging_deliveryreport WHERE account_id = %s AND message_id IS NULL)",
            [account.pk],
        )
        (any_early,) = cursor.fetchone()
    early = list(_unmatched(account, provider_ids)) if any_early else []
    return _work_on(account, early, []) if early else 0


def replay_recent() -> int:
    """Try the latest reports that match nothing again: one may have come while its message was being settled."""
    unmatched = DeliveryReport.objects.filter(message__isnull=True).order_by("-pk")
    since = timezone.now() - FRESH
    newest = unmatched.values_list("seen_at", flat=True).first()
    if newest is None or newest < since:
        return 0
    rows: dict[int, list[DeliveryReport]] = defaultdict(list)
    for row in unmatched.filter(seen_at__gte=since)[:RECENT]:
        rows[row.account_id].append(row)
    accounts = ProviderAccount.objects.filter(pk__in=rows, kind__in=registry.kinds()).defer("credentials")
    return sum(_work_on(account, rows[account.pk][::-1], []) for account in accounts)


def _unmatched(account: ProviderAccount, ids: Iterable[str]) -> Iterable[DeliveryReport]:
    return with_ids(DeliveryReport.objects.filter(message__isnull=True), account.pk, ids).order_by("pk")


def _row(account: ProviderAccount, report: Report) -> DeliveryReport:
    problem = report.problem or Problem("")
    return DeliveryReport(
        account=account,
        provider_id=_text(report.provider_id, 100),
        number=_text(report.number, 20),
        status=report.status.value,
        raw_status=_text(report.raw_status, 40),
        error_code=_text(problem.code, 64),
        error_text=_text(problem.text, 300),
        at=report.at,
    )


def _text(text: object, length: int) -> str:
    return str(text).replace("\x00", "\ufffd")[:length]


def _key(row: DeliveryReport) -> tuple[str, str, str, str]:
    """Reports that agree in this say the same."""
    return wire_id(row.provider_id), digits(row.number), row.status, row.raw_status


def _work_on(account: ProviderAccount, early: Sequence[DeliveryReport], new: Sequence[DeliveryReport]) -> int:
    """``early``: rows that match nothing yet; ``new``: not stored yet."""
    found = _messages(account, [row.provider_id for row in (*early, *new)])
    for row in (*early, *new):
        row.message = _match(found, row)
    caught_up = [row for row in early if row.message]
    if not caught_up and not new:
        return 0
    with ledger.together():
        told = {_key(row) for row in early} | _told(found)
        DeliveryReport.objects.bulk_create([row for row in new if _key(row) not in told])
        DeliveryReport.objects.bulk_update(caught_up, ["message"], batch_size=AT_ONCE)
        return _move(account, [*early, *new])


def _messages(account: ProviderAccount, ids: Iterable[str]) -> dict[str, list[Message]]:
    """What was handed over under these ids. What was received has ids of its own."""
    found: dict[str, list[Message]] = defaultdict(list)
    sent = with_ids(Message.objects.exclude(provider_id=""), account.pk, filter(wire_id, ids))
    for message in sent.select_related("campaign").only(*COLUMNS).order_by("pk"):
        if message.status != Status.RECEIVED:
            found[wire_id(message.provider_id)].append(message)
    return found


def _told(found: Mapping[str, Sequence[Message]]) -> set[tuple[str, str, str, str]]:
    ids = [message.pk for messages in found.values() for message in messages]
    known = DeliveryReport.objects.filter(message__in=ids).only("provider_id", "number", "status", "raw_status")
    return {_key(row) for row in known} if ids else set()


def _match(found: Mapping[str, Sequence[Message]], row: DeliveryReport) -> Message | None:
    """By id, the same spelling first; where one id covers several recipients, by the number's digits too."""
    candidates = found.get(wire_id(row.provider_id), ())
    candidates = [m for m in candidates if m.provider_id == row.provider_id] or candidates
    if row.number and len(candidates) > 1:
        candidates = [m for m in candidates if digits(m.number) == digits(row.number)]
    if len({(m.provider_id, m.number) for m in candidates}) > 1:
        return None  # it could be any of them
    return min(candidates, key=lambda m: m.status in ledger.FINAL, default=None)


def digits(number: str) -> str:
    """What numbers are compared by."""
    return "".join(c for c in number if c.isdigit()).lstrip("0")


# --- Moving ------------------------------------------------------------------------------------------


def _move(account: ProviderAccount, rows: Iterable[DeliveryReport]) -> int:
    last: dict[int, DeliveryReport] = {}
    for row in rows:
        if row.message and row.status in RANK:
            before = last.setdefault(row.message.pk, row)
            if RANK[row.status] > RANK[before.status]:
                last[row.message.pk] = row
    news = [(row, m) for row in last.values() if (m := row.message) and m.status not in (row.status, Status.DELIVERED)]
    if not news:
        return 0
    with _door(account, [message for _row, message in news]) as flying:
        changes = [_change(account, row, m) for row, m in news if m.pk not in flying]
        moved = ledger.apply(changes)
        streaks.of_reports((c for c in changes if c.id in moved), {m.pk: m.campaign for _row, m in news})
    return len(moved)


@contextmanager
def _door(account: ProviderAccount, messages: Sequence[Message]) -> Iterator[set[int]]:
    """A message that is to be sent again, or could be at this moment, while its first hand-over is reported, is taken
    out of the queue."""
    if any(message.status in (Status.SCHEDULED, Status.QUEUED, Status.UNCERTAIN) for message in messages):
        with gate.closed([account.pk]) as flying:
            yield flying
    else:
        yield set()


def _change(account: ProviderAccount, row: DeliveryReport, message: Message) -> Change:
    at = row.at or timezone.now()
    to = Status(row.status)
    values: dict[str, object] = {
        "provider_status": row.raw_status or row.status,
        "error_code": row.error_code,
        "error_text": row.error_text,
        "sent_at": message.sent_at or at,
        "poll_at": None,
    }
    if to in ledger.FINAL:
        values["done_at"] = at
    elif after := account.kind_class.poll_after:
        values["poll_at"] = timezone.now() + timedelta(seconds=after)
    return Change(message.pk, to, values)
