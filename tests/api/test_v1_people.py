"""Contacts and lists of /v1, by the rules of their pages."""

from __future__ import annotations

from typing import Any

import pytest

from contacts import consent
from contacts.models import ConsentEvent, Contact, ContactList, How
from tests.api.calls import NUMBER, OTHER, Program

pytestmark = pytest.mark.django_db

ANN = {"number": NUMBER, "name": "Ann", "language": "et", "time_zone": "Europe/Tallinn", "fields": {"city": "Tartu"}}


@pytest.fixture
def program() -> Program:
    return Program(scopes=["contacts"])


# --- Contacts ----------------------------------------------------------------------------------------


def test_a_contact_is_added_found_changed_and_forgotten(program: Program) -> None:
    status, told = program.post("contacts", ANN)
    assert status == 201 and {name: told[name] for name in ANN} == ANN and told["lists"] == []
    pk = told["contact_id"]
    assert program.get(f"contacts/{pk}") == program.get(f"contacts/{NUMBER}") == (200, program.get(f"contacts/{pk}")[1])
    assert program.ids("contacts", text="ann") == program.ids("contacts", text="1123") == [pk]
    status, told = program.post(f"contacts/{pk}", {"name": "Anna"}, "PATCH")
    assert (status, told["name"], told["fields"], told["number"]) == (200, "Anna", {"city": "Tartu"}, NUMBER)
    assert program.post(f"contacts/{pk}", {"fields": {}}, "PATCH")[1]["fields"] == {}
    assert program.post(f"contacts/{pk}", method="DELETE") == (200, {"success": True})
    assert program.get(f"contacts/{pk}")[0] == 404 and not Contact.objects.exists()


@pytest.mark.parametrize(
    ("values", "status", "sentence"),
    [
        ({"number": NUMBER}, 409, "There is a contact with this number."),
        ({"number": "+12"}, 422, "“number”: It is too short"),
        ({"number": OTHER, "fields": {"name": "x"}}, 422, "Every contact has “name” anyway."),
        ({"number": OTHER, "fields": {"city": 1}}, 422, "“fields.city”: Input should be a valid string"),
        ({"number": OTHER, "time_zone": "Mars"}, 422, "“time_zone”: "),
        ({"number": OTHER, "language": "e t"}, 422, "“language”: Write a language as et or pt-BR."),
        ({"name": "Ann"}, 422, "“number”: Field required"),
    ],
)
def test_the_rules_of_the_page_hold(program: Program, values: dict[str, Any], status: int, sentence: str) -> None:
    Contact.objects.create(number=NUMBER)
    answer = program.post("contacts", values)
    assert answer[0] == status and sentence in answer[1]["error"]["message"], answer
    assert Contact.objects.count() == 1


def test_pages_of_contacts_go_on_to_the_end(program: Program) -> None:
    people = [Contact.objects.create(number=f"+155501000{n}") for n in range(5)]
    consent.opt_out([people[1].pk], How.API, "test")
    assert program.ids("contacts", limit=2) == [str(one.pk) for one in people[::-1]]
    assert program.ids("contacts", status="opted_out") == [str(people[1].pk)]


def test_an_opt_out_is_kept_and_undone_with_a_reason_alone(program: Program) -> None:
    status, told = program.post(f"contacts/{NUMBER}/opt_out", {"reason": "Phoned us."})
    assert status == 200 and told["opted_out_at"]
    assert program.post(f"contacts/{NUMBER}/opt_in", {})[0] == 422
    assert program.post(f"contacts/{NUMBER}/opt_in", {"reason": "Phoned again."})[1]["opted_out_at"] is None
    events = list(ConsentEvent.objects.order_by("pk").values_list("what", "how", "by", "reason"))
    assert events == [("opted_out", "api", "Shop", "Phoned us."), ("opted_in", "api", "Shop", "Phoned again.")]
    assert program.post("contacts/+12/opt_out")[1]["error"]["code"] == "invalid_phone_number"


# --- Lists -------------------------------------------------------------------------------------------


def test_a_list_is_made_renamed_and_deleted(program: Program) -> None:
    status, told = program.post("lists", {"name": "Customers"})
    assert (status, told["members"]) == (201, 0)
    pk = told["list_id"]
    assert program.post("lists", {"name": "Customers"})[0] == 409
    status, told = program.post(f"lists/{pk}", {"description": "All of them"}, "PATCH")
    assert (status, told["name"], told["description"]) == (200, "Customers", "All of them")
    assert program.ids("lists") == [pk]
    assert program.post(f"lists/{pk}", method="DELETE")[0] == 200
    assert program.ids("lists") == [] and program.get(f"lists/{pk}/members")[0] == 404


def test_people_are_put_on_a_list_unsubscribed_and_taken_off(program: Program) -> None:
    of = ContactList.objects.create(name="Customers")
    path = f"lists/{of.pk}"
    consent.opt_out_numbers([OTHER], How.API, "test")
    status, told = program.post(f"{path}/subscribe", {"numbers": [NUMBER, "+1 (123) 456-7890", OTHER]})
    assert (status, told) == (
        200,
        {"success": True, "added": 2, "resubscribed": 0, "already_there": 0, "unsubscribed": 0, "opted_out": 1},
    )
    assert program.post(f"{path}/unsubscribe", {"numbers": [NUMBER]})[1]["people"] == 1
    assert program.post(f"{path}/subscribe", {"numbers": [NUMBER]})[1]["unsubscribed"] == 1
    status, page = program.get(f"{path}/members", status="unsubscribed")
    assert [(one["number"], one["subscribed"]) for one in page["members"]] == [(NUMBER, False)]
    assert program.post(f"{path}/subscribe", {"numbers": [NUMBER], "resubscribe": True})[1]["resubscribed"] == 1
    assert program.get(path)[1]["subscribed"] == 2
    assert program.post(f"{path}/remove", {"numbers": [NUMBER, "+15550109999"]})[1]["people"] == 1
    assert len(program.ids(f"{path}/members")) == 1


@pytest.mark.parametrize("numbers", [[], ["abc"], [NUMBER, "+12"], ["1"] * 5_001, NUMBER])
def test_all_numbers_are_right_or_none_is_taken(program: Program, numbers: Any) -> None:
    of = ContactList.objects.create(name="Customers")
    assert program.post(f"lists/{of.pk}/subscribe", {"numbers": numbers})[0] == 422
    assert not Contact.objects.exists()
