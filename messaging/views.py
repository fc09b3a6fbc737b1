"""The page of one message."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from providers.models import Exchange

from . import cancel as canceling
from . import timeline
from .models import Message

REPORTS_SHOWN = 100


@login_required
@permission_required("messaging.view_message", raise_exception=True)
@require_GET
@never_cache
def message(request: HttpRequest, pk: int) -> HttpResponse:
    """The page, or for its poller the fragment: 204 while ``v`` still holds."""
    found = get_object_or_404(
        Message.objects.select_related("account", "campaign__created_by").defer(
            "account__credentials", "campaign__recipients", "campaign__attachments"
        ),
        pk=pk,
    )
    reports = list(found.reports.order_by("pk")[:REPORTS_SHOWN])
    version = _version(found, reports[-1].pk if reports else 0)
    if request.htmx and request.GET.get("v") == version:
        return HttpResponse(status=204)
    exchange = Exchange.objects.filter(pk=found.exchange).first() if found.exchange else None
    context = {
        "message": found,
        "version": version,
        "steps": timeline.steps(found, reports, exchange),
        "outlook": timeline.outlook(found),
        "live": not timeline.is_settled(found),
        "exchange": exchange,
        "can_cancel": found.status in canceling.CANCELABLE,
    }
    return render(request, f"messaging/message.html{'#detail' if request.htmx else ''}", context)


def _version(found: Message, report: int) -> str:
    """Changes whenever the page would."""
    times = (found.due_at, found.poll_at, found.account.updated_at)
    return "-".join([found.status, str(found.attempts), str(report), *(f"{t.timestamp():.6f}" for t in times if t)])
