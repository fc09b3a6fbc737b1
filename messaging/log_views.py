"""The message log, and what is done with the messages that it shows."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import push_url

from providers.models import ProviderAccount
from providers.types import Status

from . import bulk, exporting, pages, parking
from . import cancel as canceling
from . import log as message_log
from . import resolve as resolving
from .log_forms import FORMS, Ask
from .models import Campaign, Message

# messages with which the same can be done, and an action that tells which these are
GROUPS = {"waiting": "cancel", "uncertain": "sent", "over": "resend"}


@login_required
@permission_required("messaging.view_message", raise_exception=True)
@require_GET
@never_cache
def log(request: HttpRequest) -> HttpResponse:
    """The page, or its fragment: for the filters as they change, and for the poller (204 while ``v`` still holds)."""
    filters = message_log.Filters.from_query(request.GET)
    kept = message_log.kept(filters)
    polling = request.htmx and "v" in request.GET
    if polling and request.GET["v"] == str(kept.version):
        return HttpResponse(status=204)
    context = _rows(request, filters, kept)
    if polling:
        return render(request, "messaging/log.html#rows", context)
    url = f"{reverse('messaging-log')}?{filters.query()}".removesuffix("?")
    if request.htmx:
        return push_url(render(request, "messaging/log.html#rows", context), url)
    campaign = Campaign.objects.only("name", "text").filter(pk=filters.campaign).first() if filters.campaign else None
    more = {"campaign": campaign, "periods": message_log.PERIODS, **_actions()}
    return render(request, "messaging/log.html", context | more)


@login_required
@permission_required("messaging.view_message", raise_exception=True)
@require_GET
def export(request: HttpRequest) -> StreamingHttpResponse:
    """All rows of the filters as CSV."""
    filters = message_log.Filters.from_query(request.GET)
    return exporting.answer(filters, names=request.user.has_perm("contacts.view_contact"))


def _rows(request: HttpRequest, filters: message_log.Filters, kept: message_log.Kept) -> dict[str, Any]:
    accounts = ProviderAccount.objects.only("name").in_bulk()
    page = pages.page(filters)
    groups = _groups(request)
    for row in page.rows:
        row.account = accounts[row.account_id]
        row.group = groups.get(row.status, "")
        row.leaves = parking.leaves_at(row) if filters.status == Status.SCHEDULED else None
    counts = {status: kept.counts[status] for status in filters.statuses}
    return {
        "filters": filters,
        "accounts": accounts.values(),
        "page": page,
        "tabs": message_log.tabs(filters, kept.counts),
        "version": kept.version,
        "groups": set(groups.values()),
        "offered": {groups[status] for status, n in counts.items() if n and status in groups},
        "total": sum(counts.values()) if filters.counted else None,
    }


def _groups(request: HttpRequest) -> dict[str, str]:
    """What this person can do with a message in a status: cancel those that wait, and so on."""
    allowed = {name for name, action in bulk.ACTIONS.items() if request.user.has_perm(action.permission)}
    return {
        status: group for group, name in GROUPS.items() if name in allowed for status in bulk.ACTIONS[name].statuses
    }


# --- What is done with them --------------------------------------------------------------------------


@login_required
@permission_required("messaging.view_message", raise_exception=True)
@require_POST
def act(request: HttpRequest) -> HttpResponse:
    """Do ``action`` with the messages named by ``id``, or with ``whole`` with all of ``filters``; then go to ``next``.

    What cannot be undone, or needs an answer, is asked first: that form comes back with ``sure``, and a ``token`` that
    makes of a double click one.
    """
    name = request.POST.get("action", "")
    action = bulk.ACTIONS.get(name)
    if action is None:
        return _back(request)
    if not request.user.has_perm(action.permission):
        raise PermissionDenied
    sure = "sure" in request.POST or not action.asks
    form = FORMS[name](request.POST if sure else None)
    if not (sure and form.is_valid()):
        return _ask(request, name, form)
    if "whole" in request.POST:
        token = request.POST.get("token", "") or uuid.uuid4().hex
        started = bulk.start(name, _whole(request), form.values, request.user, token)
        if started.finished_at:
            _tell(request, name, started.done, started.values["skipped"])
    else:
        did = bulk.with_these(name, _ids(request), form.values, str(request.user))
        _tell(request, name, did.n, did.skipped)
    return _back(request)


def _ask(request: HttpRequest, name: str, form: Ask) -> HttpResponse:
    whole = "whole" in request.POST
    ids = _ids(request)
    filters = _whole(request)
    suitable = Message.objects.filter(pk__in=ids, status__in=bulk.ACTIONS[name].statuses)
    context = {
        "name": name,
        "form": form,
        "whole": whole,
        "ids": ids,
        "filters": filters,
        "n": bulk.count(name, filters) if whole else suitable.count(),
        "limit": bulk.AT_ONCE,
        "token": uuid.uuid4().hex,
        "next": _next(request),
    }
    return render(request, "messaging/act.html", context)


def _ids(request: HttpRequest) -> set[int]:
    return {pk for text in request.POST.getlist("id") if (pk := message_log.read_id(text))}


def _whole(request: HttpRequest) -> message_log.Filters:
    return message_log.Filters.from_query(QueryDict(request.POST.get("filters", "")))


def _tell(request: HttpRequest, name: str, n: int, skipped: Mapping[str, int]) -> None:
    said, left_out = bulk.said(name, n), bulk.left_out(skipped)
    if n:
        messages.success(request, said)
    if left_out:
        messages.warning(request, left_out)
    if not n and not left_out:
        messages.warning(request, _("There was no message for which that can be done."))


@login_required
@permission_required("messaging.view_message", raise_exception=True)
@require_GET
@never_cache
def actions(request: HttpRequest) -> HttpResponse:
    """What is being done with whole filters: a fragment of the log."""
    return render(request, "messaging/log.html#actions", _actions())


def _actions() -> dict[str, Any]:
    found = bulk.shown()
    return {"actions": found, "running": any(one.action.finished_at is None for one in found)}


@login_required
@permission_required("messaging.change_message", raise_exception=True)
@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    bulk.stop(pk, str(request.user))
    return _back(request)


@login_required
@permission_required("messaging.change_message", raise_exception=True)
@require_POST
def cancel(request: HttpRequest) -> HttpResponse:
    """Cancel the messages named by ``id``, then go back to ``next``."""
    ids = _ids(request)
    done = canceling.cancel(ids, str(request.user))
    if done:
        messages.success(request, ngettext("%d message is canceled.", "%d messages are canceled.", done) % done)
    if done < len(ids):
        late = len(ids) - done
        said = ngettext("%d message had left already.", "%d messages had left already.", late) % late
        messages.warning(request, said)
    return _back(request)


@login_required
@permission_required("messaging.change_message", raise_exception=True)
@require_POST
def resolve(request: HttpRequest) -> HttpResponse:
    """Settle the uncertain messages named by ``id``: ``as`` is ``sent`` or ``again``. Then go back to ``next``."""
    ids = _ids(request)
    if request.POST.get("as") == "again":
        done = resolving.send_again(ids)
        said = ngettext("%d message is queued again.", "%d messages are queued again.", done)
    else:
        done = resolving.count_as_sent(ids, str(request.user))
        said = ngettext("%d message is counted as sent.", "%d messages are counted as sent.", done)
    messages.success(request, said % done) if done else messages.warning(request, _("Nothing was uncertain any more."))
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    return redirect(_next(request) or "messaging-log")


def _next(request: HttpRequest) -> str:
    """The page named by ``next``, if it is one of ours."""
    back = request.POST.get("next", "")
    here = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=settings.HTTPS)
    return back if here else ""
