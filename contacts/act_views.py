"""What is done with people: the selected ones, everybody of a filter, or one from their page."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from . import changes, directory
from .forms import FORMS, Ask
from .models import BulkChange, ContactList

MOST = 1_000  # people that can be named one by one


@login_required
@permission_required("contacts.view_contact", raise_exception=True)
@require_POST
def act(request: HttpRequest) -> HttpResponse:
    """Do ``action`` with the people named by ``id``, or with ``whole`` with all of ``filters``; then go to ``next``.

    ``list``: whose members they are. What needs an answer is asked first: that form comes back with ``sure``, and a
    ``token`` that makes of a double click one.
    """
    name = request.POST.get("action", "")
    action, of = changes.ACTIONS.get(name), _list(request)
    if action is None or name not in changes.OFFERED or (action.on_list and of is None):
        return _back(request)
    if not request.user.has_perm(action.permission):
        raise PermissionDenied
    whole, ids = "whole" in request.POST, _ids(request)
    asks = action.asks or whole
    form = FORMS[name](request.POST if "sure" in request.POST or not asks else None)
    if not form.is_valid():
        return _ask(request, name, form, of)
    if whole:
        changes.start(name, _whole(request, of), form.values, request.user, _token(request))
    elif ids:
        change = changes.with_these(name, ids, of, form.values, request.user)
        _tell(request, change)
    else:
        messages.warning(request, _("Nobody was selected. Tick the people first."))
    return _back(request, gone=name == "delete")


def _ask(request: HttpRequest, name: str, form: Ask, of: ContactList | None) -> HttpResponse:
    filters, ids = _whole(request, of), _ids(request)
    whole = "whole" in request.POST
    context = {
        "name": name,
        "form": form,
        "list": of,
        "whole": whole,
        "ids": ids,
        "filters": filters,
        "n": filters.total if whole else len(ids),
        "token": uuid.uuid4(),
        "next": _next(request) or reverse("contacts-contacts"),
    }
    return render(request, "contacts/act.html", context)


def _tell(request: HttpRequest, change: BulkChange) -> None:
    """A list's own page tells of what can be undone, and where to do it."""
    found = changes.progress(change)
    tells_itself = found.undoable and _next(request).startswith(reverse("contacts-list", args=[change.list_id]))
    if change.done and not tells_itself:
        messages.success(request, found.said)
    if found.left_out:
        messages.warning(request, found.left_out)
    if not change.done and not found.left_out:
        messages.warning(request, _("There was nobody for whom that can be done."))


@login_required
@permission_required("contacts.view_contact", raise_exception=True)
@require_GET
@never_cache
def progress(request: HttpRequest) -> HttpResponse:
    """What is being done with whole filters: a fragment of the pages that show people."""
    of = get_object_or_404(ContactList, pk=request.GET["list"]) if request.GET.get("list", "").isdigit() else None
    return render(request, "contacts/changes.html", told(of))


def told(of: ContactList | None) -> dict[str, Any]:
    """Template context: what is being done, and was done lately, with a list's members or with everybody."""
    found = changes.shown(of)
    return {"changes": found, "running": any(one.change.finished_at is None for one in found), "list": of}


@login_required
@permission_required("contacts.change_contact", raise_exception=True)
@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    changes.stop(pk, str(request.user))
    return _back(request)


@login_required
@permission_required("contacts.change_contact", raise_exception=True)
@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    """The list's page tells what became of it."""
    if changes.undo(pk, request.user) is None:
        messages.warning(request, _("That cannot be undone any more."))
    return _back(request)


def _ids(request: HttpRequest) -> list[int]:
    found = {int(text) for text in request.POST.getlist("id") if text.isascii() and text.isdigit() and len(text) < 19}
    return sorted(found)[:MOST]


def _list(request: HttpRequest) -> ContactList | None:
    pk = request.POST.get("list_id", "")
    return ContactList.objects.filter(pk=pk).first() if pk.isascii() and pk.isdigit() and len(pk) < 19 else None


def _whole(request: HttpRequest, of: ContactList | None) -> directory.Filters:
    return directory.Filters.from_query(QueryDict(request.POST.get("filters", "")), of)


def _token(request: HttpRequest) -> uuid.UUID:
    try:
        return uuid.UUID(request.POST.get("token", ""))
    except ValueError:
        return uuid.uuid4()


def _back(request: HttpRequest, gone: bool = False) -> HttpResponse:
    """``gone``: the page of somebody who is deleted is no place to go to."""
    place = _next(request)
    if gone and "/contacts/" in place and "?" not in place:
        place = ""
    return redirect(place or "contacts-contacts")


def _next(request: HttpRequest) -> str:
    """The page named by ``next``, if it is one of ours."""
    back = request.POST.get("next", "")
    here = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=settings.HTTPS)
    return back if here else ""
