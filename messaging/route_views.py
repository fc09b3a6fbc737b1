"""The pages of routes: their accounts in order and how these are doing; adding, changing and deleting them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models.deletion import ProtectedError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from providers import health
from providers.health import Health
from providers.models import ProviderAccount

from . import route_forms
from . import routes as routing
from .models import Message, Route, RouteMember


@dataclass(frozen=True, slots=True)
class Line:
    """An account on a route. ``share``: percent of what goes by weight; None where the order decides."""

    member: RouteMember
    account: ProviderAccount
    health: Health
    share: int | None


@dataclass(frozen=True, slots=True)
class Card:
    """``wrong``: why it cannot be used; ``hints``: what is worth knowing. Sentences."""

    route: Route
    lines: list[Line]
    wrong: list[str]
    hints: list[str]


def card(route: Route) -> Card:
    """No query, if the members are fetched."""
    found = routing.members(route)
    total = sum(member.weight for member in found)
    by_weight = route.strategy == Route.WEIGHTED and total
    lines = [
        Line(m, m.account, health.of(m.account), round(100 * m.weight / total) if by_weight else None) for m in found
    ]
    wrong = routing.check(route)
    return Card(route, lines, wrong, [] if wrong else routing.hints(route))


@login_required
@permission_required("messaging.view_route", raise_exception=True)
@require_GET
def routes(request: HttpRequest) -> HttpResponse:
    return render(request, "messaging/routes.html", {"cards": [card(route) for route in routing.every()]})


@login_required
@permission_required("messaging.add_route", raise_exception=True)
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    return _edit(request, None)


@login_required
@permission_required("messaging.view_route", raise_exception=True)
@require_http_methods(["GET", "POST"])
def route(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Route, pk=pk)
    if not request.user.has_perm("messaging.change_route"):
        if request.method == "POST":
            raise PermissionDenied
        return render(request, "messaging/route.html", _beside(found))
    return _edit(request, found)


def _edit(request: HttpRequest, found: Route | None) -> HttpResponse:
    if request.method == "POST" and "more" in request.POST:
        form, rows = route_forms.with_more_rows(request.POST)
    else:
        form = route_forms.RouteForm(request.POST or None, instance=found)
        rows = route_forms.members(request.POST or None, found, extra=1 if found else route_forms.MORE)
    if form.is_bound and all([form.is_valid(), rows.is_valid()]):
        saved = route_forms.save(form, rows)
        messages.success(request, _("The route %s is saved.") % saved)
        return redirect("messaging-routes")
    context = {"form": form, "rows": rows, **(_beside(Route.objects.get(pk=found.pk)) if found else {})}
    return render(request, "messaging/route.html", context)


def _beside(found: Route) -> dict[str, Any]:
    """What stands beside the form: of the route as it is stored, not as somebody just typed it."""
    return {"route": found, "card": card(found), "in_use": _in_use(found)}


def _in_use(found: Route) -> bool:
    """Whether a campaign or a key refers to the route. Its messages are not searched: nearly all have a campaign."""
    for relation in found._meta.get_fields(include_hidden=True):
        if getattr(relation, "on_delete", None) is models.PROTECT and relation.related_model is not Message:
            rows = relation.related_model._base_manager.filter(**{relation.field.name: found})
            if rows.order_by()[:1].exists():
                return True
    return False


@login_required
@permission_required("messaging.delete_route", raise_exception=True)
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Route, pk=pk)
    try:
        if _in_use(found):
            raise ProtectedError("", set())
        found.delete()
    except ProtectedError:
        messages.error(request, _("The route %s has campaigns or keys, so it cannot be deleted.") % found)
        return redirect("messaging-route", pk)
    messages.success(request, _("The route %s is deleted.") % found)
    return redirect("messaging-routes")
