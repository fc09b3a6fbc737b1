"""Campaigns of /v1: sent by the rules of the compose page, and brought to an end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from contacts import consent
from contacts.models import Contact, ContactList, How
from messaging.models import BulkAction, Campaign, Message, Route, RouteMember
from providers.models import ProviderAccount
from tests.api.calls import NUMBER, OTHER, Program, key_of
from tests.api.gateways import message, phones, shelf
from tests.base import account, person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_queue")]

CONTACTS = ["send", "read", "contacts"]


def customers(*numbers: str) -> ContactList:
    made = ContactList.objects.create(name="Customers")
    people = [Contact.objects.create(number=number, name=f"Ann {number[-1]}") for number in numbers]
    consent.subscribe(made, [one.pk for one in people], How.API, "test")
    return made


def send(program: Program, **values: Any) -> tuple[int, Any]:
    return program.post("campaigns", {"to": [NUMBER, OTHER], "message": "Hello", **values})


def said(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["message"]


# --- Sent --------------------------------------------------------------------------------------------


def test_it_goes_to_numbers_and_lists_in_each_one_s_words(main: ProviderAccount) -> None:
    program = Program(main, scopes=CONTACTS, credits=10)
    of = customers("+15550100001", "+15550100002")
    consent.opt_out_numbers([OTHER], How.API, "test")
    status, told = send(program, message="Hi {name|you}", list_ids=[str(of.pk)], name="Sale")
    assert (status, told["success"], told["name"], told["state"]) == (201, True, "Sale", "held")
    assert told["recipients"]["total"] == 3 and told["list_ids"] == [str(of.pk)]
    assert (told["credits_used"], told["credits_remaining"], key_of(program).credits) == (3, 7, 7)
    campaign = Campaign.objects.get()
    assert (campaign.client, campaign.created_by) == (program.row.pk, None)
    texts = dict(Message.objects.values_list("number", "text"))
    assert texts == {NUMBER: "Hi you", "+15550100001": "Hi Ann 1", "+15550100002": "Hi Ann 2"}
    assert program.ids("campaigns") == [told["campaign_id"]]
    assert program.ids("messages", campaign_id=told["campaign_id"])


def test_times_are_moments_whatever_the_zone(main: ProviderAccount) -> None:
    """Also in an hour that the clocks of the zone show twice or never, as long as no zone is needed."""
    program = Program(main)
    at = (timezone.now() + timedelta(days=30)).replace(microsecond=0)
    ends = at + timedelta(days=20)
    zones = {"time_zone": "Asia/Kathmandu", "hours": "00:00-24:00"}
    for more in ({}, zones):
        status, told = send(program, scheduled_at=at.isoformat(), expires_at=ends.isoformat(), **more)
        campaign = Campaign.objects.get(pk=told["campaign_id"])
        assert (status, campaign.due_at, campaign.expires_at) == (201, at, ends)


@pytest.mark.parametrize(
    ("values", "status", "sentence"),
    [
        ({"to": ""}, 422, "There is nobody to send to"),
        ({"to": [NUMBER, "abc"]}, 422, "“to”: Line 2, “abc”: There is no phone number in it."),
        ({"message": " "}, 422, "“message”: The message is empty. Write a text."),
        ({"message": "Hi {nme}"}, 422, "Did you mean {name}?"),
        ({"message": "x" * 1_601}, 422, "at most 1600 characters"),
        ({"scheduled_at": "2020-01-01T00:00:00Z"}, 422, "“scheduled_at”: This time is over."),
        ({"scheduled_at": "soon"}, 422, "“scheduled_at”: “The value” must be an ISO 8601 time"),
        ({"hours": "never"}, 422, "“hours”: "),
        ({"time_zone": "Mars/Crater"}, 422, "“time_zone”: There is no such time zone."),
        ({"time_zone": "../etc"}, 422, "“time_zone”: There is no such time zone."),
        ({"attachments": ["https://x.example/a b"]}, 422, "“attachments”: a link holds no spaces."),
        ({"attachments": ["https://x.example/a.jpg"]}, 422, "cannot send MMS"),
        ({"finish_by": "2030-01-01T00:00:00Z"}, 422, "“finish_by”: only a route"),
        ({"list_ids": ["999999999999"]}, 422, "“list_ids”: A list is gone"),
        ({"account_id": "999999999999"}, 404, "There is no account with this id"),
        ({"route_id": "999999999999"}, 404, "There is no route with this id"),
        ({"account_id": "1", "route_id": "1"}, 422, "Name an account or a route, not both."),
        ({"devices": {"chosen": [{"device_id": "999999999999"}]}}, 404, "There is no device with the ID 999999999999."),
        ({"sender": "Shop"}, 422, "“sender”: Extra inputs are not permitted"),
    ],
)
def test_the_rules_of_the_compose_page_hold(
    main: ProviderAccount, values: dict[str, Any], status: int, sentence: str
) -> None:
    program = Program(main, scopes=CONTACTS)
    answer = send(program, **values)
    assert answer[0] == status and sentence in answer[1]["error"]["message"], answer
    assert program.post("campaigns/preflight", {"to": NUMBER, "message": "x", **values})[0] == status
    assert not Campaign.objects.exists()


def test_what_is_no_number_is_left_out_if_asked(main: ProviderAccount) -> None:
    status, told = send(Program(main), to=f"{NUMBER}\nabc", leave_out_invalid=True)
    assert (status, told["recipients"]["total"]) == (201, 1)


def test_lists_and_merge_fields_are_for_those_who_may_see_contacts(main: ProviderAccount) -> None:
    program, of = Program(main, scopes=["send"]), customers("+15550100001")
    assert said(send(program, list_ids=[str(of.pk)])) == (
        403,
        "This API key lacks the scope “contacts”. Use one that has it.",
    )
    assert "for people who may see contacts" in said(send(program, message="Hi {name}"))[1]
    assert not Campaign.objects.exists()


def test_a_budget_that_is_too_small_sends_nothing(main: ProviderAccount) -> None:
    program = Program(main, credits=1)
    assert send(program)[1]["error"]["code"] == "insufficient_credits"
    assert key_of(program).credits == 1 and not Campaign.objects.exists()


def test_a_key_sends_through_what_it_is_bound_to(main: ProviderAccount) -> None:
    other = account("Other")
    route = Route.objects.create(name="Both")
    for row in (main, other):
        RouteMember.objects.create(route=route, account=row)
    bound, chosen, free, routed = Program(main), Program(accounts=[main]), Program(), Program(route=route)
    through_other, through_route = {"account_id": str(other.pk)}, {"route_id": str(route.pk)}
    assert [send(each, **through_other)[0] for each in (bound, chosen, free, routed)] == [404, 404, 201, 404]
    assert [send(each, **through_route)[0] for each in (bound, chosen, free, routed)] == [404, 404, 201, 201]
    assert [send(each)[1]["route_id"] for each in (bound, routed)] == [None, str(route.pk)]


def test_phones_are_named_by_our_ids() -> None:
    rack = shelf()
    program = Program(rack)
    first, second = phones(rack)
    chosen = [{"device_id": str(first.pk), "sim": 1}, {"device_id": str(second.pk)}]
    status, told = send(program, devices={"chosen": chosen})
    assert status == 201, told
    assert Campaign.objects.get().devices == {"targets": ["Shelf-a|1", "Shelf-b"]}
    assert send(program, devices={"all": "sims"})[0] == 201


def test_a_look_before_sending_sends_nothing(main: ProviderAccount) -> None:
    program = Program(main, scopes=CONTACTS)
    of = customers(NUMBER, "+15550100001")
    body = {"to": [NUMBER, OTHER, "+15550100002"], "message": "Hi {name|you}", "list_ids": [str(of.pk)]}
    status, told = program.post("campaigns/preflight", body)
    assert status == 200
    assert (told["recipients"], told["duplicates"], told["parts"], told["needs_approval"]) == (4, 1, 4, False)
    assert {"number": NUMBER, "message": "Hi Ann 0", "parts": 1} in told["readings"]
    assert not Campaign.objects.exists()


# --- Brought to an end -------------------------------------------------------------------------------


def test_each_key_has_campaigns_of_its_own(main: ProviderAccount) -> None:
    mine, other, reader = Program(main), Program(main), Program(main, reads_all=True)
    pk = send(mine)[1]["campaign_id"]
    assert [each.ids("campaigns") for each in (mine, other, reader)] == [[pk], [], [pk]]
    assert [each.get(f"campaigns/{pk}")[0] for each in (mine, other, reader)] == [200, 404, 200]
    assert other.post(f"campaigns/{pk}/cancel")[0] == 404


def test_it_pauses_resumes_and_cancels(main: ProviderAccount) -> None:
    program = Program(main)
    pk = send(program)[1]["campaign_id"]
    for action, state in (("pause", "paused"), ("resume", "sending"), ("cancel", "canceled")):
        status, told = program.post(f"campaigns/{pk}/{action}", {"reason": "Rain."})
        assert (status, told["state"]) == (200, state), action
    assert Campaign.objects.get().state_by == "API key Shop"
    assert told["recipients"]["canceled"] == 2 and told["state_reason"] == "Rain."
    assert said(program.post(f"campaigns/{pk}/resume")) == (
        409,
        "The campaign is canceled, so that cannot be done with it.",
    )
    assert program.post(f"campaigns/{pk}", {"name": "Sale"}, "PATCH")[1]["name"] == "Sale"


def test_only_an_owner_who_may_approves_what_another_sent(main: ProviderAccount, settings: Any) -> None:
    settings.SMSDASH_APPROVAL_ABOVE = 1
    author, chief = person("alice"), person("bob", "messaging.approve_campaign")
    sender = Program(main, owner=author)
    pk = send(sender)[1]["campaign_id"]
    own, admin = (
        Program(main, owner=author, scopes=["admin"], reads_all=True),
        Program(main, scopes=["admin"], reads_all=True),
    )
    weak, strong = (
        Program(main, owner=chief, reads_all=True),
        Program(main, owner=chief, scopes=["admin"], reads_all=True),
    )
    answers = [each.post(f"campaigns/{pk}/approve")[0] for each in (sender, own, admin, weak, strong)]
    assert answers == [403, 403, 403, 403, 200]
    assert Campaign.objects.get().state == "sending"


def test_what_failed_is_resent_in_the_background_and_paid_for(main: ProviderAccount) -> None:
    program = Program(main, credits=9)
    pk = send(program)[1]["campaign_id"]
    for row in Message.objects.filter(campaign=pk):
        message(main, program.row, status="failed", campaign_id=int(pk), number=row.number, segments=2)
    assert program.post(f"campaigns/{pk}/resend_failed")[0] == 200
    assert program.post(f"campaigns/{pk}/resend_failed")[0] == 200
    assert BulkAction.objects.count() == 1 and key_of(program).credits == 3
    assert Message.objects.filter(resend_of__isnull=False).count() == 2
