"""Traces as an exchange keeps them: small, because there is one for each request."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from .models import Exchange, ProviderAccount
from .redaction import Redactor, spellings
from .transport import url_of
from .types import Request, Trace

log = logging.getLogger(__name__)

TOLD = ("content-type", "user-agent")  # headers of a post to us that say how to read it
NAMES = ("method", "url", "request_headers", "request_body", "reply_headers", "reply_body")
# what nearly every trace holds, so that it need not be kept again
_USUAL = json.dumps(
    {
        "method": "POST",
        "url": "https://",
        "request_headers": {
            "authorization": "\u2022\u2022\u2022",
            "content-type": "application/x-www-form-urlencoded; charset=utf-8",
            "accept": "application/json",
        },
        "request_body": "",
        "reply_headers": {
            "server": "nginx",
            "date": "Mon, 01 Jan 2026 00:00:00 GMT",
            "connection": "keep-alive",
            "content-length": "",
            "content-type": "application/json; charset=utf-8",
            "x-ratelimit-limit": "10",
            "x-ratelimit-remaining": "9",
            "x-ratelimit-reset": "1",
            "vary": "Accept-Encoding",
            "cache-control": "no-cache",
        },
        "reply_body": '{"success": true, "message_id": "", "status": "queued", "data": {}, "error": null}',
    },
    ensure_ascii=False,
    separators=(",", ":"),
).encode()


def pack(trace: Trace) -> bytes:
    data = {name: getattr(trace, name) for name in NAMES}
    data["request_headers"], data["reply_headers"] = dict(trace.request_headers), dict(trace.reply_headers)
    press = zlib.compressobj(6, zdict=_USUAL)
    return press.compress(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) + press.flush()


def unpack(exchange: Exchange) -> Trace | None:
    """None: the worker stopped before there was anything to keep."""
    if not exchange.trace:
        return None
    data = json.loads(zlib.decompressobj(zdict=_USUAL).decompress(bytes(exchange.trace)))
    return Trace(
        verb=exchange.verb,
        at=exchange.at,
        seconds=exchange.milliseconds / 1000,
        status=exchange.status,
        error=exchange.error,
        **data,
    )


def complete(exchange: Exchange, trace: Trace) -> Exchange:
    """Fill the row of a call that is over. Saves nothing."""
    exchange.open, exchange.refs = False, []
    exchange.verb, exchange.at = trace.verb, trace.at
    exchange.status, exchange.milliseconds, exchange.error = trace.status, round(trace.seconds * 1000), trace.error
    exchange.trace = pack(trace)
    return exchange


def keep(account: ProviderAccount, found: Sequence[Trace]) -> None:
    """Keep calls that handed nothing over. What cannot be kept never stops the work."""
    try:
        for trace in found:
            complete(Exchange(account=account), trace).save()
    except (DatabaseError, ValueError):
        log.exception("The exchange with %s could not be kept", account)


def keep_post(account: ProviderAccount, request: Request, status: int, error: str = "") -> int | None:
    """Keep what a provider posted to us, as it came but for secrets; the exchange's id, None if it cannot be kept."""
    adapter = account.adapter()
    hide = Redactor([*spellings([account.callback_token]), *adapter.secrets])
    trace = Trace(
        verb="callback",
        method=request.method,
        url=hide(url_of(account.callback_url, request)),
        request_headers={name: hide.header(name, value) for name, value in request.headers.items() if name in TOLD},
        request_body=hide.body(request.body),
        at=timezone.now(),
        seconds=0.0,
        status=status,
        error=error,
    )
    try:
        with transaction.atomic():
            row = complete(Exchange(account=account), trace)
            row.save()
        return row.pk
    except (DatabaseError, ValueError):
        log.exception("What was posted for %s could not be kept", account)
        return None


def open_for(account_id: int, verb: str, refs: Sequence[Sequence[int]]) -> list[int]:
    """Make an open exchange for each request that is about to leave, in one statement. Their ids, in that order."""
    if not refs:
        return []
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    values = [(account_id, now, verb, json.dumps(list(ids), separators=(",", ":"))) for ids in refs]
    row = f"(%s, %s, %s, TRUE, {'%s::jsonb' if connection.vendor == 'postgresql' else '%s'}, 0, '', '')"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO providers_exchange (account_id, at, verb, open, refs, milliseconds, error, trace) VALUES "
            f"{', '.join([row] * len(values))} RETURNING id",
            [value for row in values for value in row],
        )
        return sorted(made for (made,) in cursor.fetchall())


def close(rows: Sequence[tuple[int, Trace | None]]) -> set[int]:
    """Complete the exchanges of these ids in one statement. No trace: only that they are over.

    Returns the ids of those that were open: others were closed by somebody who thought their worker dead.
    """
    values = {pk: (pk, *_columns(trace)) for pk, trace in rows}
    if connection.vendor != "postgresql":
        ours = set(Exchange.objects.filter(pk__in=values, open=True).values_list("pk", flat=True))
        with connection.cursor() as cursor:
            cursor.executemany(_CLOSE_ONE, [(*rest, pk) for pk, *rest in values.values()])
        return ours
    ours = _close_all(values.values(), " AND e.open")
    if len(ours) < len(values):
        _close_all([row for pk, row in values.items() if pk not in ours])
    return ours


def _close_all(values: Iterable[Sequence[Any]], condition: str = "") -> set[int]:
    columns = [list(column) for column in zip(*values, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(f"{_CLOSE_ALL}{condition} RETURNING e.id", columns)
        return {pk for (pk,) in cursor.fetchall()}


def _columns(trace: Trace | None) -> tuple[int | None, int, str, bytes]:
    if trace is None:
        return None, 0, "", b""
    return trace.status, round(trace.seconds * 1000), trace.error, pack(trace)


_CLOSE_ONE = (
    "UPDATE providers_exchange SET status = %s, milliseconds = %s, error = %s, trace = %s, open = FALSE, refs = '[]' "
    "WHERE id = %s"
)
_CLOSE_ALL = (
    "UPDATE providers_exchange AS e SET status = c.status, milliseconds = c.milliseconds, error = c.error, "
    "trace = c.trace, open = FALSE, refs = '[]' "
    "FROM unnest(%s::bigint[], %s::smallint[], %s::integer[], %s::text[], %s::bytea[]) "
    "AS c(id, status, milliseconds, error, trace) WHERE e.id = c.id"
)
