"""Posts what the carrier has to tell: delivery reports, received messages, USSD answers.

One agent runs beside the web server (``manage.py sandbox_carrier``). Each ``tick`` reads what is due, posts it over
a few threads, and writes all results in a handful of statements; no transaction is open while it talks. A callback
that cannot be reached is tried again, later and later, for about an hour. Killed between a post and its write, the
agent posts that one twice, as carriers do.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from providers import registry
from providers.types import Event, Inbound, MessageType, Report, Request, Status, UssdReply

from .models import Message, Posting, UssdRequest
from .outcomes import fate

logger = logging.getLogger(__name__)

BATCH = 200  # rows in a tick
THREADS = 8
TIMEOUT = 5.0  # seconds
ANSWER_READ = 65_536  # bytes of a callback's answer; nobody looks at them
FIRST_RETRY = 0.5  # seconds; doubles each time
RETRIES = 13  # about 68 minutes in all

Done = tuple[Posting, bool]  # a row, and whether what it had to tell is told (or never will be)


def tick(now: datetime | None = None) -> int:
    """Post what is due at ``now``; the number of rows that were dealt with, at most BATCH of each kind of row."""
    now = now or timezone.now()
    rows: list[Posting] = []
    for model in (Message, UssdRequest):
        rows += model.objects.filter(next_at__lte=now).select_related("account").order_by("next_at")[:BATCH]
    post(rows, now)
    return len(rows)


def post(rows: Sequence[Posting], now: datetime | None = None) -> None:
    """Post the present step of each row, whether due or not, and set the next one."""
    unreachable: set[str] = set()  # callbacks that do not answer hold up a tick once, not once a row
    told = _pool().map(lambda row: (row, _tell(row, unreachable)), rows)
    _record(list(told), now or timezone.now())


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="sandbox-post")


@cache
def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
    return session


def _tell(row: Posting, unreachable: set[str]) -> bool:
    request = registry.dialect(row.account.kind).write_event(event(row), row.account.webhook_secret)
    if request is None or not _allowed(row.url):  # no such event on this wire, or nobody we may post to
        return True
    if row.url in unreachable:
        return False
    try:
        status = _send(row.url, request)
    except (requests.ConnectionError, requests.Timeout):
        unreachable.add(row.url)
        return False
    except (requests.RequestException, UnicodeError) as error:
        logger.warning("Nothing can be posted to the callback of %s: %s", row.account, error)
        return True
    return status < 500 and status != 429


def _send(url: str, request: Request) -> int:
    with _session().request(
        request.method,
        url + request.path,
        params=list(request.query),
        data=request.body,
        headers=dict(request.headers),
        timeout=TIMEOUT,
        allow_redirects=False,
        stream=True,
    ) as response:
        response.raw.read(ANSWER_READ)  # to the end, so that the connection can be used again
        return response.status_code


def _allowed(url: str) -> bool:
    """Only this machine and this installation: anybody may use the sandbox, so it must not post into a network."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in _hosts() or _loopback(host)


def _hosts() -> set[str]:
    ours = urlsplit(getattr(settings, "SMSDASH_PUBLIC_URL", "")).hostname or ""
    return {"localhost", ours, *getattr(settings, "SANDBOX_CALLBACK_HOSTS", ())} - {""}


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def event(row: Posting) -> Event:
    """What the present step of a row tells."""
    if isinstance(row, UssdRequest):
        return UssdReply(row.code, row.response, row.device, row.sim, str(row.pk), row.starts_at)
    assert isinstance(row, Message)
    return _inbound(row) if row.received else _report(row)


def _inbound(row: Message) -> Inbound:
    return Inbound(
        provider_id=str(row.pk),
        number=row.number,
        text=row.text,
        to=row.sender,
        type=MessageType(row.type),
        attachments=tuple(row.attachments),
        device=row.device,
        sim=row.sim,
        received_at=row.starts_at,
        stored_at=row.starts_at,
    )


def _report(row: Message) -> Report:
    plan = fate(row.fate)
    step = plan.reports[row.step]
    return Report(
        provider_id=str(row.pk),
        status=step.status,
        number=row.number,
        problem=plan.problem if step.status in (Status.FAILED, Status.EXPIRED) else None,
        at=row.starts_at + timedelta(seconds=step.after),
    )


def _record(told: Iterable[Done], now: datetime) -> None:
    """One statement for all rows that go on alike."""
    ahead: dict[tuple[type[Posting], float | None], list[int]] = defaultdict(list)
    again: dict[tuple[type[Posting], int], list[int]] = defaultdict(list)
    for row, done in told:
        if done or row.attempts >= RETRIES:
            rest = row.delays[row.step + 1 :]
            ahead[type(row), rest[0] if rest else None].append(row.pk)
        else:
            again[type(row), row.attempts].append(row.pk)
    for (model, delay), ids in ahead.items():
        next_at = None if delay is None else F("starts_at") + timedelta(seconds=delay)
        model.objects.filter(pk__in=ids).update(step=F("step") + 1, attempts=0, next_at=next_at)
    for (model, attempts), ids in again.items():
        wait = timedelta(seconds=FIRST_RETRY * 2**attempts)
        model.objects.filter(pk__in=ids).update(attempts=F("attempts") + 1, next_at=now + wait)
