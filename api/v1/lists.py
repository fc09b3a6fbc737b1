"""Contact lists and who is on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from django.db import IntegrityError, transaction
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from contacts import consent, directory
from contacts import lists as whole_lists
from contacts.forms import ListForm
from contacts.models import Contact, ContactList, How
from providers import errors

from . import drafting, people, reading
from .caller import CONTACTS
from .door import Call
from .errors import Conflict, answers, missing
from .people import ContactOut
from .schemas import Body, Done, Id, Next, Paging, Time, page

router = Router(by_alias=True, tags=["Lists"], auth=CONTACTS)
MOST = 5_000  # numbers of one request


class ListOut(Schema):
    list_id: Id
    name: str
    description: str
    members: int
    subscribed: int
    account_id: Id | None = Field(description="Where the list lives too.")
    created_at: Time


class ListSaved(ListOut, Done):
    """As it is now."""


class ListPage(Schema):
    lists: list[ListOut]
    next: Next


class ListIn(Body):
    name: str = Field(min_length=1, max_length=100)
    description: str = Field("", max_length=300)


class ListChange(Body):
    name: str | None = Field(None, min_length=1, max_length=100)
    description: str | None = Field(None, max_length=300)


class Member(ContactOut):
    subscribed: bool


class MemberPage(Schema):
    members: list[Member]
    next: Next


class MembersAsked(Paging):
    text: str = Field(
        "", max_length=100, description="The beginning of a number, in any spelling, or a part of a name."
    )
    status: Literal["subscribed", "unsubscribed", "opted_out"] | None = None


class Numbers(Body):
    numbers: list[str] = Field(min_length=1, max_length=MOST, examples=[["+1234567890"]])
    reason: str = Field("", max_length=200)


class Subscribe(Numbers):
    """Numbers that nobody knows become contacts."""

    resubscribe: bool = Field(False, description="Bring back who unsubscribed from this list.")


class Subscribed(Schema):
    """What became of them. Who opted out of everything gets nothing, whatever the list says."""

    success: bool = True
    added: int
    resubscribed: int
    already_there: int
    unsubscribed: int = Field(description="Of those already there: not subscribed, and left so.")
    opted_out: int


class Changed(Schema):
    success: bool = True
    people: int


@router.get("/lists", response=answers(ListPage), summary="List the lists")
def listed(request: Call, asked: Query[Paging]) -> Any:
    rows, edge = reading.cut(ContactList.objects.all(), asked)
    return page("lists", [_written(row) for row in rows], edge)


@router.post("/lists", response=answers(ListSaved, 201), summary="Make a list")
def add(request: Call, asked: ListIn) -> Any:
    return Status(201, _save(asked.model_dump(), ContactList()))


@router.get("/lists/{list_id}", response=answers(ListOut), summary="Get a list")
def get(request: Call, list_id: str) -> Any:
    return _written(_list(list_id))


@router.patch("/lists/{list_id}", response=answers(ListSaved), summary="Rename or describe a list")
def change(request: Call, list_id: str, asked: ListChange) -> Any:
    row = _list(list_id)
    return _save({"name": row.name, "description": row.description, **asked.model_dump(exclude_none=True)}, row)


@router.delete("/lists/{list_id}", response=answers(Done), summary="Delete a list")
def delete(request: Call, list_id: str) -> Any:
    """Its people stay contacts, and a list at a provider stays there."""
    whole_lists.delete(_list(list_id), request.key.owner)
    return {}


@router.get("/lists/{list_id}/members", response=answers(MemberPage), summary="List who is on a list")
def members(request: Call, list_id: str, asked: Query[MembersAsked]) -> Any:
    of = _list(list_id)
    filters = directory.Filters(of, asked.status or "", " ".join(asked.text.split()))
    rows, edge = people.found(filters, asked)
    places = of.subscriptions.filter(contact__in=[row["contact_id"] for row in rows])
    subscribed = dict(places.values_list("contact_id", "subscribed"))
    found = [{**row, "subscribed": subscribed.get(row["contact_id"], False)} for row in rows]
    return page("members", found, edge)


@router.post("/lists/{list_id}/subscribe", response=answers(Subscribed), summary="Put people on a list")
def subscribe(request: Call, list_id: str, asked: Subscribe) -> Any:
    to, numbers = _list(list_id), _numbers(asked.numbers)
    with transaction.atomic():
        Contact.objects.bulk_create([Contact(number=number) for number in numbers], ignore_conflicts=True)
        try:
            done = consent.subscribe(
                to, _ids(numbers), How.API, request.key.name, asked.resubscribe, reason=asked.reason
            )
        except ContactList.DoesNotExist as error:  # deleted a moment ago
            raise missing("list") from error
    return {
        "added": done.added,
        "resubscribed": done.resubscribed,
        "already_there": done.existing,
        "unsubscribed": done.unsubscribed,
        "opted_out": done.opted_out,
    }


@router.post("/lists/{list_id}/unsubscribe", response=answers(Changed), summary="Unsubscribe people from a list")
def unsubscribe(request: Call, list_id: str, asked: Numbers) -> Any:
    """They stay on the list, and nobody writes to them through it."""
    of, ids = _list(list_id), _ids(_numbers(asked.numbers))
    return _changed(lambda: consent.unsubscribe(of, ids, How.API, request.key.name, asked.reason))


@router.post("/lists/{list_id}/remove", response=answers(Changed), summary="Take people off a list")
def remove(request: Call, list_id: str, asked: Numbers) -> Any:
    of, ids = _list(list_id), _ids(_numbers(asked.numbers))
    return _changed(lambda: consent.remove(of, ids, How.API, request.key.name, asked.reason))


def _changed(do: Any) -> dict[str, int]:
    try:
        return {"people": do()}
    except ContactList.DoesNotExist as error:
        raise missing("list") from error


def _list(text: str) -> ContactList:
    return reading.one(ContactList.objects, text, "list")


def _numbers(texts: Sequence[str]) -> list[str]:
    """In E.164, each once. Raises InvalidNumber for the first that is none."""
    return sorted({people.number(text) for text in texts})


def _ids(numbers: Sequence[str]) -> list[int]:
    return sorted(Contact.objects.filter(number__in=numbers).values_list("pk", flat=True))


def _save(values: dict[str, Any], row: ContactList) -> dict[str, Any]:
    form = ListForm(values, instance=row)
    if not form.is_valid():
        kind = Conflict if ContactList.objects.filter(name=values["name"]).exclude(pk=row.pk).exists() else None
        raise (kind or errors.InvalidRequest)(drafting.sentences(form))
    try:
        with transaction.atomic():
            if row.pk:
                ContactList.objects.filter(pk=row.pk).update(**form.cleaned_data)
                return _written(ContactList.objects.get(pk=row.pk))
            return _written(form.save())
    except IntegrityError as error:
        raise Conflict("There is a list of that name. Choose another name.") from error


def _written(row: ContactList) -> dict[str, Any]:
    return {
        "list_id": row.pk,
        "name": row.name,
        "description": row.description,
        "members": row.members,
        "subscribed": row.subscribed,
        "account_id": row.account_id,
        "created_at": row.created_at,
    }
