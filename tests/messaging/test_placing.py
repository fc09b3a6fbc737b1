from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone
from django_q.models import OrmQ

from devices.models import Device, Sim
from messaging import campaigns, expanding
from messaging.campaigns import Draft
from messaging.models import Message, Route, RouteMember
from providers.models import ProviderAccount

pytestmark = pytest.mark.django_db

MANY = [f"+1555200{n:04d}" for n in range(24)]


def account(name: str, kind: str = "smsgateway", **values: Any) -> ProviderAccount:
    return ProviderAccount.objects.create(name=name, kind=kind, base_url="http://127.0.0.1:9", **values)


def phones(owner: ProviderAccount) -> None:
    for device, slots in (("1", 1), ("2", 2)):
        phone = Device.objects.create(account=owner, device_id=device, enabled=True)
        Sim.objects.bulk_create(Sim(device=phone, slot=slot) for slot in range(slots))


def places() -> list[tuple[str, int | None]]:
    return list(Message.objects.order_by("pk").values_list("device", "sim"))


def test_recipients_are_split_over_the_chosen_sims_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the rows are made in slices that do not divide by three."""
    monkeypatch.setattr(campaigns, "AT_ONCE", 5)
    monkeypatch.setattr(expanding, "SLICE", 7)
    owner = account("Phones")
    phones(owner)
    campaign = campaigns.submit(Draft(owner, MANY, "Hello", devices={"targets": ["1", "2|0", "2|1"]}))
    campaigns.expand(campaign.pk)
    assert places() == [("1", None), ("2", 0), ("2", 1)] * 8


def test_an_account_without_phones_is_given_none() -> None:
    campaigns.submit(Draft(account("Wire", "smsprovider"), MANY, "Hello", devices={"all": "sims"}))
    assert set(places()) == {("", None)}


def test_phones_that_went_away_leave_it_to_the_primary_one() -> None:
    campaigns.submit(Draft(account("Phones"), MANY, "Hello", devices={"all": "sims"}))
    assert set(places()) == {("", None)}


def test_a_route_shares_by_weight_and_wakes_each_account() -> None:
    one, two = account("One", "smsprovider"), account("Two", "customersms")
    route = Route.objects.create(name="Both", strategy=Route.WEIGHTED)
    RouteMember.objects.create(route=route, account=one, weight=3)
    RouteMember.objects.create(route=route, account=two, weight=1)
    OrmQ.objects.all().delete()
    campaigns.submit(Draft(one, MANY, "Hello", route=route))
    assert Counter(Message.objects.values_list("account", flat=True)) == {one.pk: 18, two.pk: 6}
    assert set(Message.objects.values_list("route", flat=True)) == {route.pk}


def test_outside_the_hours_messages_wait_for_the_opening() -> None:
    now = timezone.now()
    opens = (now + timedelta(hours=2)).astimezone(ZoneInfo("UTC")).replace(minute=0, second=0, microsecond=0)
    hours = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
    campaigns.submit(Draft(account("Wire", "smsprovider", zone="UTC"), MANY, "Hello", hours=hours, zone="UTC"))
    assert set(Message.objects.values_list("status", "due_at")) == {("scheduled", opens)}


def test_each_recipient_is_written_to_by_their_own_clock() -> None:
    now = timezone.now()
    here = {"+4930123456": "Europe/Berlin", "+81312345678": "Asia/Tokyo"}
    draft = Draft(account("Wire", "smsprovider"), list(here), "Hello", hours="09:00-10:00", by_recipient=True)
    with time_machine.travel(now, tick=False):
        campaigns.submit(draft)
    due: dict[str, datetime] = dict(Message.objects.values_list("number", "due_at"))
    for number, zone in here.items():
        assert due[number].astimezone(ZoneInfo(zone)).hour == 9
        assert now - timedelta(minutes=1) <= due[number] <= now + timedelta(days=1)
