from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from devices.models import Sim
from devices.targets import Choice, assign, places, to_wire
from providers.models import ProviderAccount
from providers.types import Devices, Spread, Target
from tests.base import account, dated
from tests.devices.base import phone

ALL_DEVICES, ALL_SIMS = Spread.ALL_DEVICES, Spread.ALL_SIMS

# --- What is typed and stored ------------------------------------------------------------------------

TYPED = {
    "": (Choice(), {}),
    "7": (Choice(targets=(Target("7"),)), {"targets": ["7"]}),
    "7|0": (Choice(targets=(Target("7", 0),)), {"targets": ["7|0"]}),
    "1, 2|0\n2|1 1": (
        Choice(targets=(Target("1"), Target("2", 0), Target("2", 1))),
        {"targets": ["1", "2|0", "2|1"]},
    ),
    "all devices": (Choice(ALL_DEVICES), {"all": "devices"}),
    "All SIMs": (Choice(ALL_SIMS), {"all": "sims"}),
    "random all sims": (Choice(ALL_SIMS, random=True), {"all": "sims", "random": True}),
    "random 1 2|0": (
        Choice(targets=(Target("1"), Target("2", 0)), random=True),
        {"targets": ["1", "2|0"], "random": True},
    ),
}


@pytest.mark.parametrize("text", list(TYPED))
def test_what_is_typed_can_be_stored(text: str) -> None:
    choice, stored = TYPED[text]
    assert Choice.read(text) == choice
    assert choice.write() == stored
    assert Choice.read(stored) == choice


REFUSED: dict[str, tuple[Any, str]] = {
    "slot in words": ("1|first", "“1|first” is no phone"),
    "negative slot": ("1|-1", "is no phone"),
    "two slots": ("1|0|1", "is no phone"),
    "JSON": ('["1"]', "is no phone"),
    "a long ID": ("x" * 41, "is no phone"),
    "random of nothing": ("random", "Say of which phones one is to be picked"),
    "stored random of nothing": ({"random": True}, "Say of which phones one is to be picked"),
    "stored target": ({"targets": ["1|x"]}, "is no phone"),
    "stored null": ({"targets": [None]}, "These are no phones"),
    "stored text": ({"targets": "1"}, "These are no phones"),
    "unknown word": ({"all": "tablets"}, "These are no phones"),
    "unknown name": ({"phones": ["1"]}, "These are no phones"),
    "a list for a word": ({"all": []}, "These are no phones"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_no_choice_of_phones_gets_a_sentence(case: str) -> None:
    typed, sentence = REFUSED[case]
    with pytest.raises(ValueError) as raised:
        Choice.read(typed)
    assert sentence in str(raised.value)


targets = st.builds(Target, st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True), st.none() | st.integers(0, 99))
asked = st.builds(Devices, st.sampled_from(Spread), st.lists(targets).map(tuple), st.booleans())


@given(asked)
def test_every_choice_comes_back_from_its_store(devices: Devices) -> None:
    choice = Choice.of(devices)
    assert Choice.read(choice.write()) == choice


# --- Who goes through which phone --------------------------------------------------------------------

db = pytest.mark.django_db


@pytest.fixture
def shelf() -> ProviderAccount:
    """Three phones switched on, of which one has two SIMs and one none that is known, and one switched off."""
    row = account(kind="smsgateway")
    phone(row, "1", 0)
    phone(row, "2", 0, 1)
    phone(row, "3")
    phone(row, "4", 0, enabled=False)
    return row


PLACES = {
    "the primary one": ("", [("", None)]),
    "a phone": ("2", [("2", None)]),
    "a SIM and a phone": ("2|1, 1", [("2", 1), ("1", None)]),
    "one that the inventory lacks": ("99|0", [("99", 0)]),
    "not one switched off": ("4, 1", [("1", None)]),
    "one switched off, alone": ("4|0", [("4", 0)]),
    "all devices": ("all devices", [("1", None), ("2", None), ("3", None)]),
    "all SIMs": ("all sims", [("1", 0), ("2", 0), ("2", 1), ("3", None)]),
}


@db
@pytest.mark.parametrize("case", list(PLACES))
def test_a_choice_means_phones_and_sims(shelf: ProviderAccount, case: str) -> None:
    typed, expected = PLACES[case]
    assert places(shelf.pk, Choice.read(typed)) == expected


# --- What is paused, gone, or chosen -----------------------------------------------------------------

OFF = {"paused_at": timedelta()}
GONE = {"gone_at": timedelta(), "enabled": False}


@db
def test_what_is_paused_or_gone_gets_nothing(shelf: ProviderAccount) -> None:
    shelf.devices.filter(device_id="1").update(**dated(OFF))
    Sim.objects.filter(device__device_id="2", slot=0).update(**dated(OFF))
    shelf.devices.filter(device_id="3").update(**dated(GONE))
    assert places(shelf.pk, Choice.read("all sims")) == [("2", 1)]
    assert places(shelf.pk, Choice.read("all devices")) == [("2", 1)]
    assert places(shelf.pk, Choice.read("1, 2, 2|0, 3, 2|1")) == [("2", 1)]


@db
def test_a_sim_that_is_gone_is_none_of_all_sims(shelf: ProviderAccount) -> None:
    Sim.objects.filter(device__device_id="2", slot=0).update(gone_at=timezone.now())
    assert ("2", 0) not in places(shelf.pk, Choice.read("all sims"))


@db
def test_what_is_named_and_paused_waits_where_it_is(shelf: ProviderAccount) -> None:
    shelf.devices.update(**dated(OFF))
    assert places(shelf.pk, Choice.read("1, 2|0")) == [("1", None), ("2", 0)]
    with pytest.raises(ValueError, match="All phones of this account are paused"):
        places(shelf.pk, Choice.read("all devices"))


@db
def test_a_phone_sends_through_its_default_sim(shelf: ProviderAccount) -> None:
    shelf.devices.filter(device_id="2").update(default_slot=1)
    assert places(shelf.pk, Choice.read("2")) == [("2", 1)]
    assert places(shelf.pk, Choice.read("all devices")) == [("1", None), ("2", 1), ("3", None)]
    Sim.objects.filter(device__device_id="2", slot=1).update(**dated(OFF))
    assert places(shelf.pk, Choice.read("2")) == [("2", 0)]


@db
def test_the_chosen_phone_is_the_primary_one(shelf: ProviderAccount) -> None:
    shelf.devices.filter(device_id="1").update(primary=True, default_slot=0)
    assert places(shelf.pk, Choice()) == [("1", 0)]
    shelf.devices.filter(device_id="3").update(chosen=True)
    assert places(shelf.pk, Choice()) == [("3", None)]
    shelf.devices.filter(device_id="3").update(**dated(GONE))
    assert places(shelf.pk, Choice()) == [("1", 0)]


@db
def test_phones_of_another_account_are_none(shelf: ProviderAccount) -> None:
    other = account("Other", kind="smsgateway")
    phone(other, "1", enabled=False)
    assert places(shelf.pk, Choice.read("1")) == [("1", None)]
    for typed in ("all devices", "all sims"):
        with pytest.raises(ValueError, match="No phone of this account is known and switched on"):
            assign(other.pk, Choice.read(typed), 3)


@db
def test_named_phones_need_no_inventory() -> None:
    assert assign(account(kind="smsgateway").pk, Choice.read("1, 2|0"), 3) == [("1", None), ("2", 0), ("1", None)]


@db
def test_twelve_over_three_are_four_each(shelf: ProviderAccount) -> None:
    found = assign(shelf.pk, Choice.read("1, 2|0, 2|1"), 12)
    assert Counter(found) == {("1", None): 4, ("2", 0): 4, ("2", 1): 4}


@db
@pytest.mark.parametrize("typed", ["", "all sims", "random all sims", "1, 2|0, 2|1"])
def test_it_goes_on_after_a_restart_as_if_there_had_been_none(shelf: ProviderAccount, typed: str) -> None:
    choice = Choice.read(typed)
    whole = assign(shelf.pk, choice, 25, seed="token")
    for cut in range(26):
        first = assign(shelf.pk, choice, cut, seed="token")
        assert first + assign(shelf.pk, choice, 25 - cut, cut, seed="token") == whole


@db
def test_random_is_one_for_all_and_over_time_any(shelf: ProviderAccount) -> None:
    choice = Choice.read("random all sims")
    picks = [set(assign(shelf.pk, choice, 10, seed=f"campaign {n}")) for n in range(60)]
    assert {len(pick) for pick in picks} == {1}
    assert set.union(*picks) == set(places(shelf.pk, Choice.read("all sims")))


@db
def test_a_phone_that_goes_does_not_move_the_pick_of_the_others(shelf: ProviderAccount) -> None:
    choice = Choice.read("random all devices")
    before = {seed: assign(shelf.pk, choice, 1, seed=seed)[0] for seed in map(str, range(30))}
    shelf.devices.filter(device_id="3").update(enabled=False)
    after = {seed: assign(shelf.pk, choice, 1, seed=seed)[0] for seed in before}
    assert {seed for seed in before if before[seed] != after[seed]} == {s for s in before if before[s] == ("3", None)}


@db
def test_any_number_of_phones_takes_two_queries(
    shelf: ProviderAccount, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2):
        assign(shelf.pk, Choice.read("all sims"), 10_000)
    with django_assert_num_queries(2):
        assign(shelf.pk, Choice.read("1, 2|0"), 10_000)
    with django_assert_num_queries(1):
        assign(shelf.pk, Choice(), 10_000)


@pytest.mark.parametrize(
    ("place", "wire"),
    [
        (("", None), Devices()),
        (("7", None), Devices(targets=(Target("7"),))),
        (("7", 0), Devices(targets=(Target("7", 0),))),
    ],
)
def test_a_request_names_the_phone_of_its_messages(place: tuple[str, int | None], wire: Devices) -> None:
    assert to_wire(*place) == wire
