"""What an operator does with a campaign holds from the moment it is said, and the rows follow."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from contacts import consent
from contacts.models import Contact, How
from messaging import (
    campaigns,
    cancel,
    clock,
    conduct,
    expanding,
    inquiry,
    leases,
    ledger,
    parking,
    reports,
    reschedule,
    streaks,
)
from messaging.campaigns import Draft
from messaging.ledger import Change
from messaging.models import Campaign, Message
from providers.models import Exchange, ProviderAccount
from providers.transport import HttpTransport
from providers.types import Report, Status
from tests.base import account as new_account
from tests.base import administrator, person, signed_in
from tests.contacts.base import a_list, people
from tests.messaging.carrier import FATES, Carrier, Worker

pytestmark = pytest.mark.django_db(transaction=True)

FATE = {fate.name: fate for fate in FATES}


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> Carrier:
    found = Carrier()
    streaks._running.clear()
    clock._woken.clear()
    monkeypatch.setattr(HttpTransport, "__call__", lambda transport, request: found.answer(transport, request))
    return found


@pytest.fixture
def account(carrier: Carrier) -> ProviderAccount:
    row = new_account("Main", rates=["1000/second"])
    row.base_url = f"http://127.0.0.1:9/{row.pk}"
    row.save()
    return row


@pytest.fixture(autouse=True)
def no_undo(settings: Any) -> None:
    settings.SMSDASH_UNDO_SECONDS = 0


def send(account: ProviderAccount, n: int = 3, first: int = 0, **values: Any) -> Campaign:
    ids = people(n, first)
    return campaigns.submit(Draft(account, (), "Hello", lists=[a_list(f"List {first}", ids)], **values))


def work(account: ProviderAccount, carrier: Carrier, fate: str = "taken") -> None:
    """Everything leaves that may."""
    worker = Worker(account)
    for _round in range(6):
        worker.leave()
        while worker.waiting():
            worker.hand_over(carrier, FATE[fate])
        while worker.lane.under_way():
            worker.lane.settle()
            worker.write()
    leases.release(account.pk, worker.holder)


def in_background(campaign: Campaign) -> None:
    """As the clock and the workers do it, until nothing is left."""
    for _round in range(50):
        campaigns.expand(campaign.pk)
        campaign.refresh_from_db()
        if campaign.complete:
            return


def statuses(campaign: Campaign) -> dict[str, int]:
    found = dict(Counter(Message.objects.filter(campaign=campaign).values_list("status", flat=True)))
    assert found == {status: n for status, n in conduct.counts_of(campaign.pk).items() if n}
    return found


# --- Pause and resume --------------------------------------------------------------------------------------


def test_what_is_paused_stays_and_others_go(account: ProviderAccount, carrier: Carrier) -> None:
    held, other = send(account), send(account, first=10)
    assert conduct.pause(held, "ann", "Wrong link.")
    assert (held.state, held.state_by, held.state_reason) == ("paused", "ann", "Wrong link.")
    assert conduct.state(held) == "paused"
    work(account, carrier)
    assert (statuses(held), statuses(other)) == ({"scheduled": 3}, {"sent": 3})


def test_nothing_that_was_read_before_leaves_after(
    account: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = send(account)
    worker = Worker(account)
    lane = worker.lane
    lane.read(time.monotonic())
    lane.door.admit([[*request] for group in lane.backlog.bulk.values() for request in [group]])
    assert len(lane.backlog) == 3 and lane.door.campaigns[campaign.pk].state == "sending"
    monkeypatch.setattr(parking, "move", lambda *what: None)  # the rows have not followed
    conduct.pause(campaign, "ann")
    for _look in range(3):
        lane.next_try = lane.glanced = lane.looked = 0.0
        lane.fill(time.monotonic())
    assert worker.waiting() == [] and statuses(campaign) == {"scheduled": 3}


def test_requests_on_their_way_are_let_go(account: ProviderAccount, carrier: Carrier) -> None:
    campaign = send(account, 2)
    worker = Worker(account)
    worker.leave()
    conduct.pause(campaign, "ann")
    in_background(campaign)
    assert statuses(campaign) == {"queued": 2}
    worker.finish(carrier)
    assert statuses(campaign) == {"sent": 2}


def test_what_comes_back_from_its_way_is_put_aside(account: ProviderAccount, carrier: Carrier) -> None:
    campaign = send(account, 2)
    worker = Worker(account)
    worker.leave()
    conduct.pause(campaign, "ann")
    worker.hand_over(carrier, FATE["too fast"])
    while worker.lane.under_way():
        worker.lane.settle()
        worker.write()
    assert statuses(campaign) == {"queued": 2}
    worker.look()
    worker.leave()
    worker.leave()
    assert statuses(campaign) == {"scheduled": 2} and not carrier.taken


def test_messages_of_a_paused_campaign_are_moved_aside_by_the_thousand(
    account: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    held = send(account, 400)
    Campaign.objects.filter(pk=held.pk).update(state="paused")  # and nobody has moved a row yet
    worker = Worker(account)
    with django_assert_max_num_queries(30):
        worker.leave()
    assert statuses(held) == {"scheduled": 400}
    other = send(account, 1, first=500)
    worker.leave()
    worker.leave()
    assert len(worker.waiting()) == 1
    worker.finish(carrier)
    assert statuses(other) == {"sent": 1}


def test_the_clock_does_not_bring_back_what_is_parked(account: ProviderAccount, carrier: Carrier) -> None:
    campaign = send(account)
    conduct.pause(campaign, "ann")
    clock.tick()
    assert statuses(campaign) == {"scheduled": 3}


def test_resumed_messages_have_their_places_and_times_again(
    account: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "SLICE", 2)
    campaign = send(account, 5)
    ids = list(Message.objects.order_by("pk").values_list("pk", flat=True))
    reschedule.reschedule([ids[3]], timezone.now() + timedelta(days=1), "ann")
    Message.objects.filter(pk=ids[0]).update(due_at=timezone.now() - timedelta(seconds=1))
    before = list(Message.objects.order_by("due_at", "pk").values_list("pk", "due_at", "status"))
    conduct.pause(campaign, "ann")
    in_background(campaign)
    assert statuses(campaign) == {"scheduled": 5} and campaign.complete
    assert not Message.objects.filter(due_at__lt=parking.BEYOND).exists()
    assert conduct.resume(campaign, "bob")
    in_background(campaign)
    assert before == list(Message.objects.order_by("due_at", "pk").values_list("pk", "due_at", "status"))
    assert set(Message.objects.values_list("error_code", flat=True)) == {""}
    work(account, carrier)
    assert statuses(campaign) == {"sent": 4, "scheduled": 1} and max(carrier.taken.values()) == 1


def test_rows_made_while_it_is_paused_wait_with_the_others(
    account: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "AT_ONCE", 0)
    campaign = send(account, 4)
    conduct.pause(campaign, "ann")
    in_background(campaign)
    work(account, carrier)
    assert statuses(campaign) == {"scheduled": 4} and not carrier.taken
    conduct.resume(campaign, "ann")
    in_background(campaign)
    work(account, carrier)
    assert statuses(campaign) == {"sent": 4}


def test_a_state_changes_once(account: ProviderAccount, carrier: Carrier) -> None:
    campaign = send(account)
    assert conduct.pause(campaign, "ann") and not conduct.pause(campaign, "bob")
    assert not conduct.approve(campaign, administrator())
    assert conduct.cancel(campaign, "ann") and not conduct.resume(campaign, "ann")
    assert campaign.state == "canceled" and not conduct.cancel(campaign, "bob")
    campaign.refresh_from_db()
    assert campaign.state_by == "ann"


# --- Undo and cancel ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("still")
def test_it_can_be_taken_back_whole_for_a_while(account: ProviderAccount, carrier: Carrier, settings: Any) -> None:
    settings.SMSDASH_UNDO_SECONDS = 30
    campaign = send(account)
    assert timedelta(seconds=25) < campaign.due_at - timezone.now() <= timedelta(seconds=30)
    work(account, carrier)
    clock.tick()
    assert statuses(campaign) == {"scheduled": 3} and conduct.state(campaign) == "held"
    conduct.cancel(campaign, "ann")
    in_background(campaign)
    assert statuses(campaign) == {"canceled": 3} and not carrier.taken
    assert conduct.balance(campaign).canceled == 3


def test_a_later_time_counts_instead_and_typed_numbers_leave_at_once(account: ProviderAccount, settings: Any) -> None:
    settings.SMSDASH_UNDO_SECONDS = 30
    later = timezone.now() + timedelta(hours=1)
    assert send(account, due_at=later).due_at == later
    assert conduct.state(Campaign.objects.get()) == "scheduled"
    typed = campaigns.submit(Draft(account, ["+37255500099"], "Hello"))
    assert typed.due_at <= timezone.now() and statuses(typed) == {"queued": 1}


def test_cancel_stops_the_expansion_and_leaves_what_is_uncertain(
    account: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "AT_ONCE", 0)
    monkeypatch.setattr(expanding, "SLICE", 3)
    monkeypatch.setattr(expanding, "SMALLEST", 3)
    campaign = send(account, 9)
    run = campaigns._Run(campaign.pk)
    campaigns._step(run), campaigns._step(run)
    first = Message.objects.order_by("pk").first()
    assert first is not None
    ledger.apply([Change(first.pk, Status.UNCERTAIN)])
    conduct.cancel(campaign, "ann")
    in_background(campaign)
    assert statuses(campaign) == {"uncertain": 1, "canceled": 2} and campaign.complete
    assert Message.objects.filter(error_text="Canceled with its campaign by ann.").count() == 2


def test_what_was_on_its_way_when_it_was_canceled_does_not_go_again(account: ProviderAccount, carrier: Carrier) -> None:
    campaign = send(account, 2)
    worker = Worker(account)
    worker.leave()
    conduct.cancel(campaign, "ann")
    worker.hand_over(carrier, FATE["too fast"])
    while worker.lane.under_way():
        worker.lane.settle()
        worker.write()
    assert statuses(campaign) == {"queued": 2}
    in_background(campaign)
    assert statuses(campaign) == {"canceled": 2}


def test_what_was_never_taken_is_canceled_with_its_campaign(account: ProviderAccount, carrier: Carrier) -> None:
    """When its provider says so only after that."""
    campaign = send(account, 1)
    row, until = Message.objects.get(), timezone.now()
    exchange = Exchange.objects.create(account=account, verb="send")
    ledger.apply([Change(row.pk, Status.UNCERTAIN, {"poll_at": until, "exchange": exchange.pk})])
    conduct.cancel(campaign, "ann")
    row.refresh_from_db()
    inquiry.Desk(account, until).write([inquiry._not_taken(inquiry.Case(row, None))], [])
    assert statuses(campaign) == {"canceled": 1}


# --- Approval ----------------------------------------------------------------------------------------------


def test_above_a_number_somebody_else_has_to_approve(account: ProviderAccount, carrier: Carrier, settings: Any) -> None:
    settings.SMSDASH_APPROVAL_ABOVE = 2
    ann, boss = person("ann", "messaging.approve_campaign"), person("boss", "messaging.approve_campaign")
    campaign = send(account, user=ann)
    work(account, carrier)
    assert conduct.state(campaign) == "approval" and statuses(campaign) == {"scheduled": 3}
    for user in (ann, person("carl")):
        with pytest.raises(PermissionDenied):
            conduct.approve(campaign, user)
    assert conduct.approve(campaign, boss)
    work(account, carrier)
    in_background(campaign)
    assert statuses(campaign) == {"sent": 3} and conduct.state(campaign) == "finished"


def test_a_rejected_campaign_says_why(account: ProviderAccount, settings: Any) -> None:
    settings.SMSDASH_APPROVAL_ABOVE = 1
    campaign = send(account)
    assert conduct.reject(campaign, administrator(), "Not today.")
    assert (campaign.state, campaign.state_reason, statuses(campaign)) == ("canceled", "Not today.", {"canceled": 3})


@pytest.mark.parametrize(("limit", "needed"), [(0, False), (3, True), (4, False), (5, False)])
def test_people_are_counted_not_places(account: ProviderAccount, settings: Any, limit: int, needed: bool) -> None:
    settings.SMSDASH_APPROVAL_ABOVE = limit
    ids = people(4)
    consent.opt_out(ids[:1], How.STOP, "them")
    lists = [a_list("One", ids), a_list("Two", ids)]
    assert campaigns.needs_approval(Draft(account, ["+37255500077"], "Hello", lists=lists)) is needed


# --- Stopping by itself ------------------------------------------------------------------------------------


def test_it_pauses_itself_after_failures_in_a_row(account: ProviderAccount, carrier: Carrier, settings: Any) -> None:
    settings.SMSDASH_STOP_AFTER_FAILURES = 3
    for first, paused in ((0, False), (10, True)):
        campaign = send(account, 2 if not first else 3, first=first)
        work(account, carrier, "refused as a whole")
        campaign.refresh_from_db()
        assert (campaign.state == "paused") is paused
    assert campaign.state_reason.startswith("3 messages in a row were refused. The last one: The provider says: “No.”")
    assert campaign.state_by == ""
    conduct.resume(campaign, "ann")
    assert campaign.failed_in_a_row == 0


def test_a_success_ends_the_streak_also_in_another_process(account: ProviderAccount, carrier: Carrier) -> None:
    campaign = send(account, 1)
    Campaign.objects.update(failed_in_a_row=49)
    work(account, carrier)
    campaign.refresh_from_db()
    assert campaign.failed_in_a_row == 0 and campaign.state == "sending"


def test_reports_of_failures_pause_it_too(account: ProviderAccount, carrier: Carrier, settings: Any) -> None:
    """Whatever the provider went on taking meanwhile."""
    settings.SMSDASH_STOP_AFTER_FAILURES = 2
    campaign = send(account, 4)
    work(account, carrier)
    names = list(Message.objects.order_by("pk").values_list("provider_id", flat=True))
    for name, status, n in zip(names, ("failed", "delivered", "failed", "failed"), (1, 0, 1, 2), strict=True):
        reports.apply(account, [Report(name, Status(status))])
        campaign.refresh_from_db()
        assert campaign.undelivered_in_a_row == n
    assert (campaign.state, campaign.state_reason) == ("paused", "2 messages in a row were not delivered.")


def test_while_all_goes_well_nothing_is_written_about_failures(
    account: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaks, "_keep", lambda *streak: pytest.fail("a statement too many"))
    send(account, 3)
    work(account, carrier)
    names = Message.objects.values_list("provider_id", flat=True)
    reports.apply(account, [Report(name, Status.DELIVERED) for name in names])
    assert set(Message.objects.values_list("status", flat=True)) == {"delivered"}


# --- How it stands -----------------------------------------------------------------------------------------


def test_who_opts_out_before_their_turn_is_skipped(account: ProviderAccount, carrier: Carrier) -> None:
    campaign = send(account)
    consent.opt_out(Contact.objects.values_list("pk", flat=True)[:1], How.STOP, "them")
    work(account, carrier)
    campaign.refresh_from_db()
    found = conduct.balance(campaign)
    assert (found.sent, found.skipped, found.canceled, found.recipients) == (2, 1, 0, 3)
    assert found.reasons == {"opted_out": 1} and statuses(campaign) == {"sent": 2, "canceled": 1}


def test_it_is_not_finished_while_anybodys_end_is_open(
    account: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "AT_ONCE", 0)
    campaign = send(account, 1)
    assert conduct.state(campaign) == "preparing"
    in_background(campaign)
    assert conduct.state(campaign) == "sending"
    work(account, carrier, "not taken, no answer")
    assert statuses(campaign) == {"uncertain": 1} and conduct.state(campaign) == "sending"
    ledger.apply([Change(Message.objects.get().pk, Status.SENT)])
    assert conduct.state(campaign) == "finished"


def test_of_a_scheduled_one_nothing_is_left_once_all_its_messages_are_canceled(account: ProviderAccount) -> None:
    campaign = send(account, 1, due_at=timezone.now() + timedelta(hours=1))
    assert conduct.state(campaign) == "scheduled"
    cancel.cancel([Message.objects.get().pk], "me")
    assert conduct.state(campaign) == "finished"


@pytest.mark.usefixtures("still")
def test_progress_tells_the_rate_and_the_time_left(account: ProviderAccount) -> None:
    campaign = send(account, 4)
    Campaign.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    campaign.refresh_from_db()
    ledger.apply([Change(Message.objects.first().pk, Status.SENT)])  # type: ignore[union-attr]
    found = conduct.progress(campaign)
    assert found.rate == pytest.approx(1.0, rel=0.2) and found.left is not None
    assert found.left.total_seconds() == pytest.approx(180, rel=0.2)


def test_what_failed_is_resent_once(account: ProviderAccount, carrier: Carrier) -> None:
    campaign, user = send(account, 3), administrator()
    work(account, carrier, "refused as a whole")
    assert conduct.resend_failed(campaign, user).pk == conduct.resend_failed(campaign, user).pk
    assert Message.objects.filter(campaign=None, resend_of__campaign=campaign).count() == 3
    assert conduct.balance(campaign).failed == 3


def test_a_parked_message_says_what_it_waits_for(account: ProviderAccount, carrier: Carrier) -> None:
    campaign = send(account, 1)
    conduct.pause(campaign, "ann", "Wrong link.")
    page = signed_in().get(f"/messages/{Message.objects.get().pk}/").text
    assert "Its campaign is paused. Wrong link. Resume it to send." in page
    assert str(timezone.now().year + 1000) not in page
