"""Imports: what becomes of rows, that nothing is repeated or lost, and that the counts are right."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from contacts import consent, import_rows, import_write, importing, tables
from contacts.models import Contact, ContactList, Import, ImportChunk
from tests.contacts.imports import A, B, C, counts, draft, imported, people, plan

pytestmark = pytest.mark.django_db


def test_it_makes_contacts_and_counts_the_rows() -> None:
    run = imported(f"{A},Anna\n\n{B},Bob\nnobody,Carl\n")
    assert run.state == "done"
    assert counts(run) == (3, 2, 0, 0, 1)
    assert people() == [(A, "Anna"), (B, "Bob")]
    assert list(run.rejects.values_list("row", "reason", "text")) == [(4, "no_number", "nobody,Carl")]
    assert run.reasons == {"no_number": 1}


def test_the_same_file_again_changes_nothing() -> None:
    for duplicates in ("skip", "update", "fill"):
        run = imported(f"{A},Anna\n{B},Bob\n{A},Ann\n", duplicates=duplicates)
    before = people()
    run = imported(f"{A},Anna\n{B},Bob\n{A},Ann\n", duplicates="update")
    assert counts(run) == (3, 0, 0, 3, 0)
    assert people() == before


@pytest.mark.parametrize(
    ("duplicates", "name", "fields", "expected"),
    [
        ("skip", "Anna", {"city": "Tartu"}, (1, 0, 0, 1, 0)),
        ("update", "Ann", {"city": "Tallinn", "team": "red"}, (1, 0, 1, 0, 0)),
        ("fill", "Anna", {"city": "Tartu", "team": "red"}, (1, 0, 1, 0, 0)),
    ],
)
def test_a_known_number_is_skipped_updated_or_filled(
    duplicates: str, name: str, fields: dict[str, str], expected: tuple[int, ...]
) -> None:
    Contact.objects.create(number=A, name="Anna", fields={"city": "Tartu"})
    run = imported(f"{A},Ann,Tallinn,red,", "number", "name", "field:city", "field:team", "zone", duplicates=duplicates)
    assert counts(run) == expected
    assert people("name", "fields") == [(A, name, fields)]


def test_everybody_goes_on_the_lists_and_who_unsubscribed_stays_so() -> None:
    news = ContactList.objects.create(name="News")
    anna, bob = (Contact.objects.create(number=number) for number in (A, B))
    consent.subscribe(news, [anna.pk], "operator", "me")
    consent.unsubscribe(news, [anna.pk], "stop", "")
    imported(f"{A},Anna\n{B},Bob\n{C},Carl\n", lists=[news.pk])
    news.refresh_from_db()
    assert (news.members, news.subscribed) == (3, 2)
    assert not anna.subscriptions.get().subscribed
    assert bob.subscriptions.get().how == "import"


def test_an_opt_out_is_kept_and_never_lifted() -> None:
    anna = Contact.objects.create(number=A)
    consent.opt_out([anna.pk], "stop", "")
    run = imported(f"{A},no\n{B},yes\n{C},0\n", "number", "opted_out", duplicates="update")
    assert counts(run) == (3, 2, 0, 1, 0)
    assert [number for number, at in people("opted_out_at") if at] == [A, B]


def test_lists_of_a_column_are_made_where_there_are_none() -> None:
    imported(f"{A},News;VIP,\n{B},,News\n", "number", "lists", "unsubscribed")
    sizes = ContactList.objects.order_by("name").values_list("name", "members", "subscribed")
    assert list(sizes) == [("News", 2, 1), ("VIP", 1, 1)]


def test_a_list_is_looked_up_once_for_all_rows_of_a_slice() -> None:
    ContactList.objects.create(name="News")

    def queries(rows: range) -> int:
        with CaptureQueriesContext(connection) as made:
            imported("".join(f"+372555{n:05d},News\n" for n in rows), "number", "lists")
        return len(made)

    assert queries(range(2)) == queries(range(10, 110))


def test_national_numbers_take_a_country() -> None:
    run = imported("0171 2345678,A\n+49 (0)171 2345679,B\n12,C\n", region="DE")
    assert people() == [("+491712345678", "A"), ("+491712345679", "B")]
    assert run.reasons == {"too_short": 1}
    assert imported("0171 2345670,A\n").reasons == {"no_country": 1}


def test_names_of_several_columns_are_put_together() -> None:
    imported(f"Anna,{A}, Müller \n,{B},Bob\n", "name", "number", "name")
    assert people() == [(A, "Anna Müller"), (B, "Bob")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("nobody,,,,", "no_number"),
        (f"{A} {B},,,,", "several"),
        (f"{A},{'x' * 101},,,", "long_name"),
        (f"{A},,Estonian,,", "language"),
        (f"{A},,,Mars/Base,", "zone"),
        (f"{A},,,,{'x' * 501}", "long_value"),
        (f"{A},,,,,,more", "too_many_cells"),
        (f'{A},"', "not_closed"),
    ],
)
def test_a_row_that_is_not_taken_says_why(row: str, reason: str) -> None:
    run = imported(f"{row}\n" if reason == "not_closed" else row, "number", "name", "language", "zone", "field:x")
    assert run.reasons == {reason: 1} and people() == []
    assert str(import_rows.REASONS[reason]).endswith(".")


def test_cells_are_cleaned() -> None:
    row = f"'{A},'=Anna\x07\u00a0 B,\"x\ny\" ,EUROPE/tallinn,pt_BR"
    imported(row, "number", "name", "field:n", "zone", "language")
    assert people("name", "fields", "zone", "language") == [(A, "=Anna B", {"n": "x\ny"}, "Europe/Tallinn", "pt-BR")]


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK", 60)


MANY = "".join(f"+3725550{n % 40:04d},Name {n % 7},{n % 3 or ''}\n" for n in range(100)) + "bad,x,\n"


@pytest.mark.parametrize("duplicates", ["skip", "fill", "update"])
def test_it_comes_out_the_same_in_slices(duplicates: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = imported(MANY, "number", "name", "field:n", duplicates=duplicates)
    expected = people("name", "fields")
    Contact.objects.all().delete()
    monkeypatch.setattr(tables, "BLOCK", 60)
    parts = imported(MANY, "number", "name", "field:n", duplicates=duplicates)
    assert people("name", "fields") == expected
    assert (parts.rows, parts.added, parts.rejected) == (whole.rows, whole.added, whole.rejected) == (101, 40, 1)
    assert parts.updated + parts.skipped == whole.updated + whole.skipped


@pytest.mark.usefixtures("small_slices")
def test_after_a_crash_another_worker_goes_on_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    run = draft(MANY)
    importing.begin(run, plan("number", "name", "field:n"))
    importing.work(run.pk, "one", seconds=0)
    run.refresh_from_db()
    assert 0 < run.rows < 100
    assert importing.work(run.pk, "two") is False and importing.abandoned() == []  # the first is at it
    run.refresh_from_db()
    before = run.rows
    monkeypatch.setattr(time, "time", lambda: run.cursor["at"] + importing.IDLE + 1)
    assert importing.abandoned() == [run.pk]
    importing.work(run.pk, "two")
    run.refresh_from_db()
    assert (before < run.rows, run.state, counts(run)) == (True, "done", (101, 40, 0, 60, 1))
    assert importing.abandoned() == []


@pytest.mark.usefixtures("small_slices")
def test_a_slice_counts_once_though_two_workers_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run = draft(MANY)
    importing.begin(run, plan("number", "name", "field:n"))
    run = importing._claim(run.pk, "one") or run
    first, second = importing._importing(run), importing._importing(run)
    assert first("one") is True
    assert second("one") is False
    assert Import.objects.get().rows == Contact.objects.count() + Import.objects.get().skipped


@pytest.mark.usefixtures("small_slices")
def test_it_stops_and_continues() -> None:
    run = draft(MANY)
    importing.begin(run, plan("number", "name", "field:n"))
    importing.work(run.pk, "one", seconds=0)
    assert importing.stop(run)
    assert importing.work(run.pk, "one") is False
    run.refresh_from_db()
    assert run.state == "stopped" and 0 < run.rows < 100
    assert importing.resume(run) and not importing.resume(run)
    importing.work(run.pk, "two")
    run.refresh_from_db()
    assert (run.state, counts(run)) == ("done", (101, 40, 0, 60, 1))


def test_an_import_begins_once_and_its_file_is_gone_in_the_end() -> None:
    run = draft(f"{A},Anna\n")
    assert importing.begin(run, plan()) and not importing.begin(run, plan())
    assert not importing.discard(run)
    list(importing.run_here(run))
    assert not ImportChunk.objects.exists()


def test_a_slice_is_written_again_when_another_import_made_the_same_contact(monkeypatch: pytest.MonkeyPatch) -> None:
    known, calls = import_write._known, []

    def before_the_other(*args: Any) -> Any:
        calls.append(args)
        return known(*args) if len(calls) > 1 else {}

    Contact.objects.create(number=A)
    monkeypatch.setattr(import_write, "_known", before_the_other)
    assert counts(imported(f"{A},Anna\n{B},Bob\n")) == (2, 1, 0, 1, 0)
    assert len(calls) == 2
    with pytest.raises(IntegrityError), transaction.atomic():
        Contact.objects.create(number=A)


def test_it_fails_with_a_sentence_when_its_list_is_deleted() -> None:
    news = ContactList.objects.create(name="News")
    run = draft(f"{A},Anna\n")
    importing.begin(run, plan(lists=[news.pk]))
    news.delete()
    run = list(importing.run_here(run))[-1]
    assert run.state == "failed" and "has been deleted" in run.error
    assert people() == []


def test_drafts_that_nobody_comes_back_to_are_thrown_away() -> None:
    old, _new, begun = draft(f"{A}\n"), draft(f"{A}\n"), draft(f"{A}\n")
    importing.begin(begun, plan())
    Import.objects.exclude(pk=_new.pk).update(created_at=timezone.now() - importing.FORGOTTEN * 2)
    assert list(importing.outdated(timezone.now())) == [old]
    importing.outdated(timezone.now()).delete()
    assert Import.objects.count() == ImportChunk.objects.count() == 2


@pytest.mark.parametrize("text", ["number,name\n", "\n\n,,\n"])
def test_a_table_without_rows_is_done_at_once(text: str) -> None:
    run = imported(text, header=True)
    assert (run.state, counts(run)) == ("done", (0, 0, 0, 0, 0))


class AnyFile(TestCase):
    @settings(max_examples=60)
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=30),
                st.sampled_from([A.encode(), B.encode(), b'"', b",", b"\n", b"\r\n", b"\x00", "ü".encode("utf-16")]),
            ),
            max_size=12,
        ),
        st.sampled_from(["utf-8", "utf-16-le", "gb18030", "cp1252", "big5hkscs"]),
        st.sampled_from(["skip", "fill", "update"]),
        st.booleans(),
    )
    def test_any_bytes_come_to_an_end_and_every_row_is_accounted_for(
        self, pieces: list[bytes], encoding: str, duplicates: str, header: bool
    ) -> None:
        run = Import.objects.create(name="any", size=1)
        data = b"".join(pieces)
        ImportChunk.objects.create(import_run=run, n=0, data=data)
        run.total_bytes = len(data)
        run.save()
        columns = ("name", "number", "field:x", "opted_out", "lists")
        importing.begin(run, plan(*columns, encoding=encoding, duplicates=duplicates, header=header))
        run = list(importing.run_here(run))[-1]
        assert run.state == "done", run.error
        assert run.rows == run.added + run.updated + run.skipped + run.rejected
        assert run.rejected == run.rejects.count() == sum(run.reasons.values())
        assert run.added == Contact.objects.count()
        Contact.objects.all().delete()
