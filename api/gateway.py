"""What a phone gateway's programs ask for (seed 004), over smsdash itself: messages here, phones, codes and contacts in
the files beside.

Every function takes the row of the caller's key and an operation of providers/types.py, and gives the operation's
result. It raises KeyRefused for what the key may not do, and another ProviderError with a sentence for what cannot be
done. Ids are ours: a message is Message.pk, a phone Device.pk, a group the token of a campaign.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet, Sum

from messaging import ledger, log, pages, parking
from messaging import resend as resending
from messaging.models import Campaign, Message, Tally
from messaging.pages import Part
from messaging.resend import Resent
from providers import errors
from providers.models import ProviderAccount
from providers.phones.bodies import USER
from providers.types import MessageInfo, MessageType, Problem, ReadMessages, Resend, Status
from providers.wire import MAX_RECIPIENTS

from . import access, gateway_phones
from .gateway_contacts import save_contact as save_contact
from .gateway_contacts import unsubscribe as unsubscribe
from .gateway_phones import devices as devices
from .gateway_phones import devices_of as devices_of
from .gateway_ussd import read_ussd as read_ussd
from .gateway_ussd import send_ussd as send_ussd
from .models import ApiKey, Scope

LISTED = 500  # messages of one answer; of a group MAX_RECIPIENTS
FEW = 20_000  # messages in the asked statuses that are quicker found by status than among those of the key
SENT_BY_US = log.ALL - {Status.RECEIVED.value}
# The wire has fewer words than we have statuses; what is written as another is found as that other.
WRITTEN_ALIKE: Mapping[Status, Collection[Status]] = {
    Status.FAILED: (Status.FAILED, Status.EXPIRED),
    Status.SENDING: (Status.SENDING, Status.UNCERTAIN),
}
_TOKEN = re.compile("[0-9a-f]{32}", re.ASCII)


def read_messages(key: ApiKey, op: ReadMessages) -> tuple[MessageInfo, ...]:
    """The messages that the key may read, newest first: at most LISTED, of one group at most MAX_RECIPIENTS.

    ``start`` and ``end`` mean when a message was accepted or received here. What no index helps with (``device``,
    ``sim``, a status that very many messages have) is looked for in the newest pages.SCAN messages.
    """
    access.need(key, Scope.READ)
    rows = _search(key, op, log.ALL, MAX_RECIPIENTS if op.group else LISTED)
    return message_infos(list(rows))


def resend(key: ApiKey, op: Resend) -> tuple[MessageInfo, ...]:
    """Send messages again as new ones, each charged to the key's budget: all that may be resent, or none. One that
    still waits goes out by itself, and is answered as it is.

    A message that is asked for by its id may be sent again and again; of a group or a status each goes out once more.
    Raises NotFound when there is none with that id, Rejected when none may be sent again.
    """
    access.need(key, Scope.SEND)
    mine = access.accounts(key).values("pk")
    found = list(_search(key, op, SENT_BY_US, MAX_RECIPIENTS + 1).filter(account__in=mine).values_list("pk", flat=True))
    if op.id and not found:
        raise errors.NotFound("There is no message to send again.")
    if len(found) > MAX_RECIPIENTS:
        raise errors.InvalidRequest(f"More than {MAX_RECIPIENTS:,} messages match. Narrow them down by their time.")
    done = resend_these(key, found, again=bool(op.id))
    on_their_way = Message.objects.filter(Q(pk__in=done.made) | Q(pk__in=found, status__in=ledger.WAITING))
    told = message_infos(list(on_their_way.order_by("pk")))
    if found and not told:
        raise errors.Rejected(_why_none(done.skipped))
    return told


def resend_these(
    key: ApiKey, ids: Iterable[int], through: ProviderAccount | None = None, again: bool = False
) -> Resent:
    """As messages of the key, which pays for them. ``through`` and ``again``: see resend.run. Raises NoCredits."""
    with ledger.together():
        done = resending.run(ids, f"API key {key}", through, again)
        made = Message.objects.filter(pk__in=done.made)
        made.exclude(client=key.pk).update(client=key.pk)
        access.spend(key, made.aggregate(parts=Sum("segments"))["parts"] or 0)
    return done


def _why_none(skipped: Counter[str]) -> str:
    reasons = ", ".join(f"{resending.REASONS[reason]} ({n})" for reason, n in skipped.items())
    return f"No message was sent again: {reasons}."


# --- Finding -----------------------------------------------------------------------------------------


def _search(key: ApiKey, op: ReadMessages | Resend, statuses: frozenset[str], n: int) -> QuerySet[Message]:
    """The newest ``n`` messages of a search, newest first. Without a status in ``op`` they have one of ``statuses``."""
    if op.status:
        statuses = frozenset(map(str, WRITTEN_ALIKE.get(op.status, (op.status,))))
    phone = gateway_phones.find(key, op.device) if op.device else None
    if op.device and not phone:
        return Message.objects.none()
    rows = log.Filters(start=op.start, end=op.end).rows()
    sought = Q(device=phone.device_id) if phone else Q()
    if op.sim is not None:
        sought &= Q(sim=op.sim)
    account = phone.account_id if phone else None
    if op.id or op.group:
        sought &= Q(status__in=statuses, **({"account": account} if phone else {}))
        rows = rows.filter(pk=log.read_id(op.id) or 0) if op.id else rows
        found = pages.newest([Part(_group(rows, op.group) if op.group else rows)], sought, n)
    else:
        found = pages.newest(*parts(key, rows, sought, statuses, account), n)
    return access.messages(key).filter(pk__in=list(found.values_list("pk", flat=True))).order_by("-pk")


def _group(rows: QuerySet[Message], token: str) -> QuerySet[Message]:
    name = token.lower()
    found = Campaign.objects.filter(token=name).values_list("pk", flat=True).first() if _TOKEN.fullmatch(name) else None
    return rows.filter(campaign=found or 0)


def parts(
    key: ApiKey, rows: QuerySet[Message], sought: Q, statuses: frozenset[str], account: int | None = None
) -> tuple[list[Part], Q]:
    """What the key may read of ``rows``, as parts that an index has in the order of their ids, and what is to be looked
    for in them: the key's own messages by its index, what it may read of its accounts by theirs.

    ``account``: of that one alone. ``rows`` should not be narrowed to it: a key's own messages could then be walked in
    vain to their end.
    """
    theirs = statuses if key.reads_all else statuses & {Status.RECEIVED.value}
    own = statuses - theirs
    here = {"account_id": account} if account else {}
    accounts = access.accounts(key).filter(**({"pk": account} if account else {})).values("pk")
    pairs = _pairs(theirs, account_id__in=accounts)
    if key.reads_all and len(pairs) > pages.MOST:
        return [Part(rows)], sought & Q(status__in=statuses, account__in=accounts)
    found = [Part(rows.filter(account=pk, status=status), n) for pk, status, n in pairs]
    if not own:
        return found, sought
    mine, pairs = rows.filter(client=key.pk), _pairs(own, **here)
    if len(pairs) <= pages.MOST and sum(n for _account, _status, n in pairs) <= FEW:
        return [*found, *(Part(mine.filter(account=pk, status=status), n) for pk, status, n in pairs)], sought
    whole = Part(mine, max(1, sum(part.n for part in found)))  # as much is looked for in it as in all others
    return [*found, whole], sought & (Q(**here) if own == SENT_BY_US else Q(status__in=statuses, **here))


def _pairs(statuses: Collection[str], **where: Any) -> list[tuple[int, str, int]]:
    """The accounts and statuses that occur together, and how often."""
    kept = Tally.objects.filter(hour=0, campaign_id=0, account_id__gt=0, n__gt=0, status__in=statuses)
    return list(kept.filter(**where).values_list("account_id", "status", "n"))


# --- Telling -----------------------------------------------------------------------------------------


def message_info(message: Message) -> MessageInfo:
    """See ``message_infos``."""
    return message_infos([message])[0]


def message_infos(messages: Sequence[Message]) -> tuple[MessageInfo, ...]:
    """Messages as the wires tell of them. Two queries for any number."""
    phones = gateway_phones.ids((m.account_id, m.device) for m in messages)
    campaigns = Campaign.objects.only("token", "due_at", "created_at").in_bulk(_campaign_ids(messages))
    return tuple(
        _info(m, phones.get((m.account_id, m.device), ""), campaigns.get(m.campaign_id or 0)) for m in messages
    )


def _campaign_ids(messages: Iterable[Message]) -> set[int]:
    return {m.campaign_id for m in messages if m.campaign_id}


def _info(m: Message, phone: str, campaign: Campaign | None) -> MessageInfo:
    """A received message was ``sent_at`` when the phone got it, and ``delivered_at`` when it came to the provider."""
    status = Status(m.status)
    failed = status in (Status.FAILED, Status.EXPIRED)
    return MessageInfo(
        id=str(m.pk),
        number=m.number,
        text=m.text,
        status=status,
        sender=m.sender,
        type=MessageType(m.type),
        attachments=tuple(m.attachments),
        device=phone,
        sim=m.sim if phone else None,
        user=USER,
        group=campaign.token.hex if campaign else "",
        sent_at=m.sent_at,
        delivered_at=m.done_at if status in (Status.DELIVERED, Status.RECEIVED) else None,
        schedule=_schedule(m, campaign),
        expires_at=m.expires_at,
        problem=Problem(m.error_code or "failed", m.error_text) if failed else None,
        retries=max(0, m.attempts - 1),
    )


def _schedule(m: Message, campaign: Campaign | None) -> datetime | None:
    """When it is to leave, or was to; None: at once."""
    if m.status == Status.SCHEDULED and m.due_at < parking.BEYOND:
        return m.due_at
    return campaign.due_at if campaign and campaign.due_at > m.created_at else None
