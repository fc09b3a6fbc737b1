"""The pages of phones and their SIMs: how they are doing, what we call them, and what they may send."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from providers.models import ProviderAccount
from providers.types import Feature

from . import balances, cards, standing, tasks
from .forms import PhoneForm, SimForm
from .models import Device, Sim, UssdRequest


@login_required
@permission_required("devices.view_device", raise_exception=True)
@require_GET
@never_cache
def devices(request: HttpRequest) -> HttpResponse:
    """The page, or for its poller the fragment: 204 while ``v`` still holds."""
    shelves = cards.shelves()
    version = cards.version(shelves)
    if request.htmx and request.GET.get("v") == version:
        return HttpResponse(status=204)
    busy = any(shelf.check and shelf.check.waiting for shelf in shelves)
    context = {"shelves": shelves, "version": version, "busy": busy}
    return render(request, f"devices/devices.html{'#shelves' if request.htmx else ''}", context)


@login_required
@permission_required("devices.change_device", raise_exception=True)
@require_POST
def sync(request: HttpRequest, pk: int) -> HttpResponse:
    """Have the phones of an account listed now."""
    account = get_object_or_404(ProviderAccount.objects.defer("credentials"), pk=pk)
    if account not in cards.accounts() or not account.can(Feature.DEVICES):
        raise Http404
    tasks.start_sync(pk)
    return redirect("devices-devices")


@login_required
@permission_required("devices.view_device", raise_exception=True)
@require_http_methods(["GET", "POST"])
def device(request: HttpRequest, pk: int) -> HttpResponse:
    """One phone with its SIMs; POST saves what we call it."""
    if request.method == "GET":
        return _page(request, pk)
    if not request.user.has_perm("devices.change_device"):
        raise PermissionDenied
    phone = _phone(pk)
    form = PhoneForm(request.POST, instance=phone, sims=list(phone.sims.all()))
    if form.is_valid():
        form.save()
        messages.success(request, _("The changes are saved."))
        return redirect("devices-device", pk)
    return _page(request, pk, form=form)


@login_required
@permission_required("devices.change_sim", raise_exception=True)
@require_POST
def sim(request: HttpRequest, pk: int) -> HttpResponse:
    """Save what we call a SIM and how much it may send."""
    row = get_object_or_404(Sim.objects.select_related("device"), pk=pk)
    form = SimForm(request.POST, instance=row, prefix=f"sim{pk}")
    if form.is_valid():
        form.save()
        messages.success(request, _("The changes are saved."))
        return redirect("devices-device", row.device_id)
    return _page(request, row.device_id, sim_form=form)


@login_required
@permission_required("devices.change_device", raise_exception=True)
@require_POST
def switch(request: HttpRequest, pk: int, paused: bool) -> HttpResponse:
    """Pause a phone, or let it send again."""
    phone = get_object_or_404(Device, pk=pk)
    _set_pause(request, phone, paused)
    return redirect("devices-device", pk)


@login_required
@permission_required("devices.change_sim", raise_exception=True)
@require_POST
def switch_sim(request: HttpRequest, pk: int, paused: bool) -> HttpResponse:
    row = get_object_or_404(Sim.objects.select_related("device"), pk=pk)
    _set_pause(request, row, paused)
    return redirect("devices-device", row.device_id)


def _set_pause(request: HttpRequest, row: Device | Sim, paused: bool) -> None:
    standing.set_paused(row, paused, request.user.get_username())
    said = _("%s is paused within seconds. What is meant for it waits.") if paused else _("%s sends again.")
    messages.success(request, said % row)


def _page(
    request: HttpRequest, pk: int, form: PhoneForm | None = None, sim_form: SimForm | None = None
) -> HttpResponse:
    """Of the row as it is stored, not as somebody just typed it."""
    (card,) = cards.cards([_phone(pk)])
    lines = [(line, _sim_form(line.sim, sim_form), _charts(line)) for line in card.sims]
    dialled = UssdRequest.objects.filter(account=card.phone.account_id, device_id=card.phone.device_id)
    context = {
        "card": card,
        "phone": card.phone,
        "form": form or PhoneForm(instance=card.phone, sims=[line.sim for line in card.sims]),
        "lines": lines,
        "dials": card.phone.account.can(Feature.USSD),
        "last_dialled": dialled.order_by("-pk").first(),
    }
    return render(request, "devices/device.html", context)


def _phone(pk: int) -> Device:
    rows = Device.objects.select_related("account").defer("account__credentials")
    return get_object_or_404(rows, pk=pk)


def _sim_form(sim: Sim, bound: SimForm | None) -> SimForm:
    return bound if bound and bound.instance.pk == sim.pk else SimForm(instance=sim, prefix=f"sim{sim.pk}")


def _charts(line: cards.SimLine) -> list[tuple[Any, Any]]:
    return [(balance, balances.history(balance)) for balance in line.balances]
