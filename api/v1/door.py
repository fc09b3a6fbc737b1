"""The door of /v1: who calls, how often, and whether this very request was answered before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from providers import errors
from providers.types import RateState
from providers.words import limit_headers

from .. import access, idempotency
from ..models import ApiKey
from .errors import JSON, answer, refuse

log = logging.getLogger(__name__)

View = Callable[..., HttpResponse]
Before = Callable[["Call"], None]
NOBODY: Mapping[str, View] = {}
NO_KEY = "Invalid or missing API key. Send it as “Authorization: Bearer YOUR_API_KEY”."


class Call(HttpRequest):
    """A request that came in by the door."""

    key: ApiKey


def door(view: View, past: Mapping[str, View] = NOBODY, before: Before | None = None, takes: str = JSON) -> View:
    """A view of /v1 that only a request with a good key reaches. Whatever happens, the answer is JSON; to HEAD it is
    that to GET without its body.

    ``past``: views by method that find the key themselves. ``before``: what a POST asks of the network. ``takes``: the
    type of bodies.
    """

    @csrf_exempt
    @login_not_required
    def enter(request: HttpRequest, **parts: Any) -> HttpResponse:
        if request.method == "HEAD":
            request.method = "GET"
            return _without_body(enter(request, **parts))
        if own := past.get(request.method or ""):
            return own(request, **parts)
        rate = settings.SMSDASH_API_RATE  # until the key is known, what each key has at least
        limits = RateState(rate.limit, rate.limit, rate.seconds)
        try:
            row = access.find(_bearer(request))
            limits = access.admit(row, access.address_of(request))
            cast(Call, request).key = row
            reply = _let_in(view, cast(Call, request), parts, before, takes)
        except errors.RateLimited as error:
            limits, reply = error.state or limits, refuse(error)
        except errors.ProviderError as error:
            reply = refuse(error)
        except Exception:
            log.exception("An answer of /v1 failed")
            reply = answer(500, "internal_error", "smsdash failed to answer. Try again, or tell its administrator.")
        for name, value in limit_headers(limits).items():
            reply[name] = value
        return reply

    return enter


def _bearer(request: HttpRequest) -> str:
    scheme, _, key = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise errors.KeyRefused(NO_KEY)
    return key.strip()


def _without_body(reply: HttpResponse) -> HttpResponse:
    if reply.streaming:
        reply.streaming_content = ()  # type: ignore[attr-defined]
    else:
        reply["Content-Length"] = len(reply.content)
        reply.content = b""
    return reply


def _let_in(view: View, request: Call, parts: dict[str, Any], before: Before | None, takes: str) -> HttpResponse:
    try:
        body = request.body
    except RequestDataTooBig:
        return answer(413, "request_too_large", "The body is too long. Send it in several requests.")
    except UnreadablePostError:
        return answer(400, "invalid_request", "The request broke off.")
    if body and request.content_type != takes:
        kind = "JSON" if takes == JSON else "CSV"
        return answer(415, "unsupported_media_type", f"Send the body as {kind}, with “Content-Type: {takes}”.")
    ask = (lambda: before(request)) if before and request.method == "POST" else None
    return idempotency.once(request.key, request, body, lambda: _told(view(request, **parts), request), ask)


def _told(reply: HttpResponse, request: Call) -> HttpResponse:
    """With words where the framework has none."""
    if reply.status_code != 405:
        return reply
    allowed = reply["Allow"]
    words = f"This address takes {allowed}, and not {request.method}."
    return answer(405, "method_not_allowed", words, {"Allow": allowed})


def nothing(request: Call, **parts: Any) -> HttpResponse:
    """The view of every other path."""
    return answer(404, "not_found", "There is nothing at this address. See /v1/docs.")
