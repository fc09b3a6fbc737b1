"""A message's life in sentences: what happened when, why it waits, and what was said on the wire."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from providers import registry, traces
from providers.models import Exchange, ProviderAccount
from providers.types import Feature, Status

from .ledger import FINAL
from .models import STATUSES, DeliveryReport, Message

S = Status
WORDS = dict(STATUSES)

SENTENCES: Mapping[str, str | Promise] = {
    S.SENT: gettext_lazy("It was passed on to the network."),
    S.DELIVERED: gettext_lazy("It reached the phone."),
    S.FAILED: gettext_lazy("It could not be delivered."),
    S.EXPIRED: gettext_lazy("The network gave up: the phone was not reached in time."),
    S.CANCELED: gettext_lazy("It was taken back before it left."),
    S.UNCERTAIN: gettext_lazy(
        "Nobody can tell whether the provider took it, so it is not sent again by itself. "
        "Ask the provider, or write a new message if it did not arrive."
    ),
    S.UNKNOWN: gettext_lazy("smsdash does not know this word of the provider; the message stays as it is."),
}
TONES: Mapping[str, str] = {
    S.DELIVERED: "ok",
    S.FAILED: "bad",
    S.EXPIRED: "warn",
    S.UNCERTAIN: "warn",
    S.UNKNOWN: "warn",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline. ``code``: the provider's own word. ``at`` None: the time is not known."""

    at: datetime | None
    title: str | Promise
    text: str | Promise = ""
    code: str = ""
    tone: str = ""


def steps(message: Message, reports: Sequence[DeliveryReport], exchange: Exchange | None) -> list[Step]:
    """What is known to have happened, in order. ``message`` comes with its account and campaign.

    Reports are sorted among themselves only: the provider's clock is not ours.
    """
    if message.status == S.RECEIVED:
        return list(_received(message))
    told = [_report(report) for report in sorted(reports, key=lambda report: report.at or report.seen_at)]
    return [*_before(message), *_handing_over(message, exchange), *told, *_end(message, reports)]


def _received(message: Message) -> Iterator[Step]:
    account = {"account": message.account.name}
    if message.sent_at:
        yield Step(message.sent_at, _("Received by the provider"), _("It came in at %(account)s.") % account)
    yield Step(message.created_at, _("Received here"), _("The provider posted it to smsdash."), tone="ok")


def _before(message: Message) -> Iterator[Step]:
    campaign = message.campaign
    author = campaign.created_by if campaign else None
    yield Step(message.created_at, _("Accepted"), _("Written by %(user)s.") % {"user": author} if author else "")
    due = campaign.due_at if campaign else message.due_at
    if message.status == S.SCHEDULED:
        due = message.due_at
    if message.status == S.SCHEDULED or (campaign and due > message.created_at):
        yield Step(due, _("Scheduled for this time"))


def _handing_over(message: Message, exchange: Exchange | None) -> Iterator[Step]:
    """The last attempt; earlier ones are counted."""
    at = exchange.at if exchange else message.sent_at
    if at is None:
        return
    title = _("Handed over to %(account)s") % {"account": message.account.name}
    if message.attempts > 1:
        title = _("%(title)s, attempt %(n)d") % {"title": title, "n": message.attempts}
    code = f"HTTP {exchange.status}" if exchange and exchange.status else ""
    if message.sent_at:
        yield Step(at, title, _("The provider took it."), code)
    elif exchange and message.status in (S.QUEUED, S.SCHEDULED):
        yield Step(at, title, message.error_text or exchange.error, message.error_code or code, "warn")
    else:
        yield Step(at, title, exchange.error if exchange else "", code)


def _report(report: DeliveryReport) -> Step:
    return Step(
        report.at or report.seen_at,
        WORDS.get(report.status, _("Unknown status")),
        report.error_text or SENTENCES.get(report.status, ""),
        " · ".join(dict.fromkeys(filter(None, (report.raw_status, report.error_code)))),
        TONES.get(report.status, ""),
    )


def _end(message: Message, reports: Sequence[DeliveryReport]) -> Iterator[Step]:
    """The state that no report has told of."""
    told = {report.status for report in reports}
    if message.status in told or message.status not in FINAL | {S.UNCERTAIN}:
        return
    text = message.error_text or SENTENCES.get(message.status, "")
    if message.status == S.UNCERTAIN and message.error_text:
        text = f"{message.error_text} {SENTENCES[S.UNCERTAIN]}"
    code = "" if message.status == S.CANCELED else message.error_code
    yield Step(message.done_at, WORDS[message.status], text, code, TONES.get(message.status, ""))


# --- What comes next ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the message waits for. ``attention``: it goes on only if a person does something."""

    text: str
    attention: bool = False


def outlook(message: Message) -> Outlook | None:
    """Why the message is where it is, or None where its end is known."""
    describe = _OUTLOOKS.get(Status(message.status))
    return describe(message) if describe else None


def _scheduled(message: Message) -> Outlook:
    text = _("It waits for its time: %(time)s.") % {"time": _time(message.due_at)}
    return _held_by(message.account) or Outlook(text)


def _queued(message: Message) -> Outlook:
    if held := _held_by(message.account):
        return held
    if message.due_at > timezone.now():
        values = {"time": _time(message.due_at), "reason": message.error_text or _("The last attempt did not get out.")}
        return Outlook(_("It is tried again at %(time)s. %(reason)s") % values)
    if message.error_text:
        return Outlook(_("It goes out as soon as the account sends again. %(reason)s") % {"reason": message.error_text})
    return Outlook(_("It is next in line: it leaves as soon as the account's rate limit has a place for it."))


def _held_by(account: ProviderAccount) -> Outlook | None:
    name = {"account": account.name}
    if not account.enabled:
        return Outlook(_("The account %(account)s is switched off. Switch it on to send.") % name, attention=True)
    if account.paused_reason:
        values = {**name, "reason": account.paused_reason}
        return Outlook(_("The account %(account)s is paused: %(reason)s") % values, attention=True)
    return None


def _sending(message: Message) -> Outlook:
    return Outlook(_("The request is on its way to the provider."))


def _sent(message: Message) -> Outlook:
    if not tells_the_end(message.account):
        return Outlook(_("“Sent” is the last thing this provider can tell: it posts no delivery reports."))
    if message.poll_at:
        values = {"time": _time(message.poll_at)}
        return Outlook(_("It waits for the delivery report. smsdash asks for it at %(time)s.") % values)
    return Outlook(_("It waits for the delivery report."))


_OUTLOOKS = {S.SCHEDULED: _scheduled, S.QUEUED: _queued, S.SENDING: _sending, S.SENT: _sent}


def tells_the_end(account: ProviderAccount) -> bool:
    """Does the account's kind say more than that a message was sent?"""
    if account.kind not in registry.kinds():
        return False
    kind = account.kind_class
    return Feature.REPORTS in kind.supports or kind.poll_after is not None


def is_settled(message: Message) -> bool:
    """Nothing more is to be learnt, so the page need not look again."""
    return message.status in FINAL or (message.status == S.SENT and not tells_the_end(message.account))


def _time(moment: datetime) -> str:
    local = timezone.localtime(moment)
    if local.date() == timezone.localdate():
        return date_format(local, "H:i:s")
    return date_format(local, "j F Y, H:i")


# --- The wire ----------------------------------------------------------------------------------------


def request_text(exchange: Exchange) -> str:
    trace = traces.unpack(exchange)
    return _http(f"{trace.method} {trace.url}", trace.request_headers, trace.request_body) if trace else ""


def reply_text(exchange: Exchange) -> str:
    """Empty: there was no answer."""
    trace = traces.unpack(exchange)
    if trace is None or trace.status is None:
        return ""
    return _http(f"HTTP {trace.status}", trace.reply_headers, trace.reply_body)


def _http(first: str, headers: Mapping[str, str], body: str) -> str:
    head = [first, *(f"{name}: {value}" for name, value in headers.items())]
    return "\n".join([*head, "", body] if body else head)


def as_curl(exchange: Exchange) -> str:
    """The request as a shell command. Secrets are still cut out."""
    trace = traces.unpack(exchange)
    if trace is None:
        return ""
    lines = [f"curl -X {trace.method} {shlex.quote(trace.url)}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in trace.request_headers.items()]
    if trace.request_body:
        lines.append(f"--data-raw {shlex.quote(trace.request_body)}")
    return " \\\n  ".join(lines)
