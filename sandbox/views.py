"""The carrier's front door: ``/sandbox/<kind>/<path>`` is the API of that kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from providers import registry
from providers.serving import serve
from providers.types import Reply
from providers.web import read, respond

from . import accounts
from .outcomes import Fault
from .waiting import break_off, pause_for

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


def _error(request: HttpRequest) -> HttpResponse:
    return respond(Reply(500, TEXT, b"Internal Server Error"))


def _html(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


FAULTS: Mapping[str, Callable[[HttpRequest], HttpResponseBase]] = {
    "break": break_off,
    "error": _error,
    "html": _html,
}
