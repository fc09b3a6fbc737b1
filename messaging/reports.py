"""Delivery reports, from callbacks and from polling: matched, applied forward only, kept when too early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import transaction
from django.utils import timezone

from providers.models import ProviderAccount
from providers.types import Problem, Report, Status

from . import ledger
from .ledger import Change
from .models import DeliveryReport, Message


def apply(account: ProviderAccount, reports: Iterable[Report]) -> int:
    """Keep the reports and move the messages they are about. Returns how many messages moved."""
    rows = DeliveryReport.objects.bulk_create([_row(account, report) for report in reports])
    return _work_on(account, rows)


def replay(account: ProviderAccount, provider_ids: Sequence[str]) -> int:
    """Apply the reports that overtook the answer in which these ids were given."""
    early = DeliveryReport.objects.filter(account=account, provider_id__in=provider_ids, message__isnull=True)
    return _work_on(account, list(early))


def _row(account: ProviderAccount, report: Report) -> DeliveryReport:
    problem = report.problem or Problem("")
    return DeliveryReport(
        account=account,
        provider_id=report.provider_id[:100],
        number=report.number[:20],
        status=report.status.value,
        raw_status=report.raw_status[:40],
        error_code=problem.code[:64],
        error_text=problem.text[:300],
        at=report.at,
    )


def _work_on(account: ProviderAccount, rows: Sequence[DeliveryReport]) -> int:
    if not rows:
        return 0
    with transaction.atomic():
        found = _messages(account, {row.provider_id for row in rows})
        matched = [(row, message) for row in rows if (message := _match(found, row)) is not None]
        for row, message in matched:
            row.message = message
        DeliveryReport.objects.bulk_update([row for row, _ in matched], ["message"], batch_size=500)
        moved = 0
        # reports about one message are applied one after the other, as they came
        for layer in _layers(matched):
            moved += len(ledger.apply(layer))
    return moved


def _messages(account: ProviderAccount, provider_ids: set[str]) -> dict[str, list[Message]]:
    found: dict[str, list[Message]] = {}
    for message in Message.objects.filter(account=account, provider_id__in=provider_ids).exclude(provider_id=""):
        found.setdefault(message.provider_id, []).append(message)
    return found


def _match(found: dict[str, list[Message]], row: DeliveryReport) -> Message | None:
    """By id; where one id covers several recipients, by the number's digits too."""
    candidates = found.get(row.provider_id, [])
    if row.number and len(candidates) > 1:
        candidates = [m for m in candidates if _digits(m.number) == _digits(row.number)]
    return candidates[0] if candidates else None


def _digits(number: str) -> str:
    return "".join(c for c in number if c.isdigit()).lstrip("0")


def _layers(matched: Sequence[tuple[DeliveryReport, Message]]) -> list[list[Change]]:
    layers: list[dict[int, Change]] = []
    depth: dict[int, int] = {}
    for row, message in matched:
        if row.status not in (Status.SENT, Status.DELIVERED, Status.FAILED, Status.EXPIRED):
            continue
        level = depth.get(message.pk, 0)
        depth[message.pk] = level + 1
        if level == len(layers):
            layers.append({})
        layers[level][message.pk] = _change(row, message)
    return [list(layer.values()) for layer in layers]


def _change(row: DeliveryReport, message: Message) -> Change:
    at = row.at or timezone.now()
    to = Status(row.status)
    values: dict[str, object] = {
        "provider_status": row.raw_status or row.status,
        "error_code": row.error_code,
        "error_text": row.error_text,
        "sent_at": message.sent_at or at,
    }
    if to in ledger.FINAL:
        values |= {"done_at": at, "poll_at": None}
    return Change(message.pk, to, values)
