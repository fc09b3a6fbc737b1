"""What providers post to us: ``/callbacks/<token>/``. Signature first; any garbage is a 4xx with a sentence."""

from __future__ import annotations

import logging

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from devices import ussd
from providers import errors
from providers.models import ProviderAccount
from providers.types import Event, Inbound, Report, Request, UssdReply

from . import inbound, reports

log = logging.getLogger(__name__)


@csrf_exempt
def callback(request: HttpRequest, token: str) -> HttpResponse:
    """200 when everything in the post is stored, 4xx when it cannot be accepted, 5xx only for our own failure."""
    account = ProviderAccount.objects.filter(callback_token=token).first()
    if account is None:
        raise Http404
    try:
        events = account.adapter().read_callback(as_wire(request))
    except errors.BadSignature as error:
        return JsonResponse({"error": str(error)}, status=401)
    except errors.ProviderError as error:
        return JsonResponse({"error": str(error)}, status=400)
    take(account, events)
    return JsonResponse({"ok": True})


def as_wire(request: HttpRequest) -> Request:
    return Request(
        method=request.method or "",
        path="",
        query=tuple((name, value) for name, values in request.GET.lists() for value in values),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.body,
    )


def take(account: ProviderAccount, events: tuple[Event, ...]) -> None:
    reports.apply(account, [event for event in events if isinstance(event, Report)])
    for event in events:
        if isinstance(event, Inbound):
            inbound.receive(account, event)
        elif isinstance(event, UssdReply):
            ussd.answer(account, event)
