"""The pages of webhooks: which there are and how they do, what was posted, and posting it once more.

A secret is shown in the answer to the request that made it, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from messaging.log import read_id
from providers import guard

from . import clock, formats, webhooks
from .models import Delivery, Webhook
from .webhook_forms import WebhookForm, allow

PAGE = 50
TRIES = 50  # of a delivery, that are shown
Look = tuple[str, str, str | Promise]

# State to its tone, icon and word.
LOOKS: Mapping[str, Look] = {
    "works": ("ok", "circle-check", gettext_lazy("Works")),
    "failing": ("bad", "circle-x", gettext_lazy("Failing")),
    "paused": ("warn", "pause", gettext_lazy("Paused")),
    "off": ("quiet", "ban", gettext_lazy("Key out of use")),
}
DELIVERY_LOOKS: Mapping[str, Look] = {
    Delivery.State.WAITING: ("info", "clock", gettext_lazy("Waiting")),
    Delivery.State.DONE: ("ok", "check", gettext_lazy("Delivered")),
    Delivery.State.FAILED: ("bad", "circle-x", gettext_lazy("Given up")),
}
_rows = Webhook.objects.defer("sealed", "key__sealed", "key__log").select_related("key")


def look_of(row: Webhook) -> Look:
    off = not row.enabled or (row.key and (row.key.revoked_at or not row.key.enabled))
    states = {"off": off, "paused": row.paused_reason, "failing": row.failures}
    return LOOKS[next((name for name, holds in states.items() if holds), "works")]


def events_of(row: Webhook) -> list[str]:
    return [str(formats.EVENTS[name]) for name in formats.EVENTS if name in row.events]


# --- Looking -------------------------------------------------------------------------------------------------


@login_required
@permission_required("api.view_webhook", raise_exception=True)
@require_GET
@never_cache
def listed(request: HttpRequest) -> HttpResponse:
    """Newest first. ``callbacks``: those that requests named; ``before``: the id that an older page goes on from."""
    callbacks, before = bool(request.GET.get("callbacks")), read_id(request.GET.get("before", ""))
    newest = Delivery.objects.filter(webhook=OuterRef("pk")).order_by("-pk").values("created_at")[:1]
    rows = _rows.filter(for_campaigns=callbacks).annotate(last_at=Subquery(newest)).order_by("-pk")
    found = list((rows.filter(pk__lt=before) if before else rows)[: PAGE + 1])
    context = {
        "lines": [(row, look_of(row)) for row in found[:PAGE]],
        "callbacks": callbacks,
        "any_callbacks": callbacks or Webhook.objects.filter(for_campaigns=True).exists(),
        "older": found[PAGE - 1].pk if len(found) > PAGE else None,
        "before": before,
    }
    return render(request, "api/webhooks.html", context)


@login_required
@permission_required("api.view_webhook", raise_exception=True)
@require_GET
@never_cache
def webhook(request: HttpRequest, pk: int) -> HttpResponse:
    """The page, or its fragment for the poller: 204 while ``v`` still holds. ``state`` narrows its deliveries."""
    row = get_object_or_404(_rows, pk=pk)
    state, before = request.GET.get("state", ""), read_id(request.GET.get("before", ""))
    found = list(_deliveries(row, state, before)[: PAGE + 1])
    facts = [(each.pk, each.state, each.attempts, each.next_at) for each in found]
    stands = (row.failures, row.paused_reason, row.hold_until, row.url, row.enabled)
    version = sha256(repr((facts, stands)).encode()).hexdigest()[:16]
    if request.htmx and request.GET.get("v") == version:
        return HttpResponse(status=204)
    tabs = [("", _("All")), *Delivery.State.choices]
    context = {
        "webhook": row,
        "look": look_of(row),
        "events": events_of(row),
        "lines": [(each, DELIVERY_LOOKS[each.state], _next(row, each)) for each in found[:PAGE]],
        "state": state,
        "tabs": [(_query(state=name), label, name == state) for name, label in tabs],
        "here": _query(state=state),
        "older": _query(state=state, before=str(found[PAGE - 1].pk)) if len(found) > PAGE else "",
        "before": before,
        "live": not before,
        "version": version,
        "failed": row.deliveries.filter(state=Delivery.State.FAILED).exists(),
        "private_host": _private_host(row),
        "signed_by_key": row.key and row.format == Webhook.Format.SMSGATEWAY,
    }
    return render(request, f"api/webhook.html{'#detail' if request.htmx else ''}", context)


def _deliveries(row: Webhook, state: str, before: int | None) -> QuerySet[Delivery]:
    """Without what was posted: that is long."""
    rows = row.deliveries.order_by("-pk").defer("body")
    rows = rows.filter(state=state) if state in Delivery.State.values else rows
    return rows.filter(pk__lt=before) if before else rows


def _next(row: Webhook, each: Delivery) -> datetime | None:
    """When a delivery is tried next; None: it is over, or the webhook is paused."""
    if each.done_at or row.paused_reason:
        return None
    return max(each.next_at, row.hold_until or each.next_at)


def _query(**values: str) -> str:
    return urlencode({name: value for name, value in values.items() if value})


def _private_host(row: Webhook) -> str:
    """The host that nothing is posted to because nobody allowed it."""
    host = guard.host_of(row.url)
    return host if row.paused_reason == str(guard.PrivateHost(host)) else ""


@login_required
@permission_required("api.view_webhook", raise_exception=True)
@require_GET
@never_cache
def delivery(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Delivery.objects.select_related("webhook").defer("webhook__sealed"), pk=pk)
    room, _colon, subject = row.subject.partition(":")
    context = {
        "delivery": row,
        "webhook": row.webhook,
        "look": DELIVERY_LOOKS[row.state],
        "next_at": _next(row.webhook, row),
        "tries": [
            (each, "\n".join(f"{name}: {value}" for name, value in each.headers.items()))
            for each in row.tries.order_by("-pk")[:TRIES]
        ],
        "message": read_id(subject) if room == "message" else None,
        "replays": Delivery.objects.filter(webhook=row.webhook_id, replay_of=row.pk).order_by("pk")[:TRIES],
    }
    return render(request, "api/delivery.html", context)


# --- Making and changing -------------------------------------------------------------------------------------


@login_required
@permission_required("api.add_webhook", raise_exception=True)
@require_http_methods(["GET", "POST"])
@sensitive_variables()
def new(request: HttpRequest) -> HttpResponse:
    form = _form(request, Webhook(created_by=request.user))
    if not (form.is_bound and form.is_valid()):
        return render(request, "api/webhook_form.html", {"form": form})
    form.instance.sealed = {"secret": formats.new_secret()}
    row = webhooks.save(form.save(commit=False))
    if row.key and row.format == Webhook.Format.SMSGATEWAY:
        messages.success(request, _("The webhook is there. What it is told is signed with the API key itself."))
        return redirect("api-webhook", row.pk)
    return _shown(request, row, row.sealed["secret"])


def _form(request: HttpRequest, row: Webhook) -> WebhookForm:
    """With ``allow`` an administrator allows the host of the URL first."""
    host = request.POST.get("allow", "")
    if host:
        _check_may_allow(request)
        if host == guard.host_of(request.POST.get("url", "")):
            allow(host)
    return WebhookForm(request.POST or None, instance=row)


def _check_may_allow(request: HttpRequest) -> None:
    if not request.user.has_perm("providers.add_allowedhost"):
        raise PermissionDenied


@login_required
@permission_required("api.change_webhook", raise_exception=True)
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(_rows, pk=pk, for_campaigns=False)
    form = _form(request, row)
    if form.is_bound and form.is_valid():
        webhooks.save(form.save(commit=False), [*form.Meta.fields])
        messages.success(request, _("The changes are saved."))
        return redirect("api-webhook", pk)
    return render(request, "api/webhook_form.html", {"form": form, "webhook": _rows.get(pk=pk)})


@login_required
@permission_required("api.change_webhook", raise_exception=True)
@require_POST
@sensitive_variables()
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(_rows, pk=pk, for_campaigns=False)
    return _shown(request, row, webhooks.rotate(row))


@never_cache
@sensitive_variables()
def _shown(request: HttpRequest, row: Webhook, secret: str) -> HttpResponse:
    return render(request, "api/webhook_secret.html", {"webhook": row, "secret": secret})


@login_required
@permission_required("api.delete_webhook", raise_exception=True)
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(_rows, pk=pk)
    webhooks.delete(row)
    messages.success(request, _("The webhook %s is deleted.") % row)
    return redirect("api-webhooks")


# --- Acting --------------------------------------------------------------------------------------------------


def _test(request: HttpRequest, row: Webhook) -> str:
    webhooks.test(row)
    if row.paused_reason:
        return _("The test event waits with the others until the webhook is resumed.")
    return _("A test event is on its way.")


def _pause(request: HttpRequest, row: Webhook) -> str:
    webhooks.pause(row, _("Paused by %s.") % request.user)
    return _("The webhook is paused. What happens is kept for it.")


def _resume(request: HttpRequest, row: Webhook) -> str:
    webhooks.resume(row)
    return _("The webhook goes on. What was kept is delivered now.")


def _allow(request: HttpRequest, row: Webhook) -> str:
    _check_may_allow(request)
    allow(guard.host_of(row.url))
    webhooks.resume(row)
    return _("The host is allowed, and the webhook goes on.")


def _replay(request: HttpRequest, row: Webhook) -> str:
    return _("%d deliveries are posted once more.") % webhooks.replay_failed(row)


ACTIONS: Mapping[str, Callable[[HttpRequest, Webhook], str]] = {
    "test": _test,
    "pause": _pause,
    "resume": _resume,
    "allow": _allow,
    "replay": _replay,
}


@login_required
@permission_required("api.change_webhook", raise_exception=True)
@require_POST
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """Do ``action`` with the webhook and show it again."""
    row = get_object_or_404(_rows, pk=pk)
    if action := ACTIONS.get(request.POST.get("action", "")):
        messages.success(request, action(request, row))
        clock.deliver()
    return redirect("api-webhook", pk)


@login_required
@permission_required("api.change_webhook", raise_exception=True)
@require_POST
def replay(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Delivery, pk=pk)
    if row.state == Delivery.State.WAITING:
        messages.warning(request, _("It is still on its way, so it is not posted a second time."))
        return redirect("api-delivery", pk)
    webhooks.replay([row])
    clock.deliver()
    messages.success(request, _("It is posted once more."))
    return redirect("api-webhook", row.webhook_id)
