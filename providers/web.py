"""Django's requests and answers as the wires see them."""

from __future__ import annotations

from urllib.parse import parse_qsl

from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError

from .types import Reply, Request

BODY_LIMIT = 8 * 1024 * 1024  # bytes
FIELDS = 1_000  # parameters in a query


class Unreadable(ValueError):
    """The request is too long or broken off; says which, in a sentence."""


def read(request: HttpRequest, path: str) -> Request:
    """``path`` as in Request. Raises Unreadable."""
    try:
        body = request.read(BODY_LIMIT + 1)
    except UnreadablePostError as error:
        raise Unreadable("The request broke off.") from error
    if len(body) > BODY_LIMIT:
        raise Unreadable("The body is longer than 8 MB.")
    query = request.META.get("QUERY_STRING", "")
    return Request(request.method or "GET", path, _pairs(query) if query else (), _headers(request), body)


def respond(reply: Reply) -> HttpResponse:
    return HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))


def _pairs(query: str) -> tuple[tuple[str, str], ...]:
    """Names and values by UTF-8, whatever bytes came. Raises Unreadable."""
    text = query.encode("latin-1", "replace").decode(errors="replace")
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=FIELDS))
    except ValueError as error:
        raise Unreadable("There are too many parameters in the URL.") from error


def _headers(request: HttpRequest) -> dict[str, str]:
    """As ``request.headers`` has them, in lower case."""
    found = {name[5:].replace("_", "-").lower(): value for name, value in request.META.items() if name[:5] == "HTTP_"}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if value := request.META.get(name):
            found[name.replace("_", "-").lower()] = value
    return found
