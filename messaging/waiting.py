"""Why a message has not left, or what it waits for since: one sentence, and when it is expected to go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from devices.models import Device, Sim
from providers import health, pacing, registry
from providers.models import ProviderAccount
from providers.pacing import Log
from providers.types import Feature, Rate, Status

from . import attachments, gate, inquiry, parking, polling, windows
from .ledger import FINAL, WAITING
from .models import Campaign, Message, Tally, Worker

S = Status
COUNTED = 10_000  # messages of a queue that are counted, so that it stays cheap
ALIVE = timedelta(seconds=60)  # a worker that got nothing done for longer is gone
MOMENT = 5.0  # seconds that are not worth a time
CLOSE = timedelta(minutes=2)  # what is further off is told without seconds


@dataclass(frozen=True, slots=True)
class Waiting:
    """``attention``: it goes on only if a person does something. ``expected``: when it goes on, as far as can be
    told. ``place`` in its account's queue, from 1; None: it is not in line, or too far back to count.
    ``at_account``: the account's page is where a person can do something."""

    text: str
    attention: bool = False
    expected: datetime | None = None
    place: int | None = None
    at_account: bool = False


def why(message: Message) -> Waiting | None:
    """Why the message is where it is, or None where its end is known.

    ``message`` comes with its campaign, its account and the account's pace. At most six queries, none that counts
    further than COUNTED.
    """
    describe = _BY_STATUS.get(Status(message.status))
    return describe(message, timezone.now()) if describe else None


def by_account() -> dict[int, int]:
    """How many messages have not left, of the accounts that have any: kept counts."""
    kept = Tally.objects.filter(hour=0, campaign_id=0, status__in=WAITING, account_id__gt=0, n__gt=0)
    return dict(kept.values_list("account_id").annotate(Sum("n")))


def is_settled(message: Message) -> bool:
    """Nothing more is to be learnt, so a page need not look again."""
    return message.status in FINAL or (message.status == S.SENT and not tells_the_end(message.account))


def tells_the_end(account: ProviderAccount) -> bool:
    """Does the account's kind say more than that a message was sent?"""
    if account.kind not in registry.kinds():
        return False
    kind = account.kind_class
    return Feature.REPORTS in kind.supports or kind.poll_after is not None


# --- Before it leaves --------------------------------------------------------------------------------


def _unsent(message: Message, now: datetime) -> Waiting:
    """The first thing that keeps it here."""
    found = next(filter(None, (reason(message, now) for reason in _REASONS)))
    return _or_expires(message, found)


def _or_expires(message: Message, found: Waiting) -> Waiting:
    end = message.expires_at
    if end is None or (found.expected and found.expected <= end):
        return found
    words = _("It does not go any more after %s.") % moment(end)
    return replace(found, text=f"{found.text} {words}", attention=found.attention or found.expected is not None)


def _in_the_air(message: Message, now: datetime) -> Waiting | None:
    if message.status != S.QUEUED or message.pk not in gate.in_the_air([message.account_id]):
        return None
    return Waiting(_("The request is on its way to the provider."), expected=now)


def _campaign(message: Message, now: datetime) -> Waiting | None:
    campaign = message.campaign
    if campaign is None or not parking.parks(campaign.state):
        return None
    if campaign.state == Campaign.State.APPROVAL:
        return Waiting(_("Its campaign waits for approval by a second person."), attention=True)
    words = _("Its campaign is paused. %s Resume it to send.") % campaign.state_reason
    return Waiting(" ".join(words.split()), attention=True)


def _account(message: Message, now: datetime) -> Waiting | None:
    account = message.account
    name = {"account": account.name}
    if account.kind not in registry.kinds():
        text = _("There is no adapter for the kind of the account %(account)s here. Send it through another account.")
        return Waiting(text % name, True, at_account=True)
    if not account.enabled:
        words = _("The account %(account)s is switched off. Switch it on to send.")
        return Waiting(words % name, True, at_account=True)
    if not account.paused_reason:
        return None
    text = _("The account %(account)s is paused: %(reason)s") % {**name, "reason": account.paused_reason}
    if account.probe_at:
        again = _("smsdash tries again at %s.") % moment(max(account.probe_at, now))
        return Waiting(f"{text} {again}", True, at_account=True)
    return Waiting(f"{text} {_('Resume it to send.')}", True, at_account=True)


def _no_worker(message: Message, now: datetime) -> Waiting | None:
    if Worker.objects.filter(progress_at__gt=now - ALIVE).exists():
        return None
    return Waiting(_("No background worker is running. Start one with manage.py run."), attention=True)


def _attachment(message: Message, now: datetime) -> Waiting | None:
    """What is scheduled waits for its time first."""
    if not message.attachments or (message.due_at > now and message.error_code != attachments.CODE):
        return None
    reason = attachments.waits(message.attachments)
    return Waiting(reason.sentence, expected=reason.until) if reason else None


def _not_yet(message: Message, now: datetime) -> Waiting | None:
    if message.due_at <= now:
        return None
    if message.error_code == "sim_limit" and (held := _phone(message, now)):
        return held
    values = {"time": moment(message.due_at), "reason": message.error_text}
    if message.error_text:
        return Waiting(_("It is tried again at %(time)s. %(reason)s") % values, expected=message.due_at)
    if message.status == S.QUEUED:
        return Waiting(_("It goes out at %(time)s.") % values, expected=message.due_at)
    return Waiting(_scheduled(message) % values, expected=message.due_at)


def _scheduled(message: Message) -> str:
    """A sentence with a place for the time."""
    campaign = message.campaign
    if campaign is None or message.due_at - campaign.due_at < timedelta(seconds=1):
        return _("It waits for its time: %(time)s.")
    if _opening(message, campaign.due_at) > campaign.due_at:
        return _("It waits for the sending hours. They begin at %(time)s.")
    if campaign.finish_by:
        return _("It waits for its turn at %(time)s: its campaign is spread over the time it has.")
    return _("It waits for its time: %(time)s.")


def _opening(message: Message, at: datetime) -> datetime:
    return windows.earliest(message.account, message.campaign, [message.number], at)[0]


def _hours(message: Message, now: datetime) -> Waiting | None:
    opens = _opening(message, now)
    if opens <= now:
        return None
    text = _("It is outside the sending hours now. It goes out when they begin again: %s.")
    return Waiting(text % moment(opens), expected=opens)


def _phone(message: Message, now: datetime) -> Waiting | None:
    """The phone or SIM that it is meant for; what names none is asked about when a SIM put it off."""
    if not message.device and message.error_code != "sim_limit":
        return None
    device, sim = phone_of(message)
    if device is None:
        return None
    name = {"device": str(device), "seen": moment(device.last_seen) if device.last_seen else _("never")}
    if device.paused_at or (sim and sim.paused_at):
        name["paused"] = str(device if device.paused_at else sim)
        return Waiting(_("%(paused)s is paused. Resume it, or move the message to another phone.") % name, True)
    if device.gone_at:
        text = _("The provider no longer lists the phone %(device)s. Move the message to another one.")
        return Waiting(text % name, attention=True)
    if not device.enabled:
        return Waiting(_("The phone %(device)s is switched off in its app. Switch it on to send.") % name, True)
    if not device.online:
        text = _("The phone %(device)s is offline; it was last seen: %(seen)s. See whether it has power and a network.")
        return Waiting(text % name, attention=True)
    return _sim(sim, now) if sim else None


def phone_of(message: Message) -> tuple[Device | None, Sim | None]:
    """The phone and the SIM that the message names, where they are known. One query, or two."""
    if message.sim is not None:
        sims = Sim.objects.filter(device__account_id=message.account_id, device__device_id=message.device)
        if sim := sims.filter(slot=message.sim).select_related("device").first():
            return sim.device, sim
    phone = Q(device_id=message.device) if message.device else Q(primary=True)
    return Device.objects.filter(phone, account_id=message.account_id).first(), None


def _sim(sim: Sim, now: datetime) -> Waiting | None:
    limits = [(limit, seconds) for limit, seconds in ((sim.per_hour, 3600), (sim.per_day, 86400)) if limit is not None]
    if any(limit == 0 for limit, _seconds in limits):
        return Waiting(_("The SIM %s may send nothing: its limit is 0. Raise it to send.") % sim, attention=True)
    wait = Log([Rate(*limit) for limit in limits], sim.log, even=False).wait(now.timestamp(), urgent=True)
    if wait <= 0:
        return None
    free = now + timedelta(seconds=wait)
    words = {"sim": str(sim), "time": moment(free)}
    return Waiting(_("The SIM %(sim)s reached its limit. It may send again at %(time)s.") % words, expected=free)


def _credits(message: Message, now: datetime) -> Waiting | None:
    if not health.is_spent(message.account):
        return None
    words = _("The account %s has no credits left, as far as is known. Top it up at the provider.")
    return Waiting(words % message.account.name, True, at_account=True)


def _held(message: Message, now: datetime) -> Waiting | None:
    until = _held_until(message.account)
    if until is None or (until - now).total_seconds() < MOMENT:
        return None
    words = {"account": message.account.name, "time": moment(until)}
    text = _("The provider of %(account)s asked smsdash to wait. The next request goes at %(time)s.")
    return Waiting(text % words, expected=until)


def _held_until(account: ProviderAccount) -> datetime | None:
    pace = getattr(account, "pace", None)
    return datetime.fromtimestamp(pace.held_until, UTC) if pace and pace.held_until else None


def _down(message: Message, now: datetime) -> Waiting | None:
    account = message.account
    if not account.down_since:
        return None
    words = {"account": account.name, "time": moment(account.down_since), "reason": account.down_reason}
    return Waiting(_("Nothing got through to %(account)s since %(time)s, and smsdash keeps trying. %(reason)s") % words)


# --- In line -----------------------------------------------------------------------------------------


def _in_line(message: Message, now: datetime) -> Waiting:
    before = _before(message, now)
    rate, wait = _turn(message, before, now)
    expected = now + timedelta(seconds=wait) if rate or not before else None
    words = {
        "place": f"{before + 1:,}",
        "account": message.account.name,
        "time": moment(expected) if expected else "",
        "rate": str(rate),
        "counted": f"{COUNTED:,}",
    }
    reason = f" {_('The last attempt:')} {message.error_text}" if message.error_text else ""
    text = _place(before, rate, wait) % words + reason + _unwritten(message)
    return Waiting(text, expected=expected, place=before + 1 if before < COUNTED else None)


def _place(before: int, rate: Rate | None, wait: float) -> str:
    if before >= COUNTED:
        text = _("More than %(counted)s messages are before it in the queue of %(account)s.")
        later = _("It goes after %(time)s, as fast as the rate limit of %(rate)s allows.")
        return f"{text} {later}" if rate else text
    if wait > MOMENT:
        return _(
            "It is number %(place)s in the queue of %(account)s and goes at about %(time)s, "
            "as fast as the rate limit of %(rate)s allows."
        )
    if before and rate:
        return _("It is number %(place)s in the queue of %(account)s and goes in a moment.")
    if before:
        return _("It is number %(place)s in the queue of %(account)s, which has no rate limit.")
    return _("It is next in line and goes in a moment.")


def _unwritten(message: Message) -> str:
    campaign = message.campaign
    if campaign is None or campaign.complete:
        return ""
    words = {"made": f"{campaign.expanded:,}", "total": f"{campaign.total:,}"}
    return " " + _("Its campaign is still being put in the queue: %(made)s of %(total)s messages are.") % words


def _before(message: Message, now: datetime) -> int:
    """How many of the account's messages go first; no further than COUNTED. One range of the index a query."""
    queue = Message.objects.filter(account_id=message.account_id, status=S.QUEUED)
    same = queue.filter(priority=message.priority)
    ranges: Sequence[QuerySet[Message]] = (
        queue.filter(priority__gt=message.priority, due_at__lte=now),
        same.filter(due_at__lt=message.due_at),
        same.filter(due_at=message.due_at, pk__lt=message.pk),
    )
    n = 0
    for found in ranges[1:] if message.priority else ranges:
        n += found.order_by()[: COUNTED - n].count() if n < COUNTED else 0
    return n


def _turn(message: Message, before: int, now: datetime) -> tuple[Rate | None, float]:
    """The rate limit that holds it longest, and the seconds until its request may leave."""
    account, kind = message.account, message.account.kind_class
    if not account.windows:
        return None, 0.0
    pace = getattr(account, "pace", None)
    log = Log(account.windows, pace.log if pace else "")
    request = before // min(kind.max_batch, message.batch_limit or kind.max_batch) + 1
    waits = {rate: wait_of(log, rate, request, now.timestamp(), urgent=bool(message.priority)) for rate in log.rates}
    slowest = max(waits, key=lambda rate: waits[rate])
    return slowest, waits[slowest]


def wait_of(log: Log, rate: Rate, request: int, now: float, *, urgent: bool = False) -> float:
    """Seconds until ``rate`` lets the n-th request from now leave, when all of them leave as early as they may."""
    shortest = rate is log.rates[0]
    limit = rate.limit - (0 if urgent or shortest else rate.limit // 50)
    cycles, before = divmod(request - 1, limit)
    taken = [used for used in log.windows[rate.seconds] if used.last + rate.seconds > now]
    surplus = sum(used.n for used in taken) + before + 1 - limit
    wait = 0.0
    for used in taken:
        if surplus <= 0:
            break
        surplus -= used.n
        wait = used.last + rate.seconds - now
    even = 0.0
    if log.even and shortest and not urgent:
        ahead = max(log.next_at, now) - now
        even = ahead + (request - 1 - pacing.burst(rate)) * pacing.interval(rate)
    return max(0.0, wait + cycles * rate.seconds, even)


# --- After it left -----------------------------------------------------------------------------------


def _sending(message: Message, now: datetime) -> Waiting:
    return Waiting(_("The request is on its way to the provider."), expected=now)


def _sent(message: Message, now: datetime) -> Waiting:
    if not tells_the_end(message.account):
        return Waiting(_("“Sent” is the last thing this provider can tell: it posts no delivery reports."))
    if message.error_code == polling.NO_REPORT:
        return Waiting(message.error_text)
    if message.poll_at:
        asked = _("It waits for the delivery report. smsdash asks for it at %s.")
        return Waiting(asked % moment(message.poll_at), expected=message.poll_at)
    return Waiting(_("It waits for the delivery report."))


def _uncertain(message: Message, now: datetime) -> Waiting:
    if message.poll_at:
        text = _("Nobody can tell yet whether the provider took it. smsdash asks the provider at %s.")
        return Waiting(text % moment(message.poll_at), expected=message.poll_at)
    if message.error_code == inquiry.OPEN:
        return Waiting(message.error_text, attention=True)
    text = _(
        "Nobody can tell whether the provider took it. Look at the provider's pages, "
        "then count the message as sent or send it again."
    )
    return Waiting(text, attention=True)


Reason = Callable[[Message, datetime], Waiting | None]
_REASONS: Sequence[Reason] = (
    _in_the_air, _campaign, _account, _no_worker, _attachment, _not_yet, _hours, _phone, _credits, _held, _down,
    _in_line,
)  # fmt: skip
_BY_STATUS: Mapping[Status, Callable[[Message, datetime], Waiting]] = {
    S.SCHEDULED: _unsent,
    S.QUEUED: _unsent,
    S.SENDING: _sending,
    S.SENT: _sent,
    S.UNCERTAIN: _uncertain,
}


def moment(at: datetime) -> str:
    """A time in a sentence: to the second where it is close, with its day where that is another one."""
    local = timezone.localtime(at)
    if abs(at - timezone.now()) < CLOSE:
        return date_format(local, "H:i:s")
    if local.date() == timezone.localdate():
        return date_format(local, "H:i")
    return date_format(local, "j F Y, H:i")
