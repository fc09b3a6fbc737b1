"""The page between compose and Send, and the way back after it."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy
from django.views.decorators.http import require_POST

from . import conduct, preflight
from . import log as message_log
from .forecast import Course
from .forms import Compose
from .models import Campaign

OURS = frozenset({"csrfmiddlewaretoken", "seen", "edit", "from", "exact"})  # fields that are not of the compose form
NOTHING_LEFT = ("held", "approval", "scheduled")  # states, see conduct.py
GROWTH = 1.01  # so much more people than were shown are sent to without another look

ON_ITS_WAY = ngettext_lazy("%(shown)s person gets it now.", "%(shown)s people get it now.", "n")
SENTENCES = {
    "approval": ngettext_lazy(
        "The message to %(shown)s person waits for approval.",
        "The message to %(shown)s people waits for approval.",
        "n",
    ),
    "held": ngettext_lazy(
        "The message to %(shown)s person leaves in %(seconds)s seconds.",
        "The message to %(shown)s people leaves in %(seconds)s seconds.",
        "n",
    ),
    "scheduled": ngettext_lazy(
        "The message to %(shown)s person is scheduled.", "The message to %(shown)s people is scheduled.", "n"
    ),
}


def is_needed(form: Compose) -> bool:
    """Numbers that were typed are known to whoever typed them; lists and merge fields have to be looked at first."""
    return bool(form.chosen_lists or form.cleaned_data.get("merges"))


def was_seen(request: HttpRequest, form: Compose) -> bool:
    """Send was pressed on the page itself, not Next below the texts, and there are not many more people by now."""
    seen = message_log.read_id(request.POST.get("seen", ""))
    return seen is not None and not {"from", "exact"} & request.POST.keys() and form.reach.kept <= seen * GROWTH


def show(request: HttpRequest, form: Compose) -> HttpResponse:
    """The page holds the whole form, so nothing is lost on the way back, and nothing is kept here."""
    draft = form.draft(request.user)
    start = message_log.read_id(request.POST.get("from", "")) or 0
    context = {
        "readings": preflight.readings(draft, form.sample, start),
        "others": len(form.sample.people) > preflight.AT_ONCE,
        "before": max(0, start - preflight.AT_ONCE),
        "after": start + preflight.AT_ONCE,
        "start": start,
        "merges": draft.merges,
        "open": "{",
        "close": "}",
    }
    if request.htmx and "exact" not in request.POST:
        return render(request, "messaging/preflight.html#readings", context)
    flight = preflight.look(draft, form.recipients, form.reach, form.sample)
    context |= {
        "flight": flight,
        "through": draft.route or draft.account,
        "lasts": _lasts(flight.course),
        "held": draft.due_at is None and flight.approval is None,
        "kept_fields": _fields(request),
        "more_now": "seen" in request.POST and not {"from", "exact"} & request.POST.keys(),
        "counting": form.reach.about and "exact" not in request.POST,
    }
    return render(request, "messaging/preflight.html", context)


def _lasts(course: Course) -> str:
    if course.ends is None or course.lasts is None:
        return ""
    if course.lasts < timedelta(minutes=1):
        return _("within a minute")
    return _("%s in all") % timesince(course.begins, course.ends)


def _fields(request: HttpRequest) -> list[tuple[str, str]]:
    """The compose form as it was sent."""
    return [(name, value) for name, values in request.POST.lists() if name not in OURS for value in values]


def sent(request: HttpRequest, form: Compose, campaign: Campaign) -> HttpResponse:
    """On to the campaign's page, with a notice that lets it be taken back while nothing has left."""
    state = conduct.state(campaign)
    back = reverse("messaging-undo", args=[campaign.pk]) if state in NOTHING_LEFT else ""
    shown = message_log.read_id(request.POST.get("seen", "")) if form.reach.about else None
    messages.success(request, _said(state, shown or form.reach.kept), extra_tags=back)
    return redirect(_place(request, campaign))


def _said(state: str, n: int) -> str:
    return SENTENCES.get(state, ON_ITS_WAY) % {"n": n, "shown": intcomma(n), "seconds": settings.SMSDASH_UNDO_SECONDS}


def _place(request: HttpRequest, campaign: Campaign) -> str:
    if not request.user.has_perm("messaging.view_message"):
        return reverse("messaging-compose")
    try:
        return reverse("campaign", args=[campaign.pk])
    except NoReverseMatch:
        return f"{reverse('messaging-log')}?campaign={campaign.pk}"


@login_required
@permission_required("messaging.add_message", raise_exception=True)
@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    """For whoever sent it, and for those who may change campaigns."""
    campaign = get_object_or_404(Campaign.objects.defer("recipients"), pk=pk)
    if campaign.created_by_id != request.user.pk and not request.user.has_perm("messaging.change_campaign"):
        raise PermissionDenied
    held = conduct.state(campaign) in NOTHING_LEFT
    if not conduct.cancel(campaign, request.user):
        messages.warning(request, _("This campaign is over already; nothing of it could be taken back."))
    elif held:
        messages.success(request, _("Taken back. Nothing was sent."))
    else:
        messages.warning(request, _("The first messages had left already. The others are taken back."))
    return redirect(_place(request, campaign))
