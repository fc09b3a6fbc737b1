"""Imports of contacts and routes, by /v1."""

from __future__ import annotations

from typing import Any

import pytest

from contacts import importing
from contacts.models import Contact, ContactList, Import
from messaging.models import Route, RouteMember
from providers.models import ProviderAccount
from tests.api.calls import NUMBER, OTHER, Program

pytestmark = pytest.mark.django_db

CSV = "number,name\n+11234567890,Ann\nnobody,Bob\n+1234567890,Cleo\n"


def post(program: Program, body: str, query: str = "", kind: str = "text/csv", **headers: str) -> tuple[int, Any]:
    reply = program.client.generic("POST", f"/v1/imports?{query}", body.encode(), kind, headers=headers)
    return reply.status_code, reply.json()


def test_a_csv_is_imported_seen_and_undone(main: ProviderAccount) -> None:
    program, news = Program(main), ContactList.objects.create(name="News")
    query, once = f"name=people.csv&list_id={news.pk}", {"Idempotency-Key": "one"}
    status, told = post(program, CSV, query, **once)
    assert (status, told["state"], told["columns"]) == (202, "waiting", ["number", "name"])
    assert post(program, CSV, query, **once) == (status, told)
    path = f"imports/{told['import_id']}"
    assert program.post(f"{path}/stop")[1]["state"] == "stopped"
    assert program.post(f"{path}/stop")[0] == 409
    assert program.post(f"{path}/continue")[1]["state"] == "waiting"
    list(importing.run_here(Import.objects.get()))
    done = program.get(path)[1]
    assert [done[name] for name in ("state", "percent", "rows", "added", "rejected")] == ["done", 100, 3, 2, 1]
    assert [each["rows"] for each in done["reasons"]] == [1] and program.ids("imports") == [told["import_id"]]
    assert set(news.contacts.values_list("number", flat=True)) == {NUMBER, OTHER}
    reply = program.client.get(f"/v1/{path}/rejected")
    assert reply["Content-Type"].startswith("text/csv")
    assert reply.getvalue().decode("utf-8-sig").splitlines()[1].startswith("3,")
    assert program.client.head(f"/v1/{path}/rejected").getvalue() == b""
    assert program.post(f"{path}/undo")[1]["state"] == "undoing"
    list(importing.run_here(Import.objects.get()))
    assert program.get(path)[1]["state"] == "undone" and not Contact.objects.exists()


@pytest.mark.parametrize(
    ("body", "query", "kind", "status"),
    [
        ("", "", "text/csv", 422),
        ("name\nAnn\n", "", "text/csv", 422),
        (CSV, "list_id=999999999999", "text/csv", 404),
        (CSV, "region=XX", "text/csv", 422),
        (CSV, "delimiter=a", "text/csv", 422),
        (CSV, "duplicates=both", "text/csv", 422),
        ('{"csv": ""}', "", "application/json", 415),
    ],
)
def test_what_is_no_table_is_refused_and_not_kept(
    main: ProviderAccount, body: str, query: str, kind: str, status: int
) -> None:
    assert post(Program(main), body, query, kind)[0] == status
    assert not Import.objects.exists()


# --- Routes ----------------------------------------------------------------------------------------------


def test_routes_are_told_to_keys_that_may_use_them(main: ProviderAccount) -> None:
    empty, route = Route.objects.create(name="Empty"), Route.objects.create(name="Everywhere", strategy="weighted")
    RouteMember.objects.create(route=route, account=main, weight=3, prefixes="+44 +353")
    free, bound, other = Program(), Program(route=route), Program(main)
    assert free.ids("routes") == [str(route.pk), str(empty.pk)]
    assert (bound.ids("routes"), other.ids("routes")) == ([str(route.pk)], [])
    assert other.get(f"routes/{route.pk}")[0] == 404
    told = bound.get(f"routes/{route.pk}")[1]
    member = {"account_id": str(main.pk), "account": "Main", "weight": 3, "prefixes": ["+44", "+353"], "can_send": True}
    assert (told["strategy"], told["accounts"], told["problems"]) == ("weighted", [member], [])
    assert "no account" in free.get(f"routes/{empty.pk}")[1]["problems"][0]
