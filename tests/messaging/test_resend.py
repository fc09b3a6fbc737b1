from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from contacts import optout
from messaging import ledger, log, resend
from messaging.ledger import Change
from messaging.models import Campaign, Message, Route
from providers.models import ProviderAccount
from providers.types import Status
from tests.base import account

pytestmark = pytest.mark.django_db


def message(main: ProviderAccount, **values: Any) -> Message:
    fields = {"number": "+37255512345", "text": "Hello", "status": "failed", **values}
    return ledger.insert([Message(account=main, **fields)])[0]


def test_a_resend_is_a_new_message_that_says_the_same() -> None:
    main, route = account(kind="smsgateway"), Route.objects.create(name="Route")
    old = message(
        main, sender="Shop", type="mms", attachments=["https://a.example/x.png"], segments=3, priority=1, route=route,
        device="phone-1", sim=1, error_code="x", attempts=2, provider_id="p-1", sent_at=timezone.now(),
    )  # fmt: skip
    (pk,) = resend.resend([old.pk], "alice")
    new = Message.objects.get(pk=pk)
    assert new.resend_of == old and new.status == "queued"
    for name in (*resend.COPIED, "account_id", "route_id", "device", "sim"):
        assert getattr(new, name) == getattr(old, name), name
    assert (new.error_code, new.attempts, new.provider_id, new.sent_at) == ("", 0, "", None)


def test_the_old_one_is_untouched(main: ProviderAccount) -> None:
    old = message(main)
    before = Message.objects.filter(pk=old.pk).values().get()
    resend.resend([old.pk], "alice")
    assert Message.objects.filter(pk=old.pk).values().get() == before


def test_a_campaigns_counts_still_add_up_to_its_recipients(main: ProviderAccount) -> None:
    campaign = Campaign.objects.create(account=main, text="x", total=1, expanded=1)
    (pk,) = resend.resend([message(main, campaign=campaign).pk], "alice")
    assert Message.objects.get(pk=pk).campaign is None
    assert log.kept(log.Filters(campaign=campaign.pk)).counts == {"failed": 1}
    assert log.kept(log.Filters()).counts == {"failed": 1, "queued": 1}


def test_it_can_go_through_another_account(main: ProviderAccount) -> None:
    other = account("Other")
    old = message(main, device="phone-1", sim=1, route=Route.objects.create(name="Route"))
    (pk,) = resend.resend([old.pk], "alice", other)
    new = Message.objects.get(pk=pk)
    assert (new.account, new.route, new.device, new.sim) == (other, None, "", None)


@pytest.mark.parametrize("status", [*ledger.FROM, Status.RECEIVED])
def test_it_resends_what_is_over_and_nothing_else(main: ProviderAccount, status: Status) -> None:
    found = resend.run([message(main, status=status).pk], "alice")
    over = status in ("failed", "expired", "canceled", "sent", "delivered")
    assert (len(found.made), found.skipped) == ((1, {}) if over else (0, {"status": 1}))


def test_nobody_is_written_to_who_opted_out(main: ProviderAccount) -> None:
    rows = [message(main), message(main, number="+37255500000")]
    optout.opt_out("+37255500000", "alice")
    found = resend.run([row.pk for row in rows], "alice")
    assert (len(found.made), found.skipped) == (1, {"opted_out": 1})


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        ({"enabled": False}, "smsprovider", "switched_off"),
        ({}, "customersms", "unable"),
    ],
)
def test_it_says_why_an_account_cannot_send_it(
    main: ProviderAccount, values: dict[str, Any], kind: str, reason: str
) -> None:
    old = message(main, type="mms", attachments=["https://a.example/x.png"])
    assert resend.run([old.pk], "alice", account("Other", kind, **values)).skipped == {reason: 1}


def test_the_same_messages_twice_are_resent_once(main: ProviderAccount) -> None:
    old = message(main)
    assert len(resend.resend([old.pk, old.pk], "alice")) == 1
    assert resend.run([old.pk], "alice").skipped == {"repeated": 1}


def test_a_resend_that_failed_is_resent_in_place_of_the_first(main: ProviderAccount) -> None:
    old = message(main)
    (first,) = resend.resend([old.pk], "alice")
    ledger.apply([Change(first, Status.FAILED)])
    (second,) = resend.resend([old.pk, first], "alice")
    assert Message.objects.get(pk=second).resend_of_id == first


def test_who_asks_for_it_again_gets_it_once_the_last_one_is_over_and_a_minute_old(main: ProviderAccount) -> None:
    old = message(main)
    (first,) = resend.resend([old.pk], "alice")
    assert resend.run([old.pk], "alice", again=True).skipped == {"repeated": 1}
    ledger.apply([Change(first, Status.DELIVERED)])
    assert resend.run([old.pk], "alice", again=True).skipped == {"repeated": 1}
    Message.objects.filter(pk=first).update(created_at=timezone.now() - timedelta(minutes=2))
    assert resend.run([old.pk], "alice").skipped == {"repeated": 1}
    assert len(resend.run([old.pk], "alice", again=True).made) == 1


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_resend_once(main: ProviderAccount) -> None:
    old, ready, made = message(main), threading.Barrier(4), []

    def click() -> None:
        ready.wait()
        made.extend(resend.resend([old.pk], "alice"))
        connection.close()

    clicks = [threading.Thread(target=click) for _ in range(4)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert len(made) == 1 == Message.objects.exclude(pk=old.pk).count()
