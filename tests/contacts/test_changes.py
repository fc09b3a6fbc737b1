"""What is done with many people: in slices that a crash can neither repeat nor skip."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django_q.models import OrmQ

from contacts import changes, consent, directory, lists, tasks
from contacts.directory import Filters
from contacts.models import BulkChange, ConsentEvent, Contact, ContactList, How, Mirror
from tests.base import account, administrator

from .base import a_list, counted, counts, fresh, people

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return administrator("alice")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five people in the request, ten a slice."""
    monkeypatch.setattr(changes, "AT_ONCE", 5)
    monkeypatch.setattr(changes, "SLICE", 10)


def begin(alice: User, name: str, of: ContactList | None, status: str = "", **values: Any) -> BulkChange:
    return changes.start(name, Filters(list=of, status=status), values, alice, uuid.uuid4())


def test_many_are_begun_at_once_and_finished_in_the_background(alice: User) -> None:
    ids = people(33)
    guests = a_list(members=ids)
    change = begin(alice, "unsubscribe", guests, "subscribed", reason="Moved")
    assert counts(guests) == counted(guests) == (33, 28)
    changes.work(change.pk)
    assert counts(guests) == counted(guests) == (33, 0)
    (told,) = changes.shown(guests)
    assert (told.said, told.looked, told.total) == ("33 people are unsubscribed.", 33, 33)
    assert ConsentEvent.objects.filter(what="unsubscribed", reason="Moved", by="alice", change=change).count() == 33


def test_who_cannot_be_helped_is_counted_and_named(alice: User) -> None:
    ids = people(12)
    guests = a_list(members=ids)
    consent.unsubscribe(guests, ids[:6], How.LINK, "")
    consent.opt_out(ids[:2], How.STOP, "")
    changes.work(begin(alice, "subscribe", guests).pk)
    (told,) = changes.shown(guests)
    assert told.said == "4 people are subscribed."
    assert "2 opted out of everything, and a list cannot undo that" in told.left_out
    assert "6 were so already" in told.left_out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("opt_out", "12 people are opted out."),
        ("delete", "12 people are deleted."),
        ("remove", "12 people are off the list."),
    ],
)
def test_each_says_what_it_did(alice: User, name: str, said: str) -> None:
    guests = a_list(members=people(12))
    changes.work(begin(alice, name, guests).pk)
    assert [one.said for one in changes.shown(guests)] == [said]
    assert counts(guests) == counted(guests)


def test_people_are_added_to_another_list(alice: User) -> None:
    ids = people(12)
    guests, others = a_list(members=ids), a_list("Others", ids[:3])
    changes.work(begin(alice, "add", guests, list=others.pk).pk)
    assert counts(others) == counted(others) == (12, 12)
    (told,) = changes.shown(guests)
    assert (told.said, told.left_out) == (
        "9 people are added to the list.",
        "Left as they were: 3 were so already.",
    )


def test_a_removal_of_many_is_undone_as_they_were(alice: User) -> None:
    ids = people(23)
    guests = a_list(members=ids)
    consent.unsubscribe(guests, ids[:4], How.LINK, "")
    removed = begin(alice, "remove", guests)
    assert changes.undo(removed.pk, alice) is None  # it still runs
    changes.work(removed.pk)
    assert counts(guests) == (0, 0)
    undoing = changes.undo(removed.pk, alice)
    assert undoing and changes.undo(removed.pk, alice) is None
    changes.work(undoing.pk)
    assert counts(guests) == counted(guests) == (23, 19)
    assert changes.shown(guests)[0].said == "23 people are on the list again."
    assert not changes.shown(guests)[1].undoable


def test_the_selected_are_done_at_once(alice: User) -> None:
    ids = people(8)
    guests = a_list(members=ids)
    change = changes.with_these("remove", ids[:7], guests, {}, alice)
    assert change.finished_at and change.done == 7
    assert changes.shown(guests)[0].undoable
    changes.with_these("unsubscribe", ids[7:], guests, {}, alice)
    assert len(changes.shown(guests)) == 1  # the page that did it has told it


def test_a_second_click_is_the_same_change(alice: User) -> None:
    guests, token = a_list(members=people(12)), uuid.uuid4()
    for _ in range(2):
        changes.start("unsubscribe", Filters(list=guests), {}, alice, token)
    assert BulkChange.objects.count() == 1
    assert counts(guests) == (12, 7)


def test_who_comes_after_the_click_is_not_meant(alice: User) -> None:
    guests = a_list(members=people(12))
    change = begin(alice, "unsubscribe", guests)
    consent.subscribe(guests, people(3, first=50), How.API, "")
    changes.work(change.pk)
    assert counts(guests) == counted(guests) == (15, 3)


def test_a_killed_worker_repeats_nothing_and_leaves_nobody_out(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    guests = a_list(members=people(40))
    change = begin(alice, "unsubscribe", guests)
    real = changes._step

    class Killed(BaseException):
        pass

    def step_and_die(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(changes, "_step", step_and_die)
    with pytest.raises(Killed):
        changes.work(change.pk)
    monkeypatch.setattr(changes, "_step", real)
    assert counts(guests) == counted(guests) == (40, 35)
    changes.work(change.pk)
    assert counts(guests) == counted(guests) == (40, 0)
    assert ConsentEvent.objects.filter(what="unsubscribed").count() == 40


def test_while_one_worker_is_at_it_a_second_leaves_it_alone(alice: User) -> None:
    guests = a_list(members=people(30))
    change = begin(alice, "unsubscribe", guests)
    values = {**change.values, "worker": "first", "at": time.time()}
    BulkChange.objects.filter(pk=change.pk).update(values=values)
    changes.work(change.pk, "second")
    assert counts(guests) == (30, 25) and changes.abandoned() == []
    BulkChange.objects.filter(pk=change.pk).update(values={**values, "at": time.time() - 60})
    assert changes.abandoned() == [change.pk]
    tasks.change(change.pk, "second")
    assert counts(guests) == (30, 0) and changes.abandoned() == []


@pytest.mark.django_db(transaction=True)
def test_a_task_queues_what_it_had_no_time_for(alice: User) -> None:
    change = begin(alice, "unsubscribe", a_list(members=people(30)))
    OrmQ.objects.all().delete()
    changes.work(change.pk, "first", seconds=0)
    (queued,) = OrmQ.objects.all()
    assert (queued.func(), queued.task["args"]) == ("contacts.tasks.change", (change.pk, "first"))


def test_what_is_stopped_stays_as_it_is(alice: User) -> None:
    guests = a_list(members=people(30))
    change = begin(alice, "unsubscribe", guests)
    changes.stop(change.pk, "bob")
    changes.work(change.pk)
    (told,) = changes.shown(guests)
    assert (counts(guests), told.stopped) == ((30, 25), "bob")


def test_a_deleted_list_is_gone_at_once_and_empties_in_the_background(alice: User) -> None:
    ids = people(30)
    guests = a_list(members=ids)
    running = begin(alice, "unsubscribe", guests)
    lists.delete(fresh(guests), alice)
    assert not ContactList.objects.exists()
    changes.work(running.pk)  # what ran ends quietly
    changes.work(BulkChange.objects.get(action="remove").pk)
    assert counts(guests) == counted(guests) == (0, 0)
    assert Contact.objects.count() == 30
    assert ConsentEvent.objects.filter(what="removed", reason="The list was deleted.").count() == 30


def test_a_link_tells_the_provider_of_everybody_who_is_subscribed(alice: User) -> None:
    ids = people(14)
    guests = a_list(members=ids)
    consent.unsubscribe(guests, ids[:2], How.LINK, "")
    lists.link(guests, account(kind="smsgateway"), "17", True, alice)
    changes.work(BulkChange.objects.get().pk)
    assert Mirror.objects.filter(list=guests, action="subscribe").count() == 12
    lists.link(fresh(guests), None, "", False, alice)
    assert not Mirror.objects.exists() and not fresh(guests).mirrored


def test_a_change_fails_whole(alice: User) -> None:
    guests = a_list(members=people(3))
    ContactList.objects.filter(pk=guests.pk).update(deleted_at="2026-01-01T00:00:00Z")
    with pytest.raises(ContactList.DoesNotExist), transaction.atomic():
        changes.with_these("subscribe", [directory.top() - 1], guests, {}, alice)
    assert not BulkChange.objects.exists()
