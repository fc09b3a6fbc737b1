"""The compose page: a message is written, checked and sent."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from contacts.recipients import Recipients
from providers.models import ProviderAccount
from providers.types import Feature

from . import campaigns, forms
from . import log as message_log
from .forms import Compose
from .models import Campaign

LISTED = 20  # refused numbers that are named one by one


@login_required
@permission_required("messaging.add_message", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def compose(request: HttpRequest) -> HttpResponse:
    """``?to=``, ``?account=`` and ``?text=`` fill the empty form."""
    if request.method == "POST":
        form = Compose(request.POST)
        return _send(request, form) if form.is_valid() else _compose(request, form, form.recipients)
    given = request.GET
    initial = {"numbers": given.get("to", ""), "account": given.get("account"), "text": given.get("text", "")}
    form = Compose(initial=initial)
    return _compose(request, form, forms.recipients(initial["numbers"], None) if initial["numbers"] else None)


def _compose(request: HttpRequest, form: Compose, found: Recipients | None) -> HttpResponse:
    context = {
        "form": form,
        "abilities": {account.pk: _abilities(account) for account in form.accounts},
        "zones": forms.zones(),
        "zone": form["zone"].value(),
    }
    return render(request, "messaging/compose.html", context | _found(request, found))


def _abilities(account: ProviderAccount) -> dict[str, Any]:
    """What the form shows and hides for an account."""
    return {
        "kind": account.kind_class.label,
        "sender": account.can(Feature.SENDER_ID),
        "usual": account.sender,
        "mms": account.can(Feature.MMS),
        "paused": account.paused_reason,
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


def _is_same(campaign: Campaign, draft: campaigns.Draft) -> bool:
    """Does the campaign say what the draft does? A form that was sent, changed and sent again does not."""
    return (campaign.account_id, campaign.text, campaign.sender, campaign.recipients, campaign.attachments) == (
        draft.account.pk,
        draft.text,
        draft.sender,
        list(draft.numbers),
        list(draft.attachments),
    )


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
