"""The pages of auto-replies: the rules in their order; adding, changing, moving and deleting them."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from . import autoreply
from .autoreply_forms import AutoReplyForm
from .models import AutoReply


@login_required
@permission_required("messaging.view_autoreply", raise_exception=True)
@require_GET
def rules(request: HttpRequest) -> HttpResponse:
    found = AutoReply.objects.select_related("account").defer("account__credentials")
    context = {"rules": found, "limits": [(rate.limit, rate.seconds // 3600) for rate in autoreply.LIMITS]}
    return render(request, "messaging/autoreplies.html", context)


@login_required
@permission_required("messaging.add_autoreply", raise_exception=True)
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    return _edit(request, None)


@login_required
@permission_required("messaging.change_autoreply", raise_exception=True)
@require_http_methods(["GET", "POST"])
def rule(request: HttpRequest, pk: int) -> HttpResponse:
    return _edit(request, get_object_or_404(AutoReply, pk=pk))


def _edit(request: HttpRequest, found: AutoReply | None) -> HttpResponse:
    form = AutoReplyForm(request.POST or None, instance=found)
    if form.is_bound and form.is_valid():
        saved = form.save()
        messages.success(request, _("The auto-reply %s is saved.") % saved)
        return redirect("messaging-autoreplies")
    stored = AutoReply.objects.get(pk=found.pk) if found else None
    return render(request, "messaging/autoreply.html", {"form": form, "rule": stored})


@login_required
@permission_required("messaging.view_autoreply", raise_exception=True)
@require_POST
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """``action``: ``up``, ``down``, ``on``, ``off`` or ``delete``."""
    action = request.POST.get("action", "")
    if not request.user.has_perm(f"messaging.{'delete' if action == 'delete' else 'change'}_autoreply"):
        raise PermissionDenied
    found = get_object_or_404(AutoReply, pk=pk)
    if action in ("up", "down"):
        _move(found, -1 if action == "up" else 1)
    elif action in ("on", "off"):
        AutoReply.objects.filter(pk=pk).update(enabled=action == "on")
    elif action == "delete":
        found.delete()
        messages.success(request, _("The auto-reply %s is deleted.") % found)
    return redirect("messaging-autoreplies")


def _move(found: AutoReply, by: int) -> None:
    """Change places with the rule before or after it."""
    with transaction.atomic():
        ids = list(AutoReply.objects.select_for_update().values_list("pk", flat=True))
        at = ids.index(found.pk)
        to = min(max(0, at + by), len(ids) - 1)
        ids[at], ids[to] = ids[to], ids[at]
        for place, pk in enumerate(ids):
            AutoReply.objects.filter(pk=pk).update(position=place)
