from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def accounts(request: HttpRequest) -> HttpResponse:
    return HttpResponse()
