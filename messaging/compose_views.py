"""The compose page: a message is written, checked and sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_POST

from contacts.models import ContactList
from contacts.recipients import Recipients
from providers import hours
from providers.models import ProviderAccount
from providers.types import Feature

from . import audience, campaigns, forms, merging, phones, preflight_views, routes, segments
from . import log as message_log
from .addressees import SEES_PEOPLE
from .campaigns import Draft
from .forms import Compose
from .models import Campaign, Route, Template

LISTED = 20  # refused numbers that are named one by one
OFFERED = 100  # templates to pick from; all are on their page


@login_required
@permission_required("messaging.add_message", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
@cache_control(private=True, no_cache=True)
def compose(request: HttpRequest) -> HttpResponse:
    """``?to=``, ``?list=``, ``?account=`` (with ``&device=``), ``?text=`` and ``?template=`` fill the empty form.

    The browser may keep the page, so that going back brings what was typed; sent once more, its token is known.
    """
    if request.method == "POST":
        form = Compose(request.POST, user=request.user)
        if not form.is_valid() or "edit" in request.POST:
            return _compose(request, form, form.recipients)
        if preflight_views.is_needed(form) and not preflight_views.was_seen(request, form):
            return preflight_views.show(request, form)
        return _send(request, form)
    given = request.GET
    initial = {"numbers": given.get("to", ""), "account": given.get("account"), "text": given.get("text", "")}
    initial |= {"lists": given.getlist("list")}
    template = message_log.read_id(given.get("template", ""))
    if template and (chosen := _templates(request).filter(pk=template).first()):
        initial["text"] = chosen.text
    initial |= phones.initial(given.get("account", ""), given.get("device", ""))
    form = Compose(initial=initial, user=request.user)
    return _compose(request, form, forms.recipients(initial["numbers"], None) if initial["numbers"] else None)


def _templates(request: HttpRequest) -> QuerySet[Template]:
    return Template.objects.all() if request.user.has_perm("messaging.view_template") else Template.objects.none()


def _compose(request: HttpRequest, form: Compose, found: Recipients | None) -> HttpResponse:
    templates = list(_templates(request)[:OFFERED])
    abilities = {value: _abilities(account) for value, account in form.accounts.items()}
    context = {
        "form": form,
        "abilities": abilities | {value: _route_abilities(route) for value, route in form.routes.items()},
        "zones": hours.zones(),
        "zone": form["zone"].value(),
        "templates": templates,
        "texts": {template.pk: template.text for template in templates},
    }
    lists = form.chosen_lists if form.is_bound else _lists(request, form.initial["lists"])
    return render(request, "messaging/compose.html", context | _found(request, found, lists))


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


def _found(request: HttpRequest, found: Recipients | None, lists: Sequence[ContactList] = ()) -> dict[str, Any]:
    """Who gets it, as far as that can be told while somebody types."""
    listed = found.rejected[:LISTED] if found else []
    return {
        "found": found,
        "reach": audience.reach(lists, found or Recipients(()), quick=True) if lists else None,
        "listed": listed,
        "unlisted": len(found.rejected) - len(listed) if found else 0,
        "left_out": bool(found) and request.POST.get("leave_out") == str(len(found.kept)),
    }


def _lists(request: HttpRequest, chosen: Sequence[str]) -> list[ContactList]:
    ids = [pk for one in chosen if (pk := message_log.read_id(one))]
    may = ids and request.user.has_perm(SEES_PEOPLE)
    return list(ContactList.objects.filter(pk__in=ids)) if may else []


def _send(request: HttpRequest, form: Compose) -> HttpResponse:
    draft = form.draft(request.user)
    campaign = campaigns.submit(draft)
    if not _is_same(campaign, draft):
        form.again()
        form.add_error(None, _("An earlier version of this form was sent already. Send it again to send this one too."))
        return _compose(request, form, form.recipients)
    if preflight_views.is_needed(form):
        return preflight_views.sent(request, form, campaign)
    messages.success(request, _notice(form.recipients, draft))
    if not request.user.has_perm("messaging.view_message"):
        return redirect("messaging-compose")
    return redirect(f"{reverse('messaging-log')}?campaign={campaign.pk}")


def _is_same(campaign: Campaign, draft: Draft) -> bool:
    """Does the campaign say what the draft does? A form that was sent, changed and sent again does not."""
    route = draft.route.pk if draft.route else None
    through = campaign.route_id == route and (route or campaign.account_id == draft.account.pk)
    undo = timedelta(seconds=settings.SMSDASH_UNDO_SECONDS + 1)
    start = campaign.due_at == draft.due_at if draft.due_at else campaign.due_at <= campaign.created_at + undo
    zone = campaign.zone == draft.zone or not draft.hours
    people = campaign.recipients == list(draft.numbers) and set(campaign.lists.all()) == set(draft.lists)
    return bool(through and start and zone and people and _said(campaign) == _said(draft))


def _said(by: Campaign | Draft) -> tuple[Any, ...]:
    rest = (by.name, by.hours, by.by_recipient, by.finish_by, by.expires_at, dict(by.devices))
    return (by.text, by.sender, list(by.attachments), by.priority, *rest)


def _notice(found: Recipients, draft: Draft) -> str:
    n = len(found.kept)
    if draft.due_at:
        said = ngettext("%(n)s message is scheduled.", "%(n)s messages are scheduled.", n) % {"n": n}
    elif not (draft.route or draft.account.sending):
        said = ngettext(
            "%(n)s message waits until “%(account)s” sends again.",
            "%(n)s messages wait until “%(account)s” sends again.",
            n,
        ) % {"n": n, "account": draft.account}
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
    """Who would get the message, and whether its merge fields can be filled in: fragments of the form."""
    chosen = message_log.read_id(request.POST.get("account", ""))
    account = forms.accounts().filter(pk=chosen).first() if chosen else None
    pasted = request.POST.get("numbers", "")
    found = forms.recipients(pasted, account) if pasted.strip() else None
    lists = _lists(request, request.POST.getlist("lists"))
    context = _found(request, found, lists) | _fields(request, found, lists)
    return render(request, "messaging/compose.html#check", context)


def _fields(request: HttpRequest, found: Recipients | None, lists: Sequence[ContactList]) -> dict[str, Any]:
    """What is said below the text of its merge fields, where it has any."""
    text = request.POST.get("text", "")[: segments.LONGEST]
    if not (lists or "{" in text) or not request.user.has_perm(SEES_PEOPLE):
        return {}
    some = audience.sample(lists, found.kept if found else ())
    known = audience.known_fields(lists, some)
    strangers = sum(not person.known for person in some.typed)
    return {
        "wrong": merging.check(text, known) if lists or found else [],
        "known": known,
        "strangers": strangers if merging.fields_of(text) else 0,
        "all_strangers": strangers == len(found.kept) if found else False,
    }
