"""The pages of campaigns, and what is done with one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.forms import modelform_factory
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import push_url

from contacts.models import ContactList
from providers.types import Status

from . import attachment_pages, campaign_facts, campaign_pages, conduct, waiting
from .campaign_pages import Filters, Shown
from .models import Campaign

CHANGE, APPROVE = "messaging.change_campaign", "messaging.approve_campaign"
Name = modelform_factory(Campaign, fields=["name"])


@login_required
@permission_required("messaging.view_campaign", raise_exception=True)
@require_GET
@never_cache
def campaigns(request: HttpRequest) -> HttpResponse:
    """The page, or its fragment: for the filters as they change, and for the poller (204 while ``v`` still holds)."""
    filters = Filters.from_query(request.GET)
    page = campaign_pages.page(filters)
    polling = request.htmx and "v" in request.GET
    if polling and request.GET["v"] == page.version:
        return HttpResponse(status=204)
    tabs = [("", _("All")), *campaign_pages.STATES.items()]
    context = {
        "filters": filters,
        "page": page,
        "tabs": [(filters.query(state=state), label, state == filters.state) for state, label in tabs],
        "live": filters.first_page and not all(_is_over(row) for row in page.rows),
    }
    if polling or not request.htmx:
        return render(request, f"messaging/campaigns.html{'#rows' if polling else ''}", context)
    url = f"{reverse('campaigns')}?{filters.query()}".removesuffix("?")
    return push_url(render(request, "messaging/campaigns.html#rows", context), url)


@login_required
@permission_required("messaging.view_campaign", raise_exception=True)
@require_GET
@never_cache
def campaign(request: HttpRequest, pk: int) -> HttpResponse:
    """The page, or for its poller the fragment: 204 while ``v`` still holds."""
    found = campaign_pages.get(pk)
    if found is None:
        raise Http404
    counts = campaign_pages.kept([pk])
    (shown,) = campaign_pages.standing([found], counts)
    held_for = math.ceil((found.due_at - timezone.now()).total_seconds()) if shown.state == "held" else 0
    version = campaign_pages.version([shown], (counts[pk], held_for))
    if request.htmx and request.GET.get("v") == version:
        return HttpResponse(status=204)
    context = {
        "campaign": found,
        "attached": attachment_pages.shown(found.attachments),
        "shown": shown,
        "balance": shown.balance,
        "counts": counts[pk],
        "parts": campaign_facts.parts(shown.balance, counts[pk]),
        "failures": campaign_facts.failures(found, shown.balance.failed),
        "skipped": campaign_facts.skipped(shown.balance),
        "rate": campaign_facts.delivery_rate(shown.balance),
        "progress": conduct.progress(found, counts[pk]),
        "failed": counts[pk][Status.FAILED],
        "held_for": held_for,
        "lists": ContactList.with_deleted.filter(campaigns=found).only("name", "deleted_at"),
        "over": shown.state in campaign_pages.OVER,
        "live": not _is_over(shown),
        "version": version,
        "offered": _offered(request, shown, counts[pk][Status.FAILED]),
    }
    return render(request, f"messaging/campaign.html{'#detail' if request.htmx else ''}", context)


def _is_over(shown: Shown) -> bool:
    """Nothing more is to be learnt, so a page need not look again."""
    known = shown.balance.sent == shown.balance.delivered or not waiting.tells_the_end(shown.campaign.account)
    return shown.state in campaign_pages.OVER and known


# --- What is done with one -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done with a campaign in one of the ``states``. ``do`` is False when the state was another
    one by then; ``said``: when it is done."""

    states: frozenset[str]
    do: Callable[[Campaign, Any, str], object]
    said: str | Promise
    permissions: tuple[str, ...] = (CHANGE,)


def _resend(found: Campaign, user: Any, reason: str) -> object:
    return conduct.resend_failed(found, user)


GOING = frozenset({"held", "scheduled", "preparing", "sending"})
ACTIONS: Mapping[str, Action] = {
    "undo": Action(frozenset({"held"}), conduct.cancel, _("It is undone: nothing was sent.")),
    "approve": Action(
        frozenset({"approval"}),
        lambda found, user, reason: conduct.approve(found, user),
        _("The campaign is approved."),
        (APPROVE,),
    ),
    "reject": Action(
        frozenset({"approval"}), conduct.reject, _("The campaign is rejected, and nothing is sent."), (APPROVE,)
    ),
    "pause": Action(GOING, conduct.pause, _("The campaign is paused. What is on its way still arrives.")),
    "resume": Action(
        frozenset({"paused"}), lambda found, user, reason: conduct.resume(found, user), _("The campaign goes on.")
    ),
    "cancel": Action(
        GOING | {"approval", "paused"},
        conduct.cancel,
        _("The campaign is canceled. What had left by then still arrives."),
    ),
    "resend": Action(
        GOING | {"paused", "finished", "canceled"},
        _resend,
        _("What failed is sent once more, as new messages."),
        (CHANGE, "messaging.add_message"),
    ),
}


def _offered(request: HttpRequest, shown: Shown, failed: int) -> set[str]:
    """What this person can do with the campaign now, each in one way. Who sent it does not approve it."""
    found = {
        name
        for name, action in ACTIONS.items()
        if shown.state in action.states and request.user.has_perms(action.permissions)
    }
    if not failed:
        found.discard("resend")
    if found & {"undo", "reject"}:
        found.discard("cancel")
    return found - {"approve"} if shown.campaign.created_by_id == request.user.pk else found


@login_required
@permission_required("messaging.view_campaign", raise_exception=True)
@require_POST
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """Do ``action`` with the campaign, perhaps for a ``reason``, and show it again."""
    found = get_object_or_404(Campaign.objects.defer("recipients"), pk=pk)
    action = ACTIONS.get(request.POST.get("action", ""))
    if action is None:
        return redirect("campaign", pk)
    if not request.user.has_perms(action.permissions):
        raise PermissionDenied
    if conduct.state(found) in action.states and action.do(found, request.user, request.POST.get("reason", "").strip()):
        messages.success(request, action.said)
    else:
        messages.warning(request, _("Nothing was done: the campaign’s state had changed by then."))
    return redirect("campaign", pk)


@login_required
@permission_required(CHANGE, raise_exception=True)
@require_POST
def rename(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Campaign.objects.only("name"), pk=pk)
    form = Name(request.POST, instance=found)
    if form.is_valid():
        found.save(update_fields=["name"])
    else:
        messages.error(request, form.errors["name"][0])
    return redirect("campaign", pk)
