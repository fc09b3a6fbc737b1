"""Routes: accounts that stand in for each other."""

from __future__ import annotations

from typing import Any, Literal

from django.db.models import QuerySet
from ninja import Query, Router, Schema
from pydantic import Field

from messaging import routes
from messaging.models import Route, RouteMember

from ..models import ApiKey
from . import reading
from .caller import READ
from .door import Call
from .errors import answers
from .schemas import Id, Next, Paging, page

router = Router(by_alias=True, auth=READ, tags=["Routes"])


class MemberOut(Schema):
    account_id: Id
    account: str
    weight: int
    prefixes: list[str] = Field(description="Beginnings of the numbers that it is for; empty: all.", examples=[["+44"]])
    can_send: bool = Field(description="Whether what is given to it leaves now.")


class RouteOut(Schema):
    route_id: Id
    name: str
    strategy: Literal["ordered", "weighted"] = Field(
        description="ordered: the first account that can send; weighted: each gets its share."
    )
    accounts: list[MemberOut]
    problems: list[str] = Field(description="Why nothing can be sent through it; empty: it can.")


class RoutePage(Schema):
    routes: list[RouteOut]
    next: Next


@router.get("/routes", response=answers(RoutePage), summary="List the routes that this key may use")
def listed(request: Call, asked: Query[Paging]) -> Any:
    """Those that `route_id` of a campaign takes."""
    rows, edge = reading.cut(usable(request.key), asked)
    return page("routes", [_written(row) for row in rows], edge)


@router.get("/routes/{route_id}", response=answers(RouteOut), summary="Get a route")
def get(request: Call, route_id: str) -> Any:
    return _written(reading.one(usable(request.key), route_id, "route"))


def usable(key: ApiKey) -> QuerySet[Route]:
    """Any, for a key that may use all accounts and is bound to none; else that which it is bound to."""
    free = key.account_id is None and key.route_id is None and not key.accounts.exists()
    return Route.objects.all() if free else Route.objects.filter(pk=key.route_id or 0)


def _written(row: Route) -> dict[str, Any]:
    members = routes.members(row)
    return {
        "route_id": row.pk,
        "name": row.name,
        "strategy": row.strategy,
        "accounts": [_member(one) for one in members],
        "problems": [str(problem) for problem in routes.check(row)],
    }


def _member(one: RouteMember) -> dict[str, Any]:
    return {
        "account_id": one.account_id,
        "account": one.account.name,
        "weight": one.weight,
        "prefixes": one.prefixes.split(),
        "can_send": routes.can_send(one.account),
    }
