"""The overview: is everything going out, and if not, why."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from devices.cards import attention
from messaging import campaign_pages
from messaging.campaign_pages import Shown

from . import overview as figures


@login_required
@require_GET
@never_cache
def overview(request: HttpRequest) -> HttpResponse:
    """The page, or for its poller the fragment: 204 as long as ``v`` is still the version of all counts."""
    if not request.user.has_perm("messaging.view_message"):
        return render(request, "smsdash/welcome.html")
    allowed = request.user.has_perm("messaging.view_campaign")
    campaigns = campaign_pages.standing(campaign_pages.running()) if allowed else []
    version = f"{figures.version()}-{campaign_pages.version(campaigns)}"
    if not request.htmx:
        return render(request, "smsdash/overview.html", _context(version, campaigns))
    if request.GET.get("v") == version:
        return HttpResponse(status=204)
    return render(request, "smsdash/overview.html#figures", _context(version, campaigns))


def _context(version: str, campaigns: list[Shown]) -> dict[str, Any]:
    rows = figures.tallies()
    by_hour = figures.hourly(rows)
    reasons, cut = figures.reasons()
    states = figures.accounts(rows)
    return {
        "version": version,
        "campaigns": campaigns,
        "unused": version.startswith("0-"),
        "figures": figures.figures(by_hour),
        "bars": figures.bars(by_hour),
        "reasons": reasons,
        "reasons_cut": cut,
        "states": states,
        "balance": figures.balance(states),
        "attention": attention,
    }
