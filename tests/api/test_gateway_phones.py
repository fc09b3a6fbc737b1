"""Phones under our own ids, codes dialled on them, and contacts: what a key sees, may name and may change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import gateway
from api.models import ApiKey
from contacts import consent
from contacts.models import ConsentEvent, Contact, ContactList, How
from devices import ussd
from devices.models import Device, Sim, UssdRequest
from devices.targets import Choice
from providers import errors
from providers.types import (
    Devices,
    ListDevices,
    ReadUssd,
    SaveContact,
    SendUssd,
    SimInfo,
    Spread,
    Target,
    Unsubscribe,
    UssdInfo,
)
from tests.base import account, person

from .gateways import NUMBER, key, phones, shelf

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def named(*names: Any, random: bool = False) -> Devices:
    targets = [name if isinstance(name, Target) else Target(str(name)) for name in names]
    return Devices(targets=tuple(targets), random=random)


# --- Listing ---------------------------------------------------------------------------------------------


def test_it_lists_the_phones_that_can_send_under_our_ids() -> None:
    row = shelf()
    first, second = phones(row)
    Device.objects.filter(pk=first.pk).update(alias="Till", last_seen=NOW, online=False)
    listed = gateway.devices(key(row), ListDevices())
    assert [(info.id, info.name, info.primary, info.online) for info in listed] == [
        (str(first.pk), "Till", True, False),
        (str(second.pk), "Warehouse", False, True),
    ]
    assert (listed[1].model, listed[1].android, listed[1].app, listed[0].last_seen) == ("Pixel 8", "15", "9.4.1", NOW)
    assert listed[1].sims == (SimInfo(0, "Blue Mobile", "+15550100201"), SimInfo(1, "SIM 2"))


@pytest.mark.parametrize("values", [{"enabled": False}, {"paused_at": NOW}, {"gone_at": NOW}])
def test_it_lists_none_that_all_phones_would_leave_out(values: dict[str, Any]) -> None:
    first, second = phones(shelf())
    Device.objects.filter(pk=second.pk).update(**values)
    assert [info.id for info in gateway.devices(key(), ListDevices())] == [str(first.pk)]


def test_it_lists_no_sim_that_is_gone_or_paused_and_no_foreign_phone() -> None:
    mine, _foreign = shelf("Mine"), shelf("Foreign")
    for slot, column in ((0, "gone_at"), (1, "paused_at")):
        Sim.objects.filter(device=phones(mine)[slot], slot=slot).update(**{column: NOW})
    listed = gateway.devices(key(mine, accounts=[mine], scopes=["send"]), ListDevices())
    assert [[sim.slot for sim in info.sims] for info in listed] == [[1], [0]]
    with pytest.raises(errors.KeyRefused):
        gateway.devices(key(scopes=["contacts"]), ListDevices())


def test_one_phone_is_primary_whichever_account_it_belongs_to() -> None:
    one, two = shelf("One"), shelf("Two")
    for of, first in ((None, one), (one, one), (two, two)):
        listed = gateway.devices(key(of), ListDevices())
        assert [info.id for info in listed if info.primary] == [str(phones(first)[0].pk)]
    Device.objects.filter(pk=phones(two)[1].pk).update(chosen=True)
    listed = gateway.devices(key(two), ListDevices())
    assert [info.id for info in listed if info.primary] == [str(phones(two)[1].pk)]


# --- Naming them to send ---------------------------------------------------------------------------------


def test_a_named_phone_leads_to_its_account_and_its_providers_id() -> None:
    one, two = shelf("One"), shelf("Two")
    first, second = phones(two)
    row = key(one)
    assert gateway.devices_of(row, named(second.pk)) == (two, Choice(targets=(Target("Two-b"),)))
    several = named(first.pk, Target(str(second.pk), 0), Target(str(second.pk), 1), random=True)
    targets = (Target("Two-a"), Target("Two-b", 0), Target("Two-b", 1))
    assert gateway.devices_of(row, several) == (two, Choice(targets=targets, random=True))


@pytest.mark.parametrize("spread", [Spread.ALL_DEVICES, Spread.ALL_SIMS])
def test_all_phones_are_those_of_the_keys_account_or_of_the_first_that_has_some(spread: Spread) -> None:
    plain, one, two = account("Plain"), shelf("One"), shelf("Two")
    asked = Devices(spread, random=True)
    for row, chosen in ((key(two), two), (key(plain), one), (key(), one), (key(plain, accounts=[plain, two]), two)):
        assert gateway.devices_of(row, asked) == (chosen, Choice(spread, random=True))
    assert gateway.devices_of(key(plain, accounts=[plain]), asked) == (plain, Choice())
    Device.objects.filter(account=one).update(enabled=False)
    with pytest.raises(errors.InvalidRequest, match="No phone of this account is known and switched on"):
        gateway.devices_of(key(one), asked)


def test_what_cannot_send_is_refused_with_a_sentence() -> None:
    mine, foreign = shelf("Mine"), shelf("Foreign")
    (first, second), (third, _fourth) = phones(mine), phones(foreign)
    Device.objects.filter(pk=second.pk).update(enabled=False)
    cases: list[tuple[ApiKey, Devices, type[errors.ProviderError], str]] = [
        (key(), named(999999999999), errors.NotFound, "no device with the ID 999999999999"),
        (key(), named("Mine-a"), errors.NotFound, "no device with the ID Mine-a"),
        (key(mine, accounts=[mine]), named(third.pk), errors.NotFound, "no device"),
        (key(), named(first.pk, third.pk), errors.InvalidRequest, "different accounts"),
        (key(), named(second.pk), errors.InvalidRequest, "switched off"),
        (key(), named(Target(str(first.pk), 4)), errors.InvalidRequest, "no SIM in slot 4"),
    ]
    for row, asked, kind, words in cases:
        with pytest.raises(kind, match=words):
            gateway.devices_of(row, asked)


# --- Codes -----------------------------------------------------------------------------------------------


def dial(row: ApiKey, device: Device, sim: int | None = None, code: str = "*100#") -> UssdInfo:
    return gateway.send_ussd(row, SendUssd(code, str(device.pk), sim))


def test_a_code_is_dialled_on_the_sim_and_told_with_our_ids() -> None:
    mine = shelf()
    second = phones(mine)[1]
    owner = person()
    info = dial(key(mine, owner=owner), second, 1)
    made = UssdRequest.objects.get()
    assert (made.account, made.device_id, made.sim, made.code, made.created_by) == (mine, "Shelf-b", 1, "*100#", owner)
    assert info == UssdInfo(str(made.pk), "*100#", str(second.pk), 1, user="1", sent_at=made.sent_at)


def test_without_a_slot_it_is_the_default_sim() -> None:
    first, second = phones(shelf())
    Device.objects.filter(pk=first.pk).update(default_slot=1)
    row = key()
    assert (dial(row, first).sim, dial(row, second).sim) == (1, 0)


@pytest.mark.parametrize("code", ["**21*+15550100#", "##002#", "**04*1234*5678*5678#"])
def test_a_dangerous_code_needs_an_administrators_key(code: str) -> None:
    first = phones(shelf())[0]
    powerful = person(is_superuser=True)
    with pytest.raises(errors.KeyRefused, match="“ussd” and “admin”"):
        dial(key(scopes=["ussd", "send"], owner=powerful), first, code=code)
    assert not UssdRequest.objects.exists()
    assert dial(key(scopes=["ussd", "admin"]), first, code=code).code == code


def test_what_the_console_refuses_is_refused() -> None:
    first, second = phones(shelf())
    row = key()
    dial(row, first, 0)
    Device.objects.filter(pk=second.pk).update(enabled=False)
    cases = [
        (first, 0, "*100#", errors.Rejected, "still waits for the answer"),
        (first, 1, "hello", errors.Rejected, "digits"),
        (first, 7, "*100#", errors.NotFound, "no SIM in slot 7"),
        (second, 0, "*100#", errors.Rejected, "switched off"),
        (Device(pk=999999999999), 0, "*100#", errors.NotFound, "no device with the ID 999999999999"),
    ]
    for device, sim, code, kind, words in cases:
        with pytest.raises(kind, match=words):
            dial(row, device, sim, code)
    with pytest.raises(errors.KeyRefused, match="scope “ussd”"):
        dial(key(scopes=["send", "read", "contacts"]), first, 1)


def test_codes_are_read_by_every_criterion() -> None:
    mine, foreign = shelf("Mine"), shelf("Foreign")
    (first, second), (third, _fourth) = phones(mine), phones(foreign)
    row = key(mine, accounts=[mine])
    made = [int(dial(row, *where).id) for where in ((first, 0), (second, 0, "*150#"), (second, 1))]
    ussd.ask(Sim.objects.get(device=third, slot=0), "*100#", None)
    hour = timedelta(hours=1)
    for place, pk in enumerate(made):
        UssdRequest.objects.filter(pk=pk).update(sent_at=NOW + place * hour)
    asked = {
        "all": (ReadUssd(), [2, 1, 0]),
        "id": (ReadUssd(id=str(made[1])), [1]),
        "nobody's": (ReadUssd(id="abc"), []),
        "code": (ReadUssd(code="*100#"), [2, 0]),
        "device": (ReadUssd(device=str(second.pk)), [2, 1]),
        "foreign": (ReadUssd(device=str(third.pk)), []),
        "sim": (ReadUssd(device=str(second.pk), sim=0), [1]),
        "start": (ReadUssd(start=NOW + hour), [2, 1]),
        "end": (ReadUssd(end=NOW + hour), [0]),
    }
    for name, (op, places) in asked.items():
        assert [int(info.id) for info in gateway.read_ussd(row, op)] == [made[place] for place in places], name
    with pytest.raises(errors.KeyRefused, match="scope “ussd”"):
        gateway.read_ussd(key(scopes=["read"]), ReadUssd())


def test_an_answer_is_told_and_so_is_why_there_is_none() -> None:
    first = phones(shelf())[0]
    row = key()
    pk = dial(row, first).id
    states = {
        "asked": ({}, None),
        "answered": ({"response": "12.50 EUR", "answered_at": NOW}, "12.50 EUR"),
        "failed": ({"response": None, "error": "The phone is off."}, "The phone is off."),
    }
    for state, (values, response) in states.items():
        UssdRequest.objects.filter(pk=pk).update(state=state, **values)
        assert gateway.read_ussd(row, ReadUssd(id=pk))[0].response == response


# --- Contacts --------------------------------------------------------------------------------------------


def save(row: ApiKey, to: ContactList, name: str = "", resubscribe: bool = False) -> bool:
    info = gateway.save_contact(row, SaveContact(str(to.pk), NUMBER, name, resubscribe))
    assert (info.number, info.list_id) == (NUMBER, str(to.pk))
    assert info.id == str(Contact.objects.get(number=NUMBER).pk)
    return info.subscribed


def test_a_contact_is_put_on_a_list_and_stays_as_it_is() -> None:
    to, row = ContactList.objects.create(name="News"), key()
    assert save(row, to, "Ann")
    assert save(row, to, "Bob")
    to.refresh_from_db()
    assert (Contact.objects.get().name, to.members, to.subscribed) == ("Ann", 1, 1)
    event = ConsentEvent.objects.get()
    assert (event.how, event.by, event.what) == (How.API, "Shop", "subscribed")


def test_who_unsubscribed_comes_back_only_when_asked() -> None:
    to, row = ContactList.objects.create(name="News"), key()
    save(row, to)
    out = gateway.unsubscribe(row, Unsubscribe(str(to.pk), NUMBER))
    assert (out.subscribed, out.number, out.list_id) == (False, NUMBER, str(to.pk))
    assert [save(row, to), save(row, to, resubscribe=True)] == [False, True]


@pytest.mark.parametrize("on_the_list", [True, False])
def test_a_stop_is_never_undone(on_the_list: bool) -> None:
    to, row = ContactList.objects.create(name="News"), key()
    if on_the_list:
        save(row, to)
    consent.opt_out_numbers([NUMBER], How.STOP, "message 1")
    assert not save(row, to, resubscribe=True)
    assert Contact.objects.get().opted_out_at


def test_an_unknown_list_or_number_is_nobodys() -> None:
    gone = ContactList.objects.create(name="Old", deleted_at=NOW)
    to, row = ContactList.objects.create(name="News"), key()
    for list_id in (str(gone.pk), "0", "News", "9" * 30):
        for function, op in ((gateway.save_contact, SaveContact), (gateway.unsubscribe, Unsubscribe)):
            with pytest.raises(errors.NotFound, match="no contact list"):
                function(row, op(list_id, NUMBER))  # type: ignore[operator]
    with pytest.raises(errors.NotFound, match="not on the contact list"):
        gateway.unsubscribe(row, Unsubscribe(str(to.pk), NUMBER))
    assert not Contact.objects.exists()
    with pytest.raises(errors.KeyRefused, match="scope “contacts”"):
        save(key(scopes=["send", "read", "ussd"]), to)
