"""What all bodies and answers of /v1 are made of: ids as text, times in UTC, pages."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from providers import wire

LIMIT, MOST = 50, 200  # rows of a page
MOST_IDS = 500  # of one request; see messaging/bulk.py
_TIME = {"type": "string", "format": "date-time", "examples": ["2023-12-01T15:23:45Z"]}


def _read_time(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    moment = wire.optional_time(value, "The value")
    if moment is None:
        raise ValueError("Give an ISO 8601 time, such as 2023-12-01T15:23:45Z.")
    if not 1970 < moment.year < 3000:
        raise ValueError("This year is too far away.")
    return moment


Time = Annotated[
    datetime,
    BeforeValidator(_read_time),
    PlainSerializer(wire.write_time, return_type=str),
    WithJsonSchema(_TIME),
]
"""ISO 8601; read without a zone as UTC, written in UTC with Z."""

Id = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
Number = Annotated[Decimal, PlainSerializer(wire.json_number, return_type=float), WithJsonSchema({"type": "number"})]


class Body(Schema):
    """A request's body: what is not known is refused, so that no misspelt wish is passed over."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


class Done(Schema):
    success: bool = True


class Paging(Schema):
    limit: int = Field(LIMIT, ge=1, le=MOST, description="Entries of one page.")
    cursor: str = Field("", max_length=30, description="The `next` of the page before; empty: the first page.")


Next = Annotated[str | None, Field(description="The `cursor` of the next page; null: this is the last one.")]


def page(name: str, rows: list[Any], edge: int | None) -> dict[str, Any]:
    """``edge``: the id below which the next page begins; None: there is none."""
    return {name: rows, "next": None if edge is None else str(edge)}
