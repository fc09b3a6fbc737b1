"""Saved codes and the times at which they are dialled."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from . import cards
from .forms import SavedCodeForm, ScheduleForm
from .models import SavedCode, UssdSchedule


@login_required
@permission_required("devices.view_savedcode", raise_exception=True)
@require_GET
def codes(request: HttpRequest) -> HttpResponse:
    found = SavedCode.objects.select_related("sim__device")
    schedules = UssdSchedule.objects.select_related("saved", "sim__device", "created_by")
    return render(request, "devices/codes.html", {"codes": found, "schedules": schedules})


@login_required
@permission_required("devices.add_savedcode", raise_exception=True)
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    return _edit(request, None)


@login_required
@permission_required("devices.change_savedcode", raise_exception=True)
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    return _edit(request, get_object_or_404(SavedCode, pk=pk))


def _edit(request: HttpRequest, saved: SavedCode | None) -> HttpResponse:
    """``try``: see what the pattern finds, and save nothing."""
    initial = {"code": request.GET.get("code", ""), "sample": request.GET.get("sample", "")} if not saved else {}
    row = SavedCode.objects.get(pk=saved.pk) if saved else None  # what stands beside the form stays as it is stored
    form = SavedCodeForm(request.POST or None, instance=row, by=request.user, sims=cards.sims(), initial=initial)
    context: dict[str, Any] = {"form": form, "saved": saved}
    if request.method == "POST" and "try" in request.POST:
        context["tried"] = form.tried()
        if request.htmx:
            return render(request, "devices/code_form.html#tried", context)
        form.errors.clear()
    elif request.method == "POST" and form.is_valid():
        made = form.save()
        messages.success(request, _("The code %s is saved.") % made)
        return redirect("devices-codes")
    return render(request, "devices/code_form.html", context)


@login_required
@permission_required("devices.delete_savedcode", raise_exception=True)
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    saved = get_object_or_404(SavedCode, pk=pk)
    saved.delete()
    messages.success(request, _("The code %s is deleted.") % saved)
    return redirect("devices-codes")


@login_required
@permission_required("devices.add_ussdschedule", raise_exception=True)
@require_http_methods(["GET", "POST"])
def schedule(request: HttpRequest) -> HttpResponse:
    return _schedule(request, None)


@login_required
@permission_required("devices.change_ussdschedule", raise_exception=True)
@require_http_methods(["GET", "POST"])
def edit_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    return _schedule(request, get_object_or_404(UssdSchedule.objects.select_related("saved", "sim__device"), pk=pk))


def _schedule(request: HttpRequest, found: UssdSchedule | None) -> HttpResponse:
    initial = {name: request.GET[name] for name in ("saved", "sim") if name in request.GET} if not found else {}
    row = UssdSchedule.objects.get(pk=found.pk) if found else None
    form = ScheduleForm(request.POST or None, instance=row, by=request.user, sims=cards.sims(), initial=initial)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("The changes are saved.") if found else _("The code is dialled at its times now."))
        return redirect("devices-codes")
    return render(request, "devices/schedule_form.html", {"form": form, "schedule": found})


@login_required
@permission_required("devices.delete_ussdschedule", raise_exception=True)
@require_POST
def delete_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(UssdSchedule, pk=pk).delete()
    messages.success(request, _("The code is no longer dialled by itself."))
    return redirect("devices-codes")
