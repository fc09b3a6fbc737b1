"""Subscriptions, opt-outs, the counts of lists and the history: one writer, one transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts import consent, optout
from contacts.consent import Subscribed
from contacts.models import ConsentEvent, Contact, ContactList, How, Import, Subscription

from .base import a_list, counted, counts, fresh, people

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "SLICE", 3)


def events(contact: int) -> list[tuple[str, str, str]]:
    rows = ConsentEvent.objects.filter(contact=contact).order_by("pk")
    return [(row.what, row.how, row.by) for row in rows]


def status(of: ContactList, contact: int) -> bool | None:
    return Subscription.objects.filter(list=of, contact=contact).values_list("subscribed", flat=True).first()


def test_subscribing_adds_whom_it_can_and_leaves_who_is_there() -> None:
    ids, guests = people(8), a_list()
    made_by = Import.objects.create(name="people.csv")
    assert consent.subscribe(guests, ids[:5], How.IMPORT, "alice", made_by_import=made_by) == Subscribed(added=5)
    consent.unsubscribe(guests, ids[:2], How.OPERATOR, "bob", "Asked on the phone")
    found = consent.subscribe(guests, [*ids, 10**9], How.API, "shop")
    assert found == Subscribed(added=3, existing=5, unsubscribed=2)
    assert counts(guests) == counted(guests) == (8, 6)
    place = Subscription.objects.get(list=guests, contact=ids[4])
    assert (place.how, place.by, place.made_by_import) == ("import", "alice", made_by)
    assert events(ids[0]) == [("subscribed", "import", "alice"), ("unsubscribed", "operator", "bob")]
    assert ConsentEvent.objects.get(contact=ids[1], what="unsubscribed").reason == "Asked on the phone"


def test_resubscribing_brings_back_and_never_undoes_an_opt_out() -> None:
    ids = people(4)
    guests = a_list(members=ids)
    consent.unsubscribe(guests, ids[:3], How.STOP, "")
    consent.opt_out(ids[2:], How.STOP, "message 7", proof={"text": "STOP"})
    found = consent.subscribe(guests, ids, How.API, "shop", resubscribe=True)
    assert found == Subscribed(resubscribed=2, existing=2, unsubscribed=1, opted_out=2)
    assert [status(guests, pk) for pk in ids] == [True, True, False, True]
    assert Contact.objects.filter(opted_out_at__isnull=False).count() == 2
    assert counts(guests) == counted(guests)


def test_unsubscribing_twice_is_once() -> None:
    ids = people(2)
    guests = a_list(members=ids[:1])
    assert consent.unsubscribe(guests, ids, How.LINK, "") == 1
    assert consent.unsubscribe(guests, ids, How.LINK, "") == 0
    assert [what for what, _how, _by in events(ids[0])] == ["subscribed", "unsubscribed"]
    assert events(ids[1]) == []


def test_who_is_removed_can_be_brought_back_as_they_were() -> None:
    ids = people(4)
    guests = a_list(members=ids)
    consent.unsubscribe(guests, ids[:1], How.OPERATOR, "bob")
    assert consent.remove(guests, ids, How.OPERATOR, "bob") == 4
    assert counts(guests) == counted(guests) == (0, 0)
    proofs = dict(ConsentEvent.objects.filter(what="removed").values_list("contact", "proof"))
    assert proofs == {pk: {"subscribed": pk != ids[0]} for pk in ids}
    assert consent.restore(guests, ids[:1], False, How.OPERATOR, "bob") == 1
    assert consent.restore(guests, ids, True, How.OPERATOR, "bob") == 3
    assert [status(guests, pk) for pk in ids] == [False, True, True, True]
    assert counts(guests) == counted(guests) == (4, 3)


def test_an_opt_out_by_number_makes_a_contact_and_keeps_its_proof() -> None:
    known = people(1)[0]
    numbers = ["+37255500000", "+12125550100"]
    assert consent.opt_out_numbers(numbers, How.STOP, "message 7", proof={"text": "Stop"}) == 2
    assert consent.opt_out_numbers(numbers, How.STOP, "message 8") == 0
    assert Contact.objects.filter(number__in=numbers, opted_out_at__isnull=False).count() == 2
    (event,) = ConsentEvent.objects.filter(contact=known)
    assert (event.list, event.what, event.proof) == (None, "opted_out", {"text": "Stop"})


def test_opting_in_is_only_for_who_opted_out() -> None:
    ids = people(2)
    consent.opt_out(ids[:1], How.OPERATOR, "bob")
    assert consent.opt_in(ids, How.OPERATOR, "bob", "Wrote by mail") == 1
    assert [what for what, _how, _by in events(ids[0])] == ["opted_out", "opted_in"]
    assert events(ids[1]) == []


@pytest.mark.parametrize(("text", "out"), [("stop ", True), ("退订", True), ("stop it", False), ("START", False)])
def test_stop_words_are_heard_and_kept_as_the_proof(text: str, out: bool) -> None:
    optout.hear("+37255500000", text, "message 7")
    assert Contact.objects.filter(opted_out_at__isnull=False).exists() is out
    assert [event.proof for event in ConsentEvent.objects.all()] == [
        {"text": text.strip(), "source": "message 7"}
    ] * out


def test_start_opts_in_again() -> None:
    optout.hear("+37255500000", "STOP", "message 7")
    optout.hear("+37255500000", "start", "message 8")
    assert [row.what for row in ConsentEvent.objects.order_by("pk")] == ["opted_out", "opted_in"]
    assert not Contact.objects.filter(opted_out_at__isnull=False).exists()


def test_who_is_forgotten_is_gone_but_an_opt_out_stays_known() -> None:
    ids = people(5, fields={"city": "Tartu"})
    guests, others = a_list(members=ids), a_list("Others", ids[:2])
    consent.opt_out(ids[:1], How.STOP, "message 7")
    assert consent.forget(ids) == (4, 1)
    (left,) = Contact.objects.all()
    assert (left.pk, left.name, left.fields, left.opted_out_at is None) == (ids[0], "", {}, False)
    assert counts(guests) == counted(guests) == counts(others) == counted(others) == (0, 0)


def test_nobody_is_put_on_a_deleted_list() -> None:
    ids, guests = people(1), a_list()
    ContactList.objects.filter(pk=guests.pk).update(deleted_at="2026-01-01T00:00:00Z")
    with pytest.raises(ContactList.DoesNotExist):
        consent.subscribe(guests, ids, How.API, "shop")


def test_a_name_is_free_again_when_its_list_is_deleted() -> None:
    guests = a_list("Guests")
    ContactList.objects.filter(pk=guests.pk).update(deleted_at="2026-01-01T00:00:00Z")
    assert a_list("Guests").pk != guests.pk
    assert [row.pk for row in ContactList.objects.filter(name="Guests")] != [guests.pk]


def test_a_slice_takes_as_many_statements_for_thousands_as_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "SLICE", 10_000)
    ids, guests = people(2_000), a_list()
    for name, most in (("subscribe", 5), ("unsubscribe", 5), ("resubscribe", 8), ("opt_out", 5), ("remove", 6)):
        asked = []
        for some in (ids[:1], ids[1:]):
            with CaptureQueriesContext(connection) as seen:
                act(name, guests, some)
            asked.append(len([query for query in seen if "SAVEPOINT" not in query["sql"]]))
        assert asked[0] == asked[1] <= most, name


ACTS = ("subscribe", "resubscribe", "unsubscribe", "remove", "restore", "opt_out", "opt_in", "forget")


def act(name: str, of: ContactList, ids: list[int]) -> None:
    todo: dict[str, Callable[[], object]] = {
        "subscribe": lambda: consent.subscribe(of, ids, How.API, ""),
        "resubscribe": lambda: consent.subscribe(of, ids, How.API, "", resubscribe=True),
        "unsubscribe": lambda: consent.unsubscribe(of, ids, How.API, ""),
        "remove": lambda: consent.remove(of, ids, How.API, ""),
        "restore": lambda: consent.restore(of, ids, len(ids) % 2 == 0, How.API, ""),
        "opt_out": lambda: consent.opt_out(ids, How.API, ""),
        "opt_in": lambda: consent.opt_in(ids, How.API, ""),
        "forget": lambda: consent.forget(ids),
    }
    todo[name]()


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 1), st.lists(st.integers(0, 5), max_size=6)), max_size=14)
)
def test_counts_always_balance_with_a_recount(steps: list[tuple[str, int, list[int]]]) -> None:
    ContactList.with_deleted.all().delete()
    Contact.objects.all().delete()
    ids, lists = people(6), [a_list("A"), a_list("B")]
    for name, place, some in steps:
        act(name, lists[place], [ids[k] for k in some])
    for one in lists:
        assert counts(one) == counted(one)
        last = dict(
            ConsentEvent.objects.filter(list=one).exclude(what="removed").order_by("pk").values_list("contact", "what")
        )
        for place in one.subscriptions.all():
            assert last[place.contact_id] == ("subscribed" if place.subscribed else "unsubscribed")


@pytest.mark.django_db(transaction=True)
def test_counts_balance_when_many_write_at_once() -> None:
    ids, lists = people(30), [a_list("A"), a_list("B")]
    problems: list[BaseException] = []
    ready = threading.Barrier(4)

    def write(seed: int) -> None:
        ready.wait()
        try:
            for k in range(24):
                some = ids[k % 7 :: 2] if (k + seed) % 2 else ids[:: -(1 + k % 3)]
                act(ACTS[(seed + k * 3) % 7], lists[(seed + k) % 2], some)
            consent.forget(ids[seed::9])
        except BaseException as error:  # noqa: BLE001 - told by the test
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert [counts(one) for one in lists] == [counted(one) for one in lists]
    assert fresh(lists[0]).members <= 30
