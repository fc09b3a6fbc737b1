"""The delivery reports that no message here is meant by, and the posts that could not be worked on."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from providers.models import ProviderAccount

from . import log, posted
from .models import DeliveryReport, Posted

PAGE = 50
STUCK = 20  # posts that are shown


@login_required
@permission_required("messaging.view_deliveryreport", raise_exception=True)
@require_GET
@never_cache
def unmatched(request: HttpRequest) -> HttpResponse:
    """Newest first; ``account`` narrows them, ``before`` is the id that an older page goes on from."""
    chosen, before = (log.read_id(request.GET.get(name, "")) for name in ("account", "before"))
    accounts = ProviderAccount.objects.only("name").in_bulk()
    rows = DeliveryReport.objects.filter(message__isnull=True).order_by("-pk")
    if chosen:
        rows = rows.filter(account=chosen)
    if before:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: PAGE + 1])
    stuck = [] if before else _stuck(accounts.keys() & {chosen} if chosen else accounts)
    for row in (*found, *stuck):
        row.account = accounts[row.account_id]
    context = {
        "rows": found[:PAGE],
        "stuck": stuck,
        "older": _query(chosen, found[PAGE - 1].pk) if len(found) > PAGE else "",
        "newest": _query(chosen),
        "before": before,
        "chosen": chosen,
        "accounts": accounts.values(),
    }
    return render(request, "messaging/reports.html", context)


@login_required
@permission_required("messaging.change_posted", raise_exception=True)
@require_POST
def try_now(request: HttpRequest) -> HttpResponse:
    """Have a post that could not be worked on tried again now: ``id``; or all of them, those of ``account`` alone."""
    chosen, one = (log.read_id(request.POST.get(name, "")) for name in ("account", "id"))
    rows = Posted.objects.all()
    if chosen:
        rows = rows.filter(account=chosen)
    if n := posted.try_now(rows.filter(pk=one) if "id" in request.POST else rows):
        said = ngettext("%d post is tried again now.", "%d posts are tried again now.", n) % n
        messages.success(request, said + " " + _("What works leaves this list. Load the page again in a moment."))
    else:
        messages.info(request, _("It is not waiting any more: it was worked on in the meantime."))
    return redirect(reverse("messaging-reports") + _query(chosen))


def _stuck(accounts: Iterable[int]) -> list[Posted]:
    """The newest posts that could not be worked on so far, without what they hold."""
    rows = Posted.objects.filter(account__in=list(accounts), tries__gt=0)
    return list(rows.defer("query", "headers", "body").order_by("-pk")[:STUCK])


def _query(account: int | None, before: int | None = None) -> str:
    pairs = {"account": account, "before": before}
    found = {name: value for name, value in pairs.items() if value}
    return "?" + urlencode(found) if found else ""
