"""A message's life in sentences: what happened when, and what was said on the wire."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from providers import traces
from providers.models import Exchange
from providers.types import Status

from . import inquiry, parking
from .ledger import FINAL
from .models import STATUSES, Attempt, DeliveryReport, Message

S = Status
SHOWN = 20  # attempts, the newest
WORDS = dict(STATUSES)

SENTENCES: Mapping[str, str | Promise] = {
    S.SENT: gettext_lazy("It was passed on to the network."),
    S.DELIVERED: gettext_lazy("It reached the phone."),
    S.FAILED: gettext_lazy("It could not be delivered."),
    S.EXPIRED: gettext_lazy("The network gave up: the phone was not reached in time."),
    S.CANCELED: gettext_lazy("It was taken back before it left."),
    S.UNCERTAIN: gettext_lazy(
        "Nobody can tell whether the provider took it, so it is not sent again by itself. "
        "Ask the provider, then count it as sent, or send it again if it did not arrive."
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
    """One line of the timeline. ``code``: the provider's own word. ``at`` None: the time is not known.
    ``exchange``: what was said on the wire; ``gone``: it is not kept any more."""

    at: datetime | None
    title: str | Promise
    text: str | Promise = ""
    code: str = ""
    tone: str = ""
    exchange: int | None = None
    gone: bool = False


def steps(
    message: Message,
    reports: Sequence[DeliveryReport],
    attempts: Sequence[Attempt],
    exchanges: Mapping[int, Exchange],
) -> list[Step]:
    """What is known to have happened, in order. ``message`` comes with its account and campaign, ``attempts`` with
    their accounts; ``exchanges`` by id are those that are still kept.

    Reports are sorted among themselves only: the provider's clock is not ours.
    """
    if message.status == S.RECEIVED:
        return list(_received(message))
    told = [_report(report) for report in sorted(reports, key=lambda report: report.at or report.seen_at)]
    handed = [*(_attempt(attempt, exchanges) for attempt in attempts[-SHOWN:]), *_last(message, attempts, exchanges)]
    tried = _after_more(handed) if len(attempts) > SHOWN else _numbered(handed)
    return [*_before(message), *tried, *_found_out(message, attempts), *told, *_end(message, reports, attempts)]


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
    scheduled = message.status == S.SCHEDULED and message.due_at < parking.BEYOND
    if scheduled:
        due = message.due_at
    if scheduled or (campaign and due > message.created_at):
        yield Step(due, _("Scheduled for this time"))


def _attempt(attempt: Attempt, exchanges: Mapping[int, Exchange]) -> Step:
    """A hand-over that settled nothing."""
    title = _("Tried through %(account)s") % {"account": attempt.account.name}
    known = attempt.exchange in exchanges
    gone = attempt.exchange is not None and not known
    shown = attempt.exchange if known else None
    return Step(attempt.at, title, attempt.error_text, attempt.error_code, "warn", shown, gone)


def _last(message: Message, attempts: Sequence[Attempt], exchanges: Mapping[int, Exchange]) -> Iterator[Step]:
    """The hand-over that settled it, which is no attempt."""
    exchange = exchanges.get(message.exchange) if message.exchange else None
    at = exchange.at if exchange else message.sent_at
    if _is_attempt(message.exchange, attempts) or (at is None and message.exchange is None):
        return
    title = _("Handed over to %(account)s") % {"account": message.account.name}
    code = f"HTTP {exchange.status}" if exchange and exchange.status else ""
    text = _("The provider took it.") if message.sent_at else exchange.error if exchange else ""
    gone = message.exchange is not None and exchange is None
    yield Step(at, title, text, code, exchange=exchange.pk if exchange else None, gone=gone)


def _found_out(message: Message, attempts: Sequence[Attempt]) -> Iterator[Step]:
    """What nobody could tell at first."""
    if message.sent_at and _is_attempt(message.exchange, attempts):
        yield Step(message.sent_at, _("The provider took it"), "", message.provider_status, "ok")


def _is_attempt(exchange: int | None, attempts: Sequence[Attempt]) -> bool:
    return exchange is not None and exchange in {attempt.exchange for attempt in attempts}


def _numbered(handed: Sequence[Step]) -> Sequence[Step]:
    if len(handed) < 2:
        return handed
    words = _("%(title)s, attempt %(n)d")
    return [replace(step, title=words % {"title": step.title, "n": n}) for n, step in enumerate(handed, 1)]


def _after_more(handed: Sequence[Step]) -> Sequence[Step]:
    return [Step(None, _("Earlier attempts"), _("They are not shown here: there are too many.")), *handed]


def _report(report: DeliveryReport) -> Step:
    return Step(
        report.at or report.seen_at,
        WORDS.get(report.status, _("Unknown status")),
        report.error_text or SENTENCES.get(report.status, ""),
        " · ".join(dict.fromkeys(filter(None, (report.raw_status, report.error_code)))),
        TONES.get(report.status, ""),
    )


def _end(message: Message, reports: Sequence[DeliveryReport], attempts: Sequence[Attempt]) -> Iterator[Step]:
    """The state that no report has told of."""
    told = {report.status for report in reports}
    if message.status in told or message.status not in FINAL | {S.UNCERTAIN}:
        return
    text = message.error_text or SENTENCES.get(message.status, "")
    if message.status == S.UNCERTAIN:
        told_above = attempts and attempts[-1].error_text == message.error_text
        reason = "" if told_above else message.error_text
        text = f"{reason} {'' if message.error_code in inquiry.ASKED else SENTENCES[S.UNCERTAIN]}".strip()
    code = "" if message.status == S.CANCELED else message.error_code
    yield Step(message.done_at, WORDS[message.status], text, code, TONES.get(message.status, ""))


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
