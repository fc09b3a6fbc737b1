"""Links of MMS, out and in: a worker looks at each before it is handed on or shown.

An outgoing message waits until all of its links are good, and fails when one is refused (admission.py); a server that
is down is tried again for a while. What was found is believed for a day, a refusal for a minute: who mends a file
need not wait.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from providers import guard
from providers.models import AllowedHost

from . import media, thumbnails, wakeup
from .media import Away, Media, Unfit
from .models import Attachment

log = logging.getLogger(__name__)

State = Attachment.State
CODE = "attachment"  # of messages that wait for a link, or failed by one
GOOD_FOR, REFUSED_FOR = timedelta(days=1), timedelta(minutes=1)
AGAIN = (5, 30, 120, 600, 1800)  # seconds until the next look at a server that is away; then it is refused
CLAIM = timedelta(seconds=40)  # longer than a look takes
SOON = timedelta(seconds=0.5)  # until a message asks again for what is being looked at
AT_ONCE = 8  # links
SECONDS = 20.0  # that a run takes up links for
LOCK = "messaging-attachments"


# --- What is known ---------------------------------------------------------------------------------------


def want(links: Iterable[str]) -> dict[str, Attachment]:
    """What is known of each link. What is not, or not of late, is looked at as soon as this transaction is through."""
    named = {_hash(link): link for link in links}
    rows = _known(named)
    missing = sorted(named.keys() - rows.keys())  # in order: no deadlock
    if missing:
        new = [Attachment(link=named[name], link_hash=name) for name in missing]
        Attachment.objects.bulk_create(new, ignore_conflicts=True)
        rows |= _known(missing)
    old = _forget([row.pk for row in rows.values() if _is_old(row)])
    if missing or old:
        wakeup.attachments()
    for row in rows.values():
        row.state = State.WAITING if row.pk in old else row.state
    return {link: rows[name] for name, link in named.items()}


def known(links: Iterable[str]) -> dict[str, Attachment]:
    """Without those that nobody asked for yet. One query, if any."""
    named = {_hash(link): link for link in links}
    return {named[name]: row for name, row in _known(named).items()} if named else {}


def opens(link: object) -> bool:
    """Whether it is an address that may be opened at all."""
    return str(link).lower().startswith(("http://", "https://"))


def plainly_wrong(link: str) -> str:
    """What can be said against a link without calling anybody; the worker does the rest. Empty: nothing."""
    parts = urlsplit(link)
    if parts.username is not None or parts.password is not None:
        return _("Leave the name and the password out of the link.")
    host = guard.host_name(parts.hostname or "")
    private = host == "localhost" or (_is_address(host) and not guard.is_public(host))
    if private and not AllowedHost.objects.filter(name=host).exists():
        return str(guard.PrivateHost(host))
    return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _known(hashes: Iterable[str]) -> dict[str, Attachment]:
    found = Attachment.objects.filter(link_hash__in=list(hashes)).defer("thumbnail")
    return {row.link_hash: row for row in found}


def _hash(link: str) -> str:
    return hashlib.sha256(link.encode()).hexdigest()


def _is_old(row: Attachment) -> bool:
    last = {State.GOOD.value: GOOD_FOR, State.REFUSED.value: REFUSED_FOR}.get(row.state)
    return bool(last and row.checked_at and row.checked_at < timezone.now() - last)


def _forget(ids: Sequence[int]) -> set[int]:
    """They are to be looked at once more. Whatever somebody else has in hand is left to them."""
    if not ids:
        return set()
    rows = Attachment.objects.filter(pk__in=ids).exclude(state=State.WAITING).order_by("pk")
    free = list(rows.select_for_update(no_key=True, skip_locked=True).values_list("pk", flat=True))
    Attachment.objects.filter(pk__in=free).update(state=State.WAITING, tries=0, next_at=timezone.now(), reason="")
    return set(free)


# --- What it means for a message ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Against:
    """Why a message may not leave: for good, or (``until``) for now."""

    sentence: str
    until: datetime | None = None


def against(carried: Mapping[int, Sequence[str]]) -> dict[int, Against]:
    """What stands against messages with these links, by their ids; they are looked at if they were not."""
    rows = want({link for links in carried.values() for link in links})
    found = {pk: judge([rows[link] for link in links]) for pk, links in carried.items()}
    return {pk: reason for pk, reason in found.items() if reason}


def waits(links: Sequence[object]) -> Against | None:
    """Why a message with these links has to wait just now, if that is so. Reads only."""
    found = known(map(str, links))
    if len(found) < len(set(map(str, links))):
        return Against(_("Its attachment is being checked."), timezone.now())
    reason = judge(list(found.values()))
    return reason if reason and reason.until else None


def judge(rows: Sequence[Attachment]) -> Against | None:
    for row in rows:
        if row.state == State.REFUSED:
            return Against(_("An attachment was refused. %s") % row.reason)
    waiting = [row for row in rows if row.state == State.WAITING]
    if not waiting:
        return None
    now = timezone.now()
    away = [row for row in waiting if row.tries]
    if not away:
        return Against(_("Its attachment is being checked."), now + SOON)
    last = max(away, key=lambda row: row.next_at)
    words = _("Its attachment could not be checked yet: %s It is tried again.")
    return Against(words % last.reason, max(now, last.next_at) + SOON)


# --- Looking -------------------------------------------------------------------------------------------------


def due() -> list[int]:
    """Of the links that are to be looked at now, one."""
    return list(_due().values_list("pk", flat=True)[:1])


def _due() -> QuerySet[Attachment]:
    return Attachment.objects.filter(state=State.WAITING, next_at__lte=timezone.now()).order_by("next_at")


def work(seconds: float = SECONDS) -> None:
    """Look at what is due, several at once, and at what becomes due meanwhile. One run at a time, so that slow servers
    keep one worker busy and not all."""
    if not cache.add(LOCK, True, CLAIM.total_seconds()):
        return
    try:
        _run(time.monotonic() + seconds)
    finally:
        cache.delete(LOCK)
    if due():
        wakeup.attachments()


def _run(end: float) -> None:
    flying: dict[Future[Media], Attachment] = {}
    with guard.session(AT_ONCE) as calls, ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            while len(flying) < AT_ONCE and time.monotonic() < end and (row := _claim()):
                flying[pool.submit(media.fetch, calls, row.link, settings.SMSDASH_MMS_MAX_BYTES)] = row
            if not flying:
                return
            for done in wait(flying, timeout=1.0, return_when=FIRST_COMPLETED).done:
                _settle(flying.pop(done), done)


def _claim() -> Attachment | None:
    """The next that is due, for this worker alone. Whoever dies with it leaves it to others, a while later."""
    for row in _due().defer("thumbnail")[:AT_ONCE]:
        mine = Attachment.objects.filter(pk=row.pk, state=State.WAITING, next_at=row.next_at)
        if mine.update(next_at=timezone.now() + CLAIM):
            return row
    return None


def _settle(row: Attachment, done: Future[Media]) -> None:
    try:
        found = done.result()
        picture = thumbnails.draw(found.body) if found.type in media.PICTURES else b""
    except Unfit as error:
        _refuse(row, str(error))
    except Away as error:
        _put_off(row, str(error))
    except Exception:  # a bug of ours, or a file that nobody thought of: it must not wait for ever
        log.exception("Attachment %s could not be looked at", row.pk)
        _put_off(row, _("It could not be read."))
    else:
        _write(row, state=State.GOOD, type=found.type, size=len(found.body), thumbnail=picture, reason="")


def _put_off(row: Attachment, reason: str) -> None:
    if row.tries >= len(AGAIN):
        _refuse(row, reason)
        return
    next_at = timezone.now() + timedelta(seconds=AGAIN[row.tries])
    _here(row).update(tries=F("tries") + 1, next_at=next_at, reason=reason[:300])


def _refuse(row: Attachment, reason: str) -> None:
    _write(row, state=State.REFUSED, reason=reason[:300])


def _write(row: Attachment, **values: object) -> None:
    _here(row).update(checked_at=timezone.now(), **values)


def _here(row: Attachment) -> QuerySet[Attachment]:
    return Attachment.objects.filter(pk=row.pk, state=State.WAITING)
