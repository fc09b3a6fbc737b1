"""What holds for every page: times in the person's own zone, no login page inside a live fragment, no strangers' files.
And the short way to what is no page: programs have no session, no cookies and no language.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.shortcuts import resolve_url
from django.urls import get_resolver
from django.utils import timezone, translation
from django.utils.translation import gettext as _

import api.urls

Next = Callable[[HttpRequest], HttpResponse]

FOR_PROGRAMS = ("/callbacks/", *api.urls.BEGINNINGS)  # what these paths begin with is called by programs only


def straight_to_programs(get_response: Next) -> Next:
    """Programs are answered by the view alone: no middleware after this one is asked."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(FOR_PROGRAMS):
            return get_response(request)
        translation.deactivate()  # what a page before left in this thread
        request.resolver_match = match = get_resolver().resolve(request.path_info)
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        if not response.streaming:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response

    return middleware


def files_of_importers_alone(get_response: Next) -> Next:
    """What is longer than a form comes from those who may import: a stranger could fill the disk by it. Our own API
    takes nothing so long, and says so in its own words."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith("/v1/"):
            return get_response(request)
        told = request.META.get("CONTENT_LENGTH") or "0"
        long = not told.isdecimal() or int(told) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if long and not request.user.has_perm("contacts.add_import"):
            return HttpResponse(_("This is too long. Send less at once."), status=413, content_type="text/plain")
        return get_response(request)

    return middleware


def local_times(get_response: Next) -> Next:
    """Use the time zone that the browser told in a cookie (static/js/app.js), where it is one."""

    def middleware(request: HttpRequest) -> HttpResponse:
        name = request.COOKIES.get("timezone", "")
        if name not in _zones():
            return get_response(request)
        with timezone.override(zoneinfo.ZoneInfo(name)):
            return get_response(request)

    return middleware


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def no_login_in_fragments(get_response: Next) -> Next:
    """A poller whose session ended gets 403; the page then says so and links to the login."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.headers.get("HX-Request") and response.get("Location", "").startswith(
            resolve_url(settings.LOGIN_URL)
        ):
            return HttpResponseForbidden()
        return response

    return middleware
