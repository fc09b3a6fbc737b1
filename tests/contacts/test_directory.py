"""People by filter: pages that go on from an id, and searches that are bounded."""

from __future__ import annotations

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from contacts import consent, directory
from contacts.directory import Filters
from contacts.models import Contact, ContactList, How

from .base import a_list, people

pytestmark = pytest.mark.django_db


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three people, searches in ten rows at a time, no number prefix of more than four people by index."""
    monkeypatch.setattr(directory, "PAGE", 3)
    monkeypatch.setattr(directory, "SCAN", 10)
    monkeypatch.setattr(directory, "FEW", 4)


def walk(query: str = "", of: ContactList | None = None) -> list[list[int]]:
    """The pages from the first to the last; on the way back they are the same."""
    pages, there = [], []
    while True:
        page = directory.page(Filters.from_query(QueryDict(query), of))
        there.append(page)
        pages.append([row.pk for row in page.rows])
        if not page.older:
            break
        query = page.older
    found = [pk for page in pages for pk in page]
    back = there[-1]
    seen = [row.pk for row in back.rows]
    while back.newer:
        back = directory.page(Filters.from_query(QueryDict(back.newer), of))
        seen = [row.pk for row in back.rows] + seen
    assert sorted(set(seen), reverse=True) == found
    return pages


@pytest.mark.usefixtures("small")
def test_everybody_is_paged_newest_first_and_back() -> None:
    ids = people(8)
    assert walk() == [ids[:4:-1], ids[4:1:-1], ids[1::-1]]


@pytest.mark.usefixtures("small")
def test_a_lists_members_are_paged_by_status_and_together() -> None:
    ids = people(9)
    guests = a_list(members=ids[1:])
    consent.unsubscribe(guests, ids[1::2], How.OPERATOR, "")
    consent.opt_out(ids[2:4], How.STOP, "")
    newest = ids[::-1]
    assert sum(walk("", guests), []) == newest[:-1]
    assert sum(walk("status=subscribed", guests), []) == [pk for pk in newest if pk in ids[2::2]]
    assert sum(walk("status=unsubscribed", guests), []) == [pk for pk in newest if pk in ids[1::2]]
    assert sum(walk("status=opted_out", guests), []) == [ids[3], ids[2]]


@pytest.mark.usefixtures("small")
def test_who_opted_out_is_found_on_a_list_too_long_to_look_through() -> None:
    ids = people(30)
    guests = a_list(members=ids[:25])
    consent.opt_out([ids[1], ids[27]], How.STOP, "")
    assert sum(walk("status=opted_out", guests), []) == [ids[1]]
    assert sum(walk("status=opted_out"), []) == [ids[27], ids[1]]


@pytest.mark.usefixtures("small")
def test_who_is_on_no_list_is_looked_for_step_by_step() -> None:
    ids = people(25)
    a_list(members=ids[5:])
    pages = walk("status=unlisted")
    assert pages[0] == [] and sum(pages, []) == ids[4::-1]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("typed", ["+372 555 00007", "0037255500007", "37255500007", "+372-555-0000-7", "+37255500007"])
def test_a_number_is_found_in_any_spelling(typed: str) -> None:
    ids = people(12)
    guests = a_list(members=ids)
    asked = QueryDict(mutable=True)
    asked["q"] = typed
    for of in (None, guests):
        assert walk(asked.urlencode(), of) == [[ids[7]]]


@pytest.mark.usefixtures("small")
def test_a_beginning_that_many_share_is_walked() -> None:
    ids = people(12)
    people(2, first=100)
    found = walk("q=%2B3725550000")
    assert sum(found, []) == ids[9::-1]


@pytest.mark.usefixtures("small")
def test_a_name_is_found_by_any_part_in_any_case_a_stretch_at_a_time() -> None:
    ids = people(25)
    guests = a_list(members=ids)
    Contact.objects.filter(pk=ids[2]).update(name="Ada Lovelace")
    for of in (None, guests):
        first = directory.page(Filters.from_query(QueryDict("q=LOVE"), of))
        assert (first.rows, first.cut) == ([], True)
        assert sum(walk("q=LOVE", of), []) == [ids[2]]


def test_rows_of_a_list_come_with_their_place_on_it() -> None:
    ids = people(2)
    guests = a_list(members=ids)
    a_list("Others", ids)
    consent.unsubscribe(guests, ids[:1], How.LINK, "")
    places = [row.place for row in directory.page(Filters(list=guests)).rows]  # type: ignore[attr-defined]
    assert [(place.list_id, place.subscribed) for place in places] == [(guests.pk, True), (guests.pk, False)]


@pytest.mark.usefixtures("small")
def test_slices_of_a_filter_go_on_below_an_id() -> None:
    ids = people(7)
    guests = a_list(members=ids)
    assert directory.ids(Filters(list=guests), directory.top(), 5) == (ids[:1:-1], ids[2])
    assert directory.ids(Filters(list=guests), ids[2], 5) == (ids[1::-1], None)


@pytest.mark.parametrize(
    "query", ["before=x", "before=-1", "after=99999999999999999999999", "status=deleted", "q=%00", "before=²"]
)
def test_nonsense_in_the_address_is_left_out(query: str) -> None:
    assert Filters.from_query(QueryDict(query)) == Filters()


@pytest.mark.parametrize("query", ["", "status=subscribed", "status=opted_out", "q=Person", "q=%2B3725", "before=40"])
def test_no_page_counts_or_skips_rows(query: str) -> None:
    guests = a_list(members=people(60))
    for of in (None, guests):
        with CaptureQueriesContext(connection) as asked:
            directory.page(Filters.from_query(QueryDict(query), of))
        assert len(asked) <= 7
        for one in asked:
            sql = one["sql"].upper()
            assert " OFFSET " not in sql
            assert "COUNT(" not in sql or "LIMIT 20000" in sql
