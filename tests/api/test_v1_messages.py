"""Messages of /v1: who sees which, how they are found, and what can be done with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from contacts import consent
from contacts.models import Contact, How
from messaging import pages
from messaging.models import Attempt, Campaign, DeliveryReport, Message
from providers.models import ProviderAccount
from providers.types import Status
from tests.api.calls import NUMBER, OTHER, Program, key_of
from tests.api.gateways import message, shelf
from tests.base import account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_queue")]


def ids(*rows: Message) -> list[str]:
    return [str(row.pk) for row in rows]


# --- Who sees which ----------------------------------------------------------------------------------


def test_a_key_sees_its_own_and_what_its_accounts_received(main: ProviderAccount) -> None:
    other = account("Other")
    own, bound, everything = Program(main), Program(main, accounts=[main]), Program(main, reads_all=True)
    all_of_main = Program(main, accounts=[main], reads_all=True)
    mine, theirs = message(main, own.row), message(other)
    elsewhere = message(other, bound.row)
    came, came_there = message(main, status="received"), message(other, status="received")
    assert own.ids("messages") == ids(came_there, came, mine)
    assert bound.ids("messages") == ids(came, elsewhere)
    assert everything.ids("messages") == ids(came_there, came, elsewhere, theirs, mine)
    assert all_of_main.ids("messages") == ids(came, mine)
    for program, seen, hidden in ((own, mine, theirs), (bound, elsewhere, mine), (all_of_main, came, came_there)):
        assert program.get(f"messages/{seen.pk}/details")[0] == 200
        assert program.get(f"messages/{hidden.pk}/details")[0] == 404
        assert program.post("messages/actions", {"action": "cancel", "message_ids": [str(hidden.pk)]})[0] == 404


@pytest.mark.parametrize("reads_all", [False, True])
def test_pages_go_on_to_the_end(main: ProviderAccount, reads_all: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where something is looked for a few rows at a time."""
    program = Program(main, reads_all=reads_all)
    rows = [message(main, program.row, text="blue" if n % 3 else "red") for n in range(9)]
    assert program.ids("messages", limit=2) == ids(*rows[::-1])
    monkeypatch.setattr(pages, "SCAN", 2)
    assert program.ids("messages", limit=2, text="red") == ids(*rows[::3][::-1])


def test_the_filters_are_those_of_the_log() -> None:
    shelf_row, plain = shelf(), account("Plain")
    program = Program(plain)
    phone = shelf_row.devices.get(device_id="Shelf-b")
    campaign = Campaign.objects.create(account=plain, text="x", client=program.row.pk)
    old = message(plain, program.row, created_at=timezone.now() - timedelta(days=3))
    sale = message(plain, program.row, campaign=campaign, status="failed", number=OTHER)
    dialled = message(shelf_row, program.row, device="Shelf-b", sim=1, text="100% sure")
    came = message(shelf_row, status="received")
    day = (timezone.now() - timedelta(days=1)).isoformat()
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"status": "failed"}, ids(sale)),
        ({"direction": "in"}, ids(came)),
        ({"direction": "out"}, ids(dialled, sale, old)),
        ({"account_id": plain.pk}, ids(sale, old)),
        ({"campaign_id": campaign.pk}, ids(sale)),
        ({"number": "+1 (234)"}, ids(sale)),
        ({"text": "100%"}, ids(dialled)),
        ({"device_id": phone.pk}, ids(dialled)),
        ({"device_id": phone.pk, "sim": 0}, []),
        ({"device_id": phone.pk, "account_id": plain.pk}, []),
        ({"since": day}, ids(came, dialled, sale)),
        ({"until": day}, ids(old)),
        ({"device_id": "999999999999"}, []),
        ({"account_id": "x"}, []),
        ({"campaign_id": "999999999999"}, []),
    ]
    for query, expected in cases:
        assert program.ids("messages", **query) == expected, query


# --- One of them -------------------------------------------------------------------------------------


def test_a_message_is_told_in_the_words_of_the_seed_and_more(main: ProviderAccount) -> None:
    program = Program(main)
    row = message(main, program.row, status="queued", sender="Shop", attempts=1, cost="0.0450")
    Attempt.objects.create(message=row, account=main, error_code="unreachable", error_text="Nobody answered.")
    DeliveryReport.objects.create(account=main, message=row, provider_id="m1", status="sent", raw_status="SENT")
    status, told = program.get(f"messages/{row.pk}/details")
    assert status == 200
    names = ["message_id", "to", "from", "message", "status", "sent_at", "delivered_at"]
    assert [told[name] for name in names] == [str(row.pk), NUMBER, "Shop", "Hello", "queued", None, None]
    assert (told["account_id"], told["cost"], told["attempts"], told["device_id"]) == (str(main.pk), 0.045, 1, None)
    assert told["waits"]["attention"] is True and "No background worker" in told["waits"]["reason"]
    assert told["tries"][0]["error"] == {"code": "unreachable", "message": "Nobody answered."}
    assert told["reports"][0]["provider_status"] == "SENT"
    assert told["created_at"] == row.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_seed_s_own_answers_keep_their_bytes(main: ProviderAccount) -> None:
    program = Program(main)
    row = message(main, program.row, status="failed", error_code="x", error_text="No.")
    reply = program.client.get(f"/v1/messages/{row.pk}")
    assert (
        reply.content
        == (
            f'{{"message_id":"{row.pk}","to":"{NUMBER}","from":"","message":"Hello","status":"failed",'
            '"sent_at":null,"delivered_at":null,"error":{"code":"x","message":"No."}}'
        ).encode()
    )
    assert program.get("account") == (200, {"success": True, "name": "Shop", "credits_remaining": None, "from": ""})


# --- What is done with them --------------------------------------------------------------------------


def act(program: Program, action: str, *rows: Message, **more: Any) -> tuple[int, Any]:
    return program.post("messages/actions", {"action": action, "message_ids": ids(*rows), **more})


def test_it_cancels_and_reschedules_what_waits(main: ProviderAccount) -> None:
    program = Program(main)
    waits, late, sent = (message(main, program.row, status=status) for status in ("queued", "scheduled", "sent"))
    left_out = [{"reason": "had left already", "messages": 1}]
    assert act(program, "cancel", waits, sent) == (200, {"success": True, "messages": 1, "left_out": left_out})
    assert Message.objects.get(pk=waits.pk).error_text == "Canceled by API key Shop."
    moment = timezone.now().replace(microsecond=0) + timedelta(hours=5)
    assert act(program, "reschedule", late, scheduled_at=moment.isoformat())[1]["messages"] == 1
    assert Message.objects.get(pk=late.pk).due_at == moment


def test_it_resends_at_the_expense_of_the_key(main: ProviderAccount) -> None:
    program = Program(main, credits=3, reads_all=True)
    rows = [message(main, status="failed", segments=2, number=number) for number in (NUMBER, OTHER)]
    status, told = act(program, "resend", *rows)
    assert (status, told["error"]["code"]) == (402, "insufficient_credits")
    assert Message.objects.count() == 2
    consent.opt_out([Contact.objects.create(number=OTHER).pk], How.API, "test")
    left_out = [{"reason": "the person opted out", "messages": 1}]
    assert act(program, "resend", *rows) == (200, {"success": True, "messages": 1, "left_out": left_out})
    new = Message.objects.get(resend_of=rows[0])
    assert (new.client, new.status, key_of(program).credits) == (program.row.pk, "queued", 1)


def test_it_settles_what_nobody_can_tell(main: ProviderAccount) -> None:
    program = Program(main)
    first, second = (message(main, program.row, status="uncertain") for _ in range(2))
    assert act(program, "count_as_sent", first)[1]["messages"] == act(program, "send_again", second)[1]["messages"] == 1
    assert [Message.objects.get(pk=row.pk).status for row in (first, second)] == [Status.SENT, Status.QUEUED]


@pytest.mark.parametrize("message_ids", [[], ["1"] * 501, ["x"], [None], "1"])
def test_ids_are_ids_and_not_too_many(main: ProviderAccount, message_ids: Any) -> None:
    status, _told = Program(main).post("messages/actions", {"action": "cancel", "message_ids": message_ids})
    assert status in (404, 422)


def test_no_account_that_the_key_may_not_use_carries_a_resend(main: ProviderAccount) -> None:
    program, other = Program(main, accounts=[main]), account("Other")
    row = message(main, program.row, status="failed")
    assert act(program, "resend", row, account_id=str(other.pk))[0] == 404
    assert Message.objects.count() == 1
