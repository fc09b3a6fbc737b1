"""The USSD console: a thread for each SIM that fills in live, and the history of all."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from . import cards, history, saved_codes, ussd, ussd_codes
from .models import Sim, UssdRequest

SHOWN = 30  # entries of a thread


@login_required
@permission_required("devices.view_ussdrequest", raise_exception=True)
@require_http_methods(["GET", "POST"])
@never_cache
def console(request: HttpRequest) -> HttpResponse:
    """Pick a SIM (``?sim=``) and dial; POST dials ``code``, a dangerous one only with ``sure``."""
    sims = cards.sims()
    asked = (request.POST or request.GET).get("sim", "")
    sim = next((sim for sim in sims if str(sim.pk) == asked), None)
    if request.method == "POST":
        if not request.user.has_perm("devices.add_ussdrequest"):
            raise PermissionDenied
        return _dial(request, get_object_or_404(_sims(), pk=sim.pk if sim else 0), sims)
    return _console(request, sim if asked else next(iter(sims), None), sims)


def _sims() -> Any:
    return Sim.objects.select_related("device__account")


def _dial(request: HttpRequest, sim: Sim, sims: Sequence[Sim]) -> HttpResponse:
    code = request.POST.get("code", "")
    try:
        ussd.ask(sim, code, request.user, sure="sure" in request.POST)
    except ussd.Dangerous as error:
        if error.allowed:
            return render(request, "devices/confirm.html", {"sim": sim, "code": code, "what": error.what})
        return _console(request, sim, sims, code=code, refused=str(error))
    except ussd.Refused as error:
        return _console(request, sim, sims, code=code, refused=str(error))
    return redirect(f"{reverse('devices-ussd')}?{urlencode({'sim': sim.pk})}")


def _console(
    request: HttpRequest, sim: Sim | None, sims: Sequence[Sim], code: str = "", refused: str = ""
) -> HttpResponse:
    told = cards.balances([one.pk for one in sims])
    context: dict[str, Any] = {"sims": [(one, told[one.pk]) for one in sims], "sim": sim, "code": code}
    if sim:
        codes = [(saved, bool(ussd_codes.danger(saved.code))) for saved in saved_codes.for_sim(sim)]
        context |= {"refused": refused, "codes": codes, **_thread(sim)}
    return render(request, "devices/console.html", context, status=200)


@login_required
@permission_required("devices.view_ussdrequest", raise_exception=True)
@require_GET
@never_cache
def thread(request: HttpRequest, pk: int) -> HttpResponse:
    """The fragment of a SIM's thread: 204 while ``v`` still holds."""
    sim = get_object_or_404(Sim.objects.select_related("device"), pk=pk)
    context = _thread(sim)
    if request.GET.get("v") == context["version"]:
        return HttpResponse(status=204)
    if not request.htmx:
        return redirect(f"{reverse('devices-ussd')}?{urlencode({'sim': pk})}")
    return render(request, "devices/console.html#thread", {"sim": sim, **context})


def _thread(sim: Sim) -> dict[str, Any]:
    """The newest entries of a SIM, newest first. One query."""
    rows = UssdRequest.objects.filter(account_id=sim.device.account_id, device_id=sim.device.device_id, sim=sim.slot)
    found = list(rows.select_related("created_by", "saved").order_by("-pk")[: SHOWN + 1])
    shown = [(row.pk, row.state, row.error, row.response) for row in found]
    version = f"{zlib.crc32(repr(shown).encode()):08x}"
    return {"entries": found[:SHOWN], "more": len(found) > SHOWN, "version": version}


@login_required
@permission_required("devices.view_ussdrequest", raise_exception=True)
@require_GET
@never_cache
def past(request: HttpRequest) -> HttpResponse:
    """All codes that were dialled, by the filters of the URL."""
    filters = history.Filters.from_query(request.GET)
    sims = cards.sims()
    names = {(sim.device.account_id, sim.device.device_id, sim.slot): sim for sim in sims}
    page = history.page(filters)
    rows = [(row, names.get((row.account_id, row.device_id, row.sim or 0))) for row in page.rows]
    phones = list({sim.device_id: sim.device for sim in sims}.values())
    choices = [(phone, [sim for sim in sims if sim.device_id == phone.pk]) for phone in phones]
    context = {"filters": filters, "page": page, "rows": rows, "choices": choices}
    return render(request, "devices/history.html", context)
