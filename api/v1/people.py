"""Contacts: found, added, changed, forgotten, opted out and in."""

from __future__ import annotations

from typing import Any, Literal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import QueryDict
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from contacts import consent, directory
from contacts.fields import MOST as MOST_FIELDS
from contacts.forms import PersonForm
from contacts.models import Contact, How
from contacts.numbers import NumberError, parse_number
from providers import errors

from . import drafting, reading
from .caller import CONTACTS
from .door import Call
from .errors import Conflict, answers, missing
from .schemas import Body, Done, Id, Next, Paging, Time, page

router = Router(by_alias=True, tags=["Contacts"], auth=CONTACTS)


class ContactOut(Schema):
    contact_id: Id
    number: str
    name: str
    language: str
    time_zone: str
    fields: dict[str, str]
    opted_out_at: Time | None = Field(description="Since then nobody writes to them, whatever list they are on.")
    created_at: Time


class OnList(Schema):
    list_id: Id
    name: str
    subscribed: bool
    since: Time


class ContactDetail(ContactOut):
    lists: list[OnList]


class ContactSaved(ContactDetail, Done):
    """As it is now."""


class ContactPage(Schema):
    contacts: list[ContactOut]
    next: Next


class ContactsAsked(Paging):
    text: str = Field(
        "", max_length=100, description="The beginning of a number, in any spelling, or a part of a name."
    )
    status: Literal["opted_out", "unlisted"] | None = None


Fields = dict[str, str]


class ContactIn(Body):
    number: str = Field(max_length=40, examples=["+1234567890"])
    name: str = Field("", max_length=100)
    language: str = Field("", max_length=20, examples=["et"])
    time_zone: str = Field("", max_length=40, examples=["Europe/Tallinn"])
    fields: Fields = Field({}, max_length=MOST_FIELDS, description="Free fields, for merge fields.")


class ContactChange(Body):
    """What is not named stays; `fields` are given as a whole."""

    number: str | None = Field(None, max_length=40)
    name: str | None = Field(None, max_length=100)
    language: str | None = Field(None, max_length=20)
    time_zone: str | None = Field(None, max_length=40)
    fields: Fields | None = Field(None, max_length=MOST_FIELDS)


class OptOut(Body):
    reason: str = Field("", max_length=200)


class OptIn(Body):
    reason: str = Field(min_length=1, max_length=200, description="How and when they asked for it; it is kept.")


@router.get("/contacts", response=answers(ContactPage), summary="List and find contacts")
def listed(request: Call, asked: Query[ContactsAsked]) -> Any:
    """Newest first. Names are looked for in so many rows at a time: a page may be short and not the last."""
    filters = directory.Filters(status=asked.status or "", text=" ".join(asked.text.split()))
    return page("contacts", *found(filters, asked))


def found(filters: directory.Filters, asked: Paging) -> tuple[list[Any], int | None]:
    """The next people of a filter, and the id to go on below."""
    ids, edge = directory.ids(filters, reading.before(asked) or directory.LARGEST, asked.limit)
    rows = Contact.objects.filter(pk__in=ids).order_by("-pk")
    return [written(row) for row in rows], edge


@router.post("/contacts", response=answers(ContactSaved, 201), summary="Add a contact")
def add(request: Call, asked: ContactIn) -> Any:
    return Status(201, _save(asked, Contact()))


@router.get("/contacts/{contact}", response=answers(ContactDetail), summary="Get a contact by id or number")
def get(request: Call, contact: str) -> Any:
    """A number begins with `+`, in a URL written as `%2B`."""
    return _detail(_contact(contact))


@router.patch("/contacts/{contact}", response=answers(ContactSaved), summary="Change a contact")
def change(request: Call, contact: str, asked: ContactChange) -> Any:
    return _save(asked, _contact(contact))


@router.delete("/contacts/{contact}", response=answers(Done), summary="Forget a contact")
def forget(request: Call, contact: str) -> Any:
    """Name, fields, places on lists and history are gone for good; messages stay. Of who opted out the number is kept,
    so that nobody writes to them again."""
    consent.forget([_contact(contact).pk])
    return {}


@router.post("/contacts/{contact}/opt_out", response=answers(ContactSaved), summary="Opt a contact out of everything")
def opt_out(request: Call, contact: str, asked: OptOut | None = None) -> Any:
    """Nobody writes to them any more, whatever list they are on. A number that nobody knows becomes a contact."""
    by, reason = request.key.name, asked.reason if asked else ""
    if contact.startswith("+"):
        contact = number(contact)
        consent.opt_out_numbers([contact], How.API, by, reason)
    else:
        consent.opt_out([_contact(contact).pk], How.API, by, reason)
    return _detail(_contact(contact))


def number(text: str) -> str:
    """In E.164. Raises InvalidNumber."""
    try:
        return parse_number(text, settings.SMSDASH_DEFAULT_REGION).number
    except NumberError as error:
        raise errors.InvalidNumber(f"“{text[:40]}”: {error}") from error


@router.post("/contacts/{contact}/opt_in", response=answers(ContactSaved), summary="Opt a contact in again")
def opt_in(request: Call, contact: str, asked: OptIn) -> Any:
    """Only if they asked for it."""
    row = _contact(contact)
    consent.opt_in([row.pk], How.API, request.key.name, asked.reason)
    return _detail(_contact(contact))


def _contact(text: str) -> Contact:
    if not text.startswith("+"):
        return reading.one(Contact.objects, text, "contact")
    row = Contact.objects.filter(number=text).first()
    if row is None:
        raise missing("contact")
    return row


def _save(asked: ContactIn | ContactChange, row: Contact) -> dict[str, Any]:
    """Through the form that people fill in. Raises InvalidRequest, and Conflict for a number that somebody has."""
    given = asked.model_dump(exclude_none=True)
    data = QueryDict(mutable=True)
    for name, now in (("number", row.number), ("name", row.name), ("language", row.language), ("time_zone", row.zone)):
        data["zone" if name == "time_zone" else name] = given.get(name, now)
    fields = given.get("fields", row.fields)
    data.setlist("key", list(fields))
    data.setlist("value", [str(value) for value in fields.values()])
    form = PersonForm(data, instance=row)
    if not form.is_valid():
        if form.has_error("number", "unique"):
            raise Conflict("There is a contact with this number.")
        raise errors.InvalidRequest(" ".join(form.pair_errors[:3]) or drafting.sentences(form, {"zone": "time_zone"}))
    try:
        with transaction.atomic():
            return _detail(form.save())
    except IntegrityError as error:
        raise Conflict("There is a contact with this number.") from error


# --- In words ------------------------------------------------------------------------------------------


def written(row: Contact) -> dict[str, Any]:
    return {
        "contact_id": row.pk,
        "number": row.number,
        "name": row.name,
        "language": row.language,
        "time_zone": row.zone,
        "fields": {name: str(value) for name, value in row.fields.items()},
        "opted_out_at": row.opted_out_at,
        "created_at": row.created_at,
    }


def _detail(row: Contact) -> dict[str, Any]:
    places = row.subscriptions.filter(list__deleted_at=None).select_related("list").order_by("list__name")
    lists = [
        {"list_id": one.list_id, "name": one.list.name, "subscribed": one.subscribed, "since": one.at} for one in places
    ]
    return {**written(row), "lists": lists}
