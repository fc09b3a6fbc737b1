"""The paths of /v1: its description, and behind the door everything else."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path, re_path
from ninja.operation import Operation

from . import docs, hooks, imports, wires
from .api import api
from .door import Before, View, door, nothing
from .errors import JSON

TAKES: Mapping[str, str] = {"/imports": imports.CSV}
BEFORE: Mapping[str, Before] = {"/webhooks/as/{format}": hooks.look_up}


def _patterns() -> list[URLPattern]:
    """One for each path, with or without a slash at its end, whichever routers its methods come from; fixed words
    before variables."""
    routes: dict[str, dict[str, Operation]] = defaultdict(dict)
    for bound in api._get_bound_routers():
        for route, view in bound.path_operations.items():
            routes[route] |= {method: operation for operation in view.operations for method in operation.methods}
    return [_pattern(route, routes[route]) for route in sorted(routes, key=_variables)]


def _variables(route: str) -> list[bool]:
    return [part.startswith("{") for part in route.split("/")]


def _pattern(route: str, operations: Mapping[str, Operation]) -> URLPattern:
    seeds = {method: each.view_func for method, each in operations.items() if (method, route) in wires.OPERATIONS}
    pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route.lstrip("/"))
    return re_path(f"^{pattern}/?$", door(_view(operations), seeds, BEFORE.get(route), TAKES.get(route, JSON)))


def _view(operations: Mapping[str, Operation]) -> View:
    def view(request: HttpRequest, **parts: Any) -> HttpResponse:
        operation = operations.get(request.method or "")
        return operation.run(request, **parts) if operation else HttpResponseNotAllowed(sorted(operations))

    return view


urlpatterns = [
    path("docs", docs.page, name="v1-docs"),
    path("openapi.json", docs.openapi, name="v1-openapi"),
    *_patterns(),
    path("<path:rest>", door(nothing)),
    path("", door(nothing)),
]
