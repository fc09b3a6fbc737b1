"""The page of one message, and sending it once more from there."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from providers.models import Exchange, ProviderAccount

from . import attachment_pages, timeline, waiting
from . import cancel as canceling
from . import log as message_log
from . import resend as resending
from .models import Attempt, DeliveryReport, Message
from .waiting import Waiting

REPORTS_SHOWN = 100
RESENDS_SHOWN = 20


@login_required
@permission_required("messaging.view_message", raise_exception=True)
@require_GET
@never_cache
def message(request: HttpRequest, pk: int) -> HttpResponse:
    """The page, or for its poller the fragment: 204 while ``v`` still holds."""
    found = get_object_or_404(
        Message.objects.select_related("account__pace", "campaign__created_by", "route").defer(
            "account__credentials", "campaign__recipients", "campaign__attachments"
        ),
        pk=pk,
    )
    reports = list(found.reports.order_by("pk")[:REPORTS_SHOWN])
    earlier = found.earlier.select_related("account").defer("account__credentials").order_by("-pk")
    attempts = list(earlier[: timeline.SHOWN + 1])[::-1]
    resends = list(found.resends.only("status", "created_at").order_by("pk")[:RESENDS_SHOWN])
    why, attached = waiting.why(found), attachment_pages.shown(found.attachments)
    version = _version(found, [*reports[-1:], *attempts[-1:], *resends[-1:]], why, attached)
    if request.htmx and request.GET.get("v") == version:
        return HttpResponse(status=204)
    context = _context(found, reports, attempts)
    context |= {"version": version, "waiting": why, "resends": resends, "attached": attached}
    context["live"] = context["live"] or any(each.waits for each in attached)
    return render(request, f"messaging/message.html{'#detail' if request.htmx else ''}", context)


def _context(found: Message, reports: Sequence[DeliveryReport], attempts: Sequence[Attempt]) -> dict[str, Any]:
    ids = {found.exchange, *(attempt.exchange for attempt in attempts)} - {None}
    exchanges = Exchange.objects.in_bulk(ids) if ids else {}
    device, sim = waiting.phone_of(found) if found.device else (None, None)
    resendable = found.status in resending.RESENDABLE
    return {
        "message": found,
        "steps": timeline.steps(found, reports, attempts, exchanges),
        "exchanges": sorted(exchanges.values(), key=lambda exchange: exchange.pk, reverse=True),
        "live": not waiting.is_settled(found),
        "device": device,
        "sim": sim,
        "can_cancel": found.status in canceling.CANCELABLE,
        "can_resend": resendable,
        "accounts": ProviderAccount.objects.filter(enabled=True).only("name") if resendable else [],
    }


def _version(
    found: Message,
    newest: Sequence[DeliveryReport | Attempt | Message],
    why: Waiting | None,
    attached: Sequence[attachment_pages.Shown],
) -> str:
    """Changes whenever the page would."""
    times = (found.due_at, found.poll_at, found.account.updated_at)
    words = [why.text if why else "", *(each.about for each in attached)]
    said = zlib.crc32("".join(words).encode())
    parts = [found.status, found.attempts, found.exchange, *(row.pk for row in newest), said]
    return "-".join([*map(str, parts), *(f"{t.timestamp():.6f}" for t in times if t)])


@login_required
@permission_required("messaging.add_message", raise_exception=True)
@require_POST
def resend(request: HttpRequest, pk: int) -> HttpResponse:
    """Send it once more: through ``account``, or as it went the first time. ``again``: although it was resent before.
    Then show the new message."""
    get_object_or_404(Message.objects.only("pk"), pk=pk)
    chosen = message_log.read_id(request.POST.get("account", ""))
    account = get_object_or_404(ProviderAccount, pk=chosen) if chosen else None
    done = resending.run([pk], str(request.user), account, again="again" in request.POST)
    if done.made:
        messages.success(request, _("It is sent once more. This is the new message."))
        return redirect("messaging-message", done.made[0])
    reasons = ", ".join(str(resending.REASONS[reason]) for reason in done.skipped)
    messages.warning(request, _("It was not sent once more: %s.") % reasons)
    return redirect("messaging-message", pk)
