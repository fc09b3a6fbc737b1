"""What providers post to us: ``/callbacks/<token>/``. Signature first; any garbage is a 4xx with a sentence."""

from __future__ import annotations

import logging

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from devices import ussd
from providers import errors, traces
from providers.models import ProviderAccount
from providers.types import Event, Inbound, Report, Request, UssdReply

from . import inbound, inbox_polling, reports

log = logging.getLogger(__name__)


@csrf_exempt
def callback(request: HttpRequest, token: str) -> HttpResponse:
    """200 when everything in the post is stored, 4xx when it cannot be accepted, 5xx only for our own failure."""
    account = ProviderAccount.objects.filter(callback_token=token).first()
    if account is None:
        raise Http404
    posted = as_wire(request)
    keeps = account.kind_class.keeps_callbacks and bool(posted.query or posted.body)
    try:
        events = account.adapter().read_callback(posted)
    except errors.ProviderError as error:
        status = 401 if isinstance(error, errors.BadSignature) else 400
        if keeps:
            traces.keep_post(account, posted, status, str(error))
        return JsonResponse({"error": str(error)}, status=status)
    take(account, events, traces.keep_post(account, posted, 200) if keeps else None)
    return JsonResponse({"ok": True})


def as_wire(request: HttpRequest) -> Request:
    return Request(
        method=request.method or "",
        path="",
        query=tuple((name, value) for name, values in request.GET.lists() for value in values),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.body,
    )


def take(account: ProviderAccount, events: tuple[Event, ...], exchange: int | None = None) -> None:
    """``exchange``: the id of the one that keeps the post."""
    reports.apply(account, [event for event in events if isinstance(event, Report)])
    for event in events:
        if isinstance(event, Inbound):
            inbound.receive(account, event, exchange)
        elif isinstance(event, UssdReply):
            ussd.answer(account, event)
    if any(isinstance(event, Inbound) for event in events):
        inbox_polling.pushed(account)
