from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def compose(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def log(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def message(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse()
