"""The reference at /v1/docs, for people, and /v1/openapi.json, for programs. There is no data in them, so no login."""

from __future__ import annotations

from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from providers import wire

from .api import schema
from .errors import JSON


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_written(), content_type=JSON)


@cache
def _written() -> bytes:
    return wire.dump_json(schema())


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    return render(request, "api/docs.html")
