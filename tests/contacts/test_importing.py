"""Imports: what becomes of rows, that nothing is repeated or lost, and that the counts are right."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest

from contacts import consent, import_files, importing
from contacts.importing import Plan
from contacts.models import Contact, ContactList, Import

pytestmark = pytest.mark.django_db

A, B, C = "+37255500001", "+37255500002", "+37255500003"


def draft(text: str | bytes, name: str = "people.csv") -> Import:
    data = text.encode() if isinstance(text, str) else text
    return import_files.receive(name, io.BytesIO(data))


def plan(*columns: str, **values: Any) -> Plan:
    known = {"encoding": "utf-8", "delimiter": ",", "header": False}
    return Plan(columns=columns or ("number", "name"), **{**known, **values})


def imported(text: str | bytes, *columns: str, **values: Any) -> Import:
    """The import of a file, at its end."""
    run = draft(text)
    assert importing.begin(run, plan(*columns, **values))
    return list(importing.run_here(run))[-1]


def counts(run: Import) -> tuple[int, int, int, int, int]:
    return run.rows, run.added, run.updated, run.skipped, run.rejected


def people(*names: str) -> list[Sequence[Any]]:
    return list(Contact.objects.order_by("number").values_list("number", *(names or ("name",))))


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
