"""The carrier's front door: ``/sandbox/<kind>/<path>`` is the API of that kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from providers import registry
from providers.serving import serve
from providers.types import Reply, Request

from . import accounts
from .outcomes import Fault
from .waiting import break_off, pause_for

BODY_LIMIT = 8 * 1024 * 1024  # bytes
TEXT = {"content-type": "text/plain; charset=utf-8"}
PAGE = b"<!DOCTYPE html>\n<title>Welcome</title>\n<h1>It works!</h1>\n"


@csrf_exempt
@login_not_required
def wire(request: HttpRequest, kind: str, rest: str = "") -> HttpResponseBase:
    """Answer as the API of ``kind`` would. The number of a message may ask for a spoilt answer (outcomes.py)."""
    if kind not in registry.kinds():
        return respond(Reply(404, TEXT, b"There is no such kind of API in the sandbox."))
    try:
        asked = read(request, ("/" + rest).removeprefix(registry.adapter_class(kind).base_url_ends))
        return respond(serve(registry.dialect(kind), asked, accounts.login(kind, pause_for(request))))
    except Fault as fault:
        return FAULTS[fault.args[0]](request)
    except ValueError as error:
        return respond(Reply(400, TEXT, str(error).encode()))


def read(request: HttpRequest, path: str) -> Request:
    """The request as the wires see it. Raises ValueError with a sentence when it is too long or broken off."""
    try:
        body = request.read(BODY_LIMIT + 1)
    except UnreadablePostError as error:
        raise ValueError("The request broke off.") from error
    if len(body) > BODY_LIMIT:
        raise ValueError("The body is longer than 8 MB.")
    query = request.META.get("QUERY_STRING", "").encode("latin-1", "replace").decode(errors="replace")
    return Request(
        method=request.method or "GET",
        path=path,
        query=tuple(parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=1000)),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
    )


def respond(reply: Reply) -> HttpResponse:
    return HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))


def _error(request: HttpRequest) -> HttpResponse:
    return respond(Reply(500, TEXT, b"Internal Server Error"))


def _html(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


FAULTS: Mapping[str, Callable[[HttpRequest], HttpResponseBase]] = {
    "break": break_off,
    "error": _error,
    "html": _html,
}
