"""The compose page: a message is written, checked and sent."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from contacts.recipients import Recipients
from providers import hours
from providers.models import ProviderAccount
from providers.types import Feature

from . import campaigns, forms, phones, routes
from . import log as message_log
from .campaigns import Draft
from .forms import Compose
from .models import Campaign, Route

LISTED = 20  # refused numbers that are named one by one


@login_required
@permission_required("messaging.add_message", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def compose(request: HttpRequest) -> HttpResponse:
    """``?to=``, ``?account=`` (with ``&device=``) and ``?text=`` fill the empty form."""
    if request.method == "POST":
        form = Compose(request.POST)
        return _send(request, form) if form.is_valid() else _compose(request, form, form.recipients)
    given = request.GET
    initial = {"numbers": given.get("to", ""), "account": given.get("account"), "text": given.get("text", "")}
    form = Compose(initial=initial | phones.initial(given.get("account", ""), given.get("device", "")))
    return _compose(request, form, forms.recipients(initial["numbers"], None) if initial["numbers"] else None)


def _compose(request: HttpRequest, form: Compose, found: Recipients | None) -> HttpResponse:
    abilities = {value: _abilities(account) for value, account in form.accounts.items()}
    context = {
        "form": form,
        "abilities": abilities | {value: _route_abilities(route) for value, route in form.routes.items()},
        "zones": hours.zones(),
        "zone": form["zone"].value(),
    }
    return render(request, "messaging/compose.html", context | _found(request, found))


def _abilities(account: ProviderAccount) -> dict[str, Any]:
    """What the form shows and hides for an account."""
    waits = _("This account is paused. What you send waits until it is resumed. %(why)s")
    return {
        "kind": account.kind_class.label,
        "sender": account.can(Feature.SENDER_ID),
        "usual": account.sender,
        "mms": account.can(Feature.MMS),
        "phones": account.pk if account.can(Feature.DEVICES) else None,
        "route": False,
        "warning": waits % {"why": account.paused_reason} if account.paused_reason else "",
    }


def _route_abilities(route: Route) -> dict[str, Any]:
    """What one of its accounts can do, the route can."""
    able = routes.features(route).any
    return {
        "kind": route.name,
        "sender": Feature.SENDER_ID in able,
        "usual": "",
        "mms": Feature.MMS in able,
        "phones": None,
        "route": True,
        "warning": " ".join(routes.hints(route)),
    }


def _found(request: HttpRequest, found: Recipients | None) -> dict[str, Any]:
    listed = found.rejected[:LISTED] if found else []
    return {
        "found": found,
        "listed": listed,
        "unlisted": len(found.rejected) - len(listed) if found else 0,
        "left_out": bool(found) and request.POST.get("leave_out") == str(len(found.kept)),
    }


def _send(request: HttpRequest, form: Compose) -> HttpResponse:
    draft = form.draft(request.user)
    campaign = campaigns.submit(draft)
    if not _is_same(campaign, draft):
        form.again()
        form.add_error(None, _("An earlier version of this form was sent already. Send it again to send this one too."))
        return _compose(request, form, form.recipients)
    messages.success(request, _notice(form.recipients, later=draft.due_at is not None))
    if not request.user.has_perm("messaging.view_message"):
        return redirect("messaging-compose")
    return redirect(f"{reverse('messaging-log')}?campaign={campaign.pk}")


def _is_same(campaign: Campaign, draft: Draft) -> bool:
    """Does the campaign say what the draft does? A form that was sent, changed and sent again does not."""
    route = draft.route.pk if draft.route else None
    through = campaign.route_id == route and (route or campaign.account_id == draft.account.pk)
    start = campaign.due_at == draft.due_at if draft.due_at else campaign.due_at <= timezone.now()
    zone = campaign.zone == draft.zone or not draft.hours
    same = _said(campaign) == _said(draft) and campaign.recipients == list(draft.numbers)
    return bool(through and start and zone and same)


def _said(by: Campaign | Draft) -> tuple[Any, ...]:
    rest = (by.hours, by.by_recipient, by.finish_by, by.expires_at, dict(by.devices))
    return (by.text, by.sender, list(by.attachments), by.priority, *rest)


def _notice(found: Recipients, later: bool) -> str:
    n = len(found.kept)
    if later:
        said = ngettext("%(n)s message is scheduled.", "%(n)s messages are scheduled.", n) % {"n": n}
    else:
        said = ngettext("%(n)s message is on its way.", "%(n)s messages are on their way.", n) % {"n": n}
    left_out = [
        _("%d opted out") % len(found.opted_out) if found.opted_out else "",
        _("%d could not be read") % len(found.rejected) if found.rejected else "",
        _("%d repeated") % found.duplicates if found.duplicates else "",
    ]
    reasons = ", ".join(filter(None, left_out))
    return _("%(said)s Left out: %(reasons)s.") % {"said": said, "reasons": reasons} if reasons else said


@login_required
@permission_required("messaging.add_message", raise_exception=True)
@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """Who of the typed recipients would get the message: a fragment of the form."""
    chosen = message_log.read_id(request.POST.get("account", ""))
    account = forms.accounts().filter(pk=chosen).first() if chosen else None
    pasted = request.POST.get("numbers", "")
    found = forms.recipients(pasted, account) if pasted.strip() else None
    return render(request, "messaging/compose.html#check", _found(request, found))
