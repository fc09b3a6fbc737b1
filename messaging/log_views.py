"""The message log, and what is done with the messages that it shows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import push_url

from providers.models import ProviderAccount

from . import cancel as canceling
from . import log as message_log
from . import pages
from . import resolve as resolving
from .models import Campaign


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
    context = _rows(filters, kept)
    if polling:
        return render(request, "messaging/log.html#rows", context)
    url = f"{reverse('messaging-log')}?{filters.query()}".removesuffix("?")
    if request.htmx:
        return push_url(render(request, "messaging/log.html#rows", context), url)
    campaign = Campaign.objects.only("name", "text").filter(pk=filters.campaign).first() if filters.campaign else None
    return render(request, "messaging/log.html", context | {"campaign": campaign, "periods": message_log.PERIODS})


def _rows(filters: message_log.Filters, kept: message_log.Kept) -> dict[str, Any]:
    accounts = ProviderAccount.objects.only("name").in_bulk()
    page = pages.page(filters)
    for row in page.rows:
        row.account = accounts[row.account_id]
    return {
        "filters": filters,
        "accounts": accounts.values(),
        "page": page,
        "tabs": message_log.tabs(filters, kept.counts),
        "version": kept.version,
        "cancelable": canceling.CANCELABLE,
    }


@login_required
@permission_required("messaging.change_message", raise_exception=True)
@require_POST
def cancel(request: HttpRequest) -> HttpResponse:
    """Cancel the messages named by ``id``, then go back to ``next``."""
    ids = {pk for text in request.POST.getlist("id") if (pk := message_log.read_id(text))}
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
    ids = {pk for text in request.POST.getlist("id") if (pk := message_log.read_id(text))}
    if request.POST.get("as") == "again":
        done = resolving.send_again(ids)
        said = ngettext("%d message is queued again.", "%d messages are queued again.", done)
    else:
        done = resolving.count_as_sent(ids, str(request.user))
        said = ngettext("%d message is counted as sent.", "%d messages are counted as sent.", done)
    messages.success(request, said % done) if done else messages.warning(request, _("Nothing was uncertain any more."))
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    """To the page named by ``next``, if it is one of ours."""
    back = request.POST.get("next", "")
    here = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=settings.HTTPS)
    return redirect(back if here else "messaging-log")
