"""What holds for every page: times in the person's own zone, and no login page inside a live fragment."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.shortcuts import resolve_url
from django.utils import timezone

Next = Callable[[HttpRequest], HttpResponse]


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
