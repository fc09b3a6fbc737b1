"""What a key goes through: its own limits, and the provider accounts, how they are doing and how much is left."""

from __future__ import annotations

from typing import Any

from ninja import Query, Router, Schema
from pydantic import Field

from messaging import waiting
from providers import cards, errors

from .. import access
from . import reading
from .caller import ANY, READ
from .door import Call
from .errors import answers
from .schemas import Id, Next, Number, Paging, Time, page

router = Router(by_alias=True, auth=READ, tags=["Accounts"])


class Health(Schema):
    ok: bool
    state: str = Field(description="How it is doing, in a word.")
    reason: str
    since: Time | None
    next_look_at: Time | None


class Limit(Schema):
    rate: str = Field(examples=["100/minute"])
    used: int


class AccountOut(Schema):
    account_id: Id
    name: str
    kind: str
    enabled: bool
    paused: bool
    health: Health
    can: list[str] = Field(description="What its provider's API can do.")
    credits: Number | None = Field(description="null: unlimited, or not known.")
    credits_known: bool
    credits_seen_at: Time | None
    limits: list[Limit]
    waiting: int = Field(description="Messages that have not left.")


class AccountPage(Schema):
    accounts: list[AccountOut]
    next: Next


class KeyOut(Schema):
    name: str
    ends_in: str
    scopes: list[str]
    reads_all: bool = Field(description="It reads every message of its accounts, not its own alone.")
    account_ids: list[Id] = Field(description="The accounts that it may use; empty: all.")
    sends_through_account_id: Id | None
    sends_through_route_id: Id | None
    cannot_send: str = Field(description="Why it cannot; empty: it can.")
    addresses: list[str] = Field(description="The networks that it may be used from; empty: any.")
    rates: list[str] = Field(description="Its own limits; empty: the installation's.")
    credits_remaining: int | None = Field(description="Of its budget, in parts of messages; null: it has none.")
    expires_at: Time | None
    created_at: Time


@router.get("/accounts", response=answers(AccountPage), summary="List the accounts that this key may use")
def listed(request: Call, asked: Query[Paging]) -> Any:
    rows, edge = reading.cut(access.accounts(request.key).select_related("pace"), asked)
    waits = waiting.by_account()
    return page("accounts", [_written(cards.card(row), waits.get(row.pk, 0)) for row in rows], edge)


@router.get("/accounts/{account_id}", response=answers(AccountOut), summary="Get an account")
def get(request: Call, account_id: str) -> Any:
    row = reading.one(access.accounts(request.key).select_related("pace"), account_id, "account")
    return _written(cards.card(row), waiting.by_account().get(row.pk, 0))


@router.get("/key", response=answers(KeyOut), auth=ANY, tags=["Key"], summary="Tell what this key may do")
def key(request: Call) -> Any:
    """Needs no scope."""
    row = request.key
    account, route, reason = None, None, ""
    try:
        account, route = access.way(row)
    except errors.ProviderError as error:
        reason = str(error)
    return {
        "name": row.name,
        "ends_in": row.hint,
        "scopes": row.scopes,
        "reads_all": row.reads_all,
        "account_ids": list(row.accounts.order_by("pk").values_list("pk", flat=True)),
        "sends_through_account_id": account.pk if account and not route else None,
        "sends_through_route_id": route and route.pk,
        "cannot_send": reason,
        "addresses": row.addresses,
        "rates": row.rates,
        "credits_remaining": row.credits,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
    }


def _written(card: cards.Card, waits: int) -> dict[str, Any]:
    account, health, balance = card.account, card.health, card.account.balance
    return {
        "account_id": account.pk,
        "name": account.name,
        "kind": account.kind,
        "enabled": account.enabled,
        "paused": bool(account.paused_reason),
        "health": {
            "ok": health.tone == "ok",
            "state": str(health.word),
            "reason": str(health.reason),
            "since": health.since,
            "next_look_at": health.next_at,
        },
        "can": sorted(card.kind.supports) if card.kind else [],
        "credits": balance.amount if balance else None,
        "credits_known": balance is not None,
        "credits_seen_at": account.credits_seen_at,
        "limits": [{"rate": str(one.rate), "used": one.used} for one in card.limits],
        "waiting": waits,
    }
