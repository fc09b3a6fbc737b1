"""What providers post to us: ``/callbacks/<token>/``. Signature first; any garbage is a 4xx with a sentence.

What reads well is stored, in one statement, and answered; a worker goes on with it (posted.py). Accounts are kept in
memory here, in clear, as long as they do not change: the statement that stores looks whether this one did.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from providers import errors, traces
from providers.base import Adapter
from providers.models import ProviderAccount
from providers.types import Event, Request

from . import keeping, wakeup

log = logging.getLogger(__name__)

BODY_LIMIT = 4 * 1024 * 1024  # bytes
FIELDS = 1_000  # of a query
METHODS = ("GET", "POST")
TRIES = 3  # with an account that changes at this moment
MANY = 1_000  # accounts in memory


class Refused(Exception):
    """A post is not taken: the HTTP status, and a sentence for whoever looks after the sender."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Door:
    """An account as its callback needs it."""

    account: ProviderAccount
    adapter: Adapter

    def read(self, post: Request) -> tuple[Request, tuple[Event, ...]]:
        """What of it is signed, and what that says. Raises BadSignature and BadCallback."""
        try:
            signed = self.adapter.check_post(post)
            return signed, self.adapter.read_post(signed)
        except errors.ProviderError:
            raise
        except Exception as fault:  # nothing that a stranger posts may look like our failure
            log.exception("What was posted for %s could not be read", self.account)
            raise errors.BadCallback("The post could not be understood.") from fault


_doors: dict[str, Door] = {}


@csrf_exempt
def callback(request: HttpRequest, token: str) -> HttpResponse:
    """200 when the post is stored, 4xx when it cannot be accepted, 5xx only for our own failure."""
    try:
        if request.method not in METHODS:
            raise Refused(405, "Post to this address.")
        door = _doors.get(token) or _look_up(token)
        _take(token, door, _read(request, door.adapter.callback_headers))
    except Refused as refused:
        headers = {"Allow": ", ".join(METHODS)} if refused.status == 405 else {}
        return JsonResponse({"error": str(refused)}, status=refused.status, headers=headers)
    return JsonResponse({"ok": True})


def _take(token: str, door: Door, post: Request) -> None:
    """Store a post that reads well. What was remembered of the account may be old: then once more, as it is now."""
    for _ in range(TRIES):
        try:
            if keeping.keep(door.account, *door.read(post)):
                wakeup.ring()
                return
            door = _look_up(token)
        except errors.ProviderError as error:
            now = _look_up(token)
            if now.account.updated_at == door.account.updated_at:
                raise _refusal(now.account, post, error) from error
            door = now
    raise RuntimeError("The account changes all the time.")


def _refusal(account: ProviderAccount, post: Request, error: errors.ProviderError) -> Refused:
    status = 401 if isinstance(error, errors.BadSignature) else 400
    if account.kind_class.keeps_callbacks and (post.query or post.body):
        traces.keep_post(account, post, status, str(error))
    return Refused(status, str(error))


def _look_up(token: str) -> Door:
    account = ProviderAccount.objects.filter(callback_token=token.replace("\x00", "")).first()
    if account is None:
        _doors.pop(token, None)
        raise Refused(404, "There is no such callback address. Copy it from the account's page.")
    if len(_doors) >= MANY:
        _doors.clear()
    door = _doors[token] = Door(account, account.adapter())
    return door


# --- Reading -------------------------------------------------------------------------------------------


def _read(request: HttpRequest, headers: Sequence[str]) -> Request:
    """The request as adapters see it."""
    given = {name: _header(request, name) for name in (*headers, *traces.TOLD)}
    return Request(
        method=request.method or "",
        path="",
        query=_query(request.META.get("QUERY_STRING", "")),
        headers={name: value for name, value in given.items() if value is not None},
        body=_body(request),
    )


def _header(request: HttpRequest, name: str) -> str | None:
    found: Any = request.META.get(name.upper().replace("-", "_")) if name == "content-type" else None
    value = found or request.META.get("HTTP_" + name.upper().replace("-", "_"))
    return None if value is None else _kept(value)


def _query(text: str) -> tuple[tuple[str, str], ...]:
    raw = text.encode("latin-1", "replace").decode(errors="replace")
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="replace", max_num_fields=FIELDS)
    except ValueError:
        raise Refused(400, f"The query has more than {FIELDS:,} fields.") from None
    return tuple((_kept(name), _kept(value)) for name, value in pairs)


def _kept(text: str) -> str:
    """PostgreSQL keeps no NUL."""
    return text.replace("\x00", "\ufffd")


def _body(request: HttpRequest) -> bytes:
    """Also one that comes in chunks, whose length nobody says before."""
    chunked = request.META.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
    stream: Any = request.META["wsgi.input"] if chunked else request
    try:
        body: bytes = stream.read(BODY_LIMIT + 1)
    except OSError:
        raise Refused(400, "The post broke off before its end.") from None
    if len(body) > BODY_LIMIT:
        raise Refused(413, f"The body is longer than {BODY_LIMIT // 1024**2} MB. Post less at once.")
    return body
