"""The last door: may these messages leave at this moment? Asked in the transaction that marks them as leaving."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from contacts import recipients
from devices import limits
from providers.models import ProviderAccount
from providers.types import Status

from . import attachments, conduct, ledger, parking, streaks, windows
from .backlog import Waiting
from .handover import links
from .ledger import Change
from .models import Answer, Campaign

State = Campaign.State
COLUMNS = ("hours", "zone", "by_recipient", "priority", "state", "state_by", "failed_in_a_row")
KEPT = 5.0  # seconds that sending hours and the existence of phones are believed


class Door:
    """What has to be known of an account's rules, read once in a while."""

    def __init__(self, account: ProviderAccount) -> None:
        self.account = account
        self.read_at = -KEPT

    def look(self) -> None:
        if time.monotonic() - self.read_at >= KEPT:
            self.read_at = time.monotonic()
            self.closed = windows.closed_until(self.account, timezone.now()) is not None
            self.counted = limits.counted(self.account.pk)
            self.campaigns: dict[int, Campaign] = {}

    def forget(self) -> None:
        """Look anew: something was changed behind the gate."""
        self.read_at = -KEPT

    def is_open(self) -> bool:
        """Within the account's sending hours?"""
        self.look()
        return not self.closed

    def admit(self, requests: Sequence[list[Waiting]]) -> list[list[Waiting]]:
        """Those of the messages that nothing speaks against; the others are ended or put off."""
        self.look()
        self._meet(requests)
        requests = _without(requests, self._halted(requests))
        stopped = self._opted_out(requests) | self._expired(requests) | self._out_of_hours(requests)
        requests = _without(requests, stopped)
        return _without(requests, self._badly_attached(requests))

    def _meet(self, requests: Sequence[list[Waiting]]) -> None:
        """Know the campaigns of these messages."""
        missing = {m.campaign_id for request in requests for m in request if m.campaign_id} - self.campaigns.keys()
        if missing:
            self.campaigns |= Campaign.objects.only(*COLUMNS).in_bulk(missing)
            streaks.know(self.campaigns[pk] for pk in missing if pk in self.campaigns)

    def _halted(self, requests: Sequence[list[Waiting]]) -> set[int]:
        """Messages of campaigns that may not send now. Thousands of them are taken out of the way at once."""
        found = {m.id: m.campaign_id for request in requests for m in request if self._state(m) != State.SENDING}
        for pk in set(found.values()):
            parking.clear_way(self.campaigns[pk], self.account.pk)
        return set(found)

    def _state(self, message: Waiting) -> str:
        campaign = self.campaigns.get(message.campaign_id or 0)
        return campaign.state if campaign else State.SENDING

    def admit_to_sims(self, requests: Sequence[list[Waiting]], now: float) -> list[list[Waiting]]:
        """Those for which their SIM has room; they count as sent by it. ``now``: by pacing.now."""
        if not self.counted:
            return list(requests)
        wanted = Counter((m.device, m.sim) for request in requests for m in request)
        granted = limits.take(self.account.pk, wanted, now)
        going = Counter({place: n for place, (n, _wait) in granted.items()})
        put_off: list[Change] = []
        for message in (m for request in requests for m in request):
            place = (message.device, message.sim)
            if going[place] > 0:
                going[place] -= 1
            else:
                due_at = timezone.now() + timedelta(seconds=granted[place][1])
                put_off.append(_later(message, due_at, "sim_limit", _("Its SIM has sent as much as it may for now.")))
        return _without(requests, self._write(requests, put_off))

    def _opted_out(self, requests: Sequence[list[Waiting]]) -> set[int]:
        numbers = {m.number for request in requests for m in request}
        out = recipients.opted_out(list(numbers))
        if not out:
            return set()
        values = _end("opted_out", _("The recipient opted out."))
        theirs = [m for request in requests for m in request if m.number in out]
        told = _confirmations(theirs)  # whoever opted out is told so
        theirs = [m for m in theirs if m.campaign_id not in told]
        moved = self._write(requests, [Change(m.id, Status.CANCELED, values) for m in theirs])
        conduct.skip_late(Counter(m.campaign_id for m in theirs if m.campaign_id and m.id in moved))
        return {m.id for m in theirs}

    def _expired(self, requests: Sequence[list[Waiting]]) -> set[int]:
        now = time.time()
        values = _end("expired", _("It did not leave in time: its time to be sent was over."))
        ended = [
            Change(m.id, Status.EXPIRED, values)
            for request in requests
            for m in request
            if m.expires and m.expires <= now
        ]
        return self._write(requests, ended)

    def _out_of_hours(self, requests: Sequence[list[Waiting]]) -> set[int]:
        """Urgent messages leave at any hour that the account sends."""
        groups: dict[int, list[Waiting]] = defaultdict(list)
        for message in (m for request in requests for m in request if not m.priority and m.campaign_id):
            groups[message.campaign_id].append(message)
        put_off: list[Change] = []
        now = timezone.now()
        for pk, mine in groups.items():
            if (campaign := self.campaigns.get(pk)) and campaign.hours:
                opens = windows.earliest(self.account, campaign, [m.number for m in mine], now)
                reason = _("It waits for the campaign's sending hours.")
                put_off += [_later(m, at, "hours", reason) for m, at in zip(mine, opens, strict=True) if at > now]
        return self._write(requests, put_off)

    def _badly_attached(self, requests: Sequence[list[Waiting]]) -> set[int]:
        """Whose links were refused, or are not looked at yet."""
        carried = {m.id: links(m.attachments) for request in requests for m in request if m.attachments != "[]"}
        if not carried:
            return set()
        code, found = attachments.CODE, attachments.against(carried)
        changes = [
            _later(m, reason.until, code, reason.sentence[:300])
            if reason.until
            else Change(m.id, Status.FAILED, _end(code, reason.sentence[:300]))
            for request in requests
            for m in request
            if (reason := found.get(m.id))
        ]
        return self._write(requests, changes)

    def _write(self, requests: Sequence[list[Waiting]], changes: Sequence[Change]) -> set[int]:
        if changes:
            rows = {m.id: m.known(self.account.pk, Status.QUEUED) for request in requests for m in request}
            ledger.settle(changes, rows)
        return {change.id for change in changes}


def _confirmations(messages: Sequence[Waiting]) -> set[int]:
    campaigns = {m.campaign_id for m in messages if m.campaign_id}
    confirming = Answer.objects.filter(campaign__in=campaigns, confirms=True)
    return set(confirming.values_list("campaign_id", flat=True))


def _without(requests: Sequence[list[Waiting]], stopped: set[int]) -> list[list[Waiting]]:
    if not stopped:
        return list(requests)
    left = ([m for m in request if m.id not in stopped] for request in requests)
    return [request for request in left if request]


def _end(code: str, text: str) -> Mapping[str, object]:
    return {"error_code": code, "error_text": text, "done_at": timezone.now()}


def _later(message: Waiting, due_at: datetime, code: str, text: str) -> Change:
    return Change(message.id, Status.QUEUED, {"due_at": due_at, "error_code": code, "error_text": text})
