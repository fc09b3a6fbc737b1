"""Which messages and campaigns a key may see, in pages that go on from an id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db.models import Manager, Model, Q, QuerySet

from messaging import pages
from messaging.log import ALL, LARGEST, Filters, read_id
from messaging.models import Campaign, Message
from messaging.pages import Part
from providers import errors

from .. import access, gateway
from ..models import ApiKey
from .errors import missing
from .schemas import Paging

T = TypeVar("T", bound=Model)


def before(paging: Paging) -> int | None:
    """The id below which the page begins. Raises InvalidRequest for a cursor that is none of ours."""
    found = read_id(paging.cursor)
    if paging.cursor and found is None:
        raise errors.InvalidRequest("“cursor” takes the “next” of the page before.")
    return found


def cut(rows: QuerySet[Any], paging: Paging) -> tuple[list[Any], int | None]:
    """The next rows, newest first, and the id to go on below (None: there are no more)."""
    edge = before(paging)
    if edge is not None:
        rows = rows.filter(pk__lt=edge)
    found = list(rows.order_by("-pk")[: paging.limit + 1])
    return (found[: paging.limit], found[paging.limit - 1].pk) if len(found) > paging.limit else (found, None)


def one(rows: QuerySet[T] | Manager[T], text: str, what: str) -> T:
    """The row with the id that a request names. Raises NotFound, which calls it ``what``."""
    found = rows.filter(pk=read_id(text) or 0).first()
    if found is None:
        raise missing(what)
    return found


# --- Messages ------------------------------------------------------------------------------------------


def messages(key: ApiKey, filters: Filters, limit: int) -> tuple[list[Message], int | None]:
    """The newest that the key may read, and the id to go on below (None: there are no more). What no index helps with
    is looked for in so many rows at a time: a page may be short, or empty, and not the last."""
    chosen = list(key.accounts.values_list("pk", flat=True))
    if key.reads_all and not chosen:
        found, edge = pages.ids(filters, ALL, filters.before or LARGEST, limit)
    else:
        found, edge = pages.ids_of(*_parts(key, filters), limit)
    return list(access.messages(key).filter(pk__in=found).order_by("-pk")), edge


def _parts(key: ApiKey, filters: Filters) -> tuple[list[Part], Q]:
    rows, _few = pages.of_number(filters.rows(), filters.number)
    if not filters.campaign:
        return gateway.parts(key, rows, filters.sought, filters.statuses, filters.account)
    seen = campaigns(key).filter(pk=filters.campaign).exists()
    through = Q(account=filters.account) if filters.account else Q()
    return [Part(rows if seen else rows.none())], filters.sought & through & Q(status__in=filters.statuses)


def message(key: ApiKey, text: str) -> Message:
    """Raises NotFound."""
    return one(access.messages(key), text, "message")


def changeable(key: ApiKey, ids: Iterable[str]) -> list[int]:
    """The messages that the key may act on: not received ones. Raises NotFound if there is any other among them."""
    asked = {read_id(text) or 0 for text in ids}
    rows = access.messages(key).filter(pk__in=asked, account__in=access.accounts(key).values("pk"))
    found = list(rows.values_list("pk", flat=True))
    if len(found) < len(asked):
        raise missing("message")
    return found


# --- Campaigns -----------------------------------------------------------------------------------------


def within(key: ApiKey) -> Q:
    """The campaigns that the key sent; with ``reads_all`` those through its accounts too."""
    if not key.reads_all:
        return Q(client=key.pk)
    chosen = list(key.accounts.values_list("pk", flat=True))
    return Q(client=key.pk) | Q(account__in=chosen) if chosen else Q()


def campaigns(key: ApiKey) -> QuerySet[Campaign]:
    return Campaign.objects.filter(within(key)).defer("recipients")
