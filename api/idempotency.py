"""The same POST twice, done once: ``Idempotency-Key``, for our own API and for the wires of others.

What the request does and its answer are written in one transaction, so a crash leaves neither, and who comes while the
first is still at work waits for it: on PostgreSQL for its row in the unique index, on SQLite for the lock on writing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from providers import errors

from .models import Answered, ApiKey

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = timedelta(days=3)
Before = Callable[[], None]
REUSED, INVALID = "idempotency_key_reused", "invalid_idempotency_key"  # codes of an InvalidRequest
_NAME = re.compile(r"[\x21-\x7e]{1,255}")
_REPEATED = ("content-type", "location")


def once(
    key: ApiKey, request: HttpRequest, body: bytes, do: Callable[[], HttpResponse], before: Before | None = None
) -> HttpResponse:
    """Answer with what ``do`` answers; to a POST whose Idempotency-Key this API key has used, with what was said then.

    ``do`` runs in a transaction, and ``before`` before it, unless the answer is there: it may ask the network. An error
    (status 400 and up, or an exception) takes back what was written and is not kept: nothing was done, so the request
    may come again. Raises InvalidRequest, with REUSED when another request had the same name.
    """
    before = before or (lambda: None)
    name = request.headers.get(HEADER)
    if name is None or request.method != "POST":
        before()
        return do()
    if not _NAME.fullmatch(name):
        raise errors.InvalidRequest(
            f"“{HEADER}” takes 1 to 255 letters, digits and signs without spaces.", code=INVALID
        )
    asked = _asked(request, body)
    if known := Answered.objects.filter(key=key, name=name).first():
        return _again(known, asked)
    before()
    with transaction.atomic():
        row = _begin(key, name, asked)
        if row is None:
            return _again(Answered.objects.get(key=key, name=name), asked)
        response = do()
        if response.status_code >= 400:
            transaction.set_rollback(True)
            return response
        _keep(row, response)
    return response


def outdated(now: datetime) -> QuerySet[Answered]:
    """What is to be deleted, oldest first."""
    return Answered.objects.filter(at__lt=now - KEPT).order_by("at")


def _asked(request: HttpRequest, body: bytes) -> str:
    parts = (request.path, request.META.get("QUERY_STRING", ""), request.content_type)
    return hashlib.sha256(json.dumps(parts).encode() + b"\n" + body).hexdigest()


def _begin(key: ApiKey, name: str, asked: str) -> int | None:
    """The id of a new row; None: there is one of that name, whose answer is complete by now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO api_answered (key_id, name, asked, status, headers, body, at) "
            "VALUES (%s, %s, %s, 0, '{}', %s, %s) ON CONFLICT DO NOTHING RETURNING id",
            [key.pk, name, asked, b"", connection.ops.adapt_datetimefield_value(timezone.now())],
        )
        made = cursor.fetchone()
    return made[0] if made else None


def _keep(row: int, response: HttpResponse) -> None:
    Answered.objects.filter(pk=row).update(
        status=response.status_code, headers=_headers(response), body=response.content
    )


def _headers(response: HttpResponse) -> Mapping[str, str]:
    return {name: response[name] for name in _REPEATED if response.has_header(name)}


def _again(row: Answered, asked: str) -> HttpResponse:
    if row.asked != asked:
        words = f"Another request was made with this {HEADER}. Give each request a key of its own."
        raise errors.InvalidRequest(words, code=REUSED)
    return HttpResponse(bytes(row.body), status=row.status, headers={**row.headers, REPLAYED: "true"})
