"""Making, rotating and revoking keys; the command and the admin."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api import access, keys
from api.models import ApiKey
from messaging.models import Route
from providers.errors import KeyRefused
from tests.base import account, signed_in

pytestmark = pytest.mark.django_db


def create(*arguments: str) -> dict[str, str]:
    out = StringIO()
    call_command("create_api_key", *arguments, stdout=out)
    return dict(json.loads(out.getvalue()))


def test_a_key_can_be_bound_to_a_route() -> None:
    route = Route.objects.create(name="Everywhere")
    shown = create("Shop", "--route", "Everywhere")
    row = ApiKey.objects.get()
    assert (row.route, row.account, row.key_hash) == (route, None, keys.digest(shown["key"]))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--route", "Nowhere"], "There is no route “Nowhere”."),
        (["--route", ""], "There is no route “”."),
        (["--account", "Nowhere"], "There is no account “Nowhere”."),
        (["--account", "Main", "--route", "Everywhere"], "not allowed with"),
    ],
)
def test_a_key_through_nothing_or_through_both_is_refused(arguments: list[str], sentence: str) -> None:
    account()
    Route.objects.create(name="Everywhere")
    with pytest.raises(CommandError, match=sentence):
        create("Shop", *arguments)
    assert not ApiKey.objects.exists()


def test_no_key_has_an_account_and_a_route() -> None:
    with pytest.raises(ValidationError, match="Choose one of them"):
        keys.create("Shop", account(), Route.objects.create(name="Everywhere"))
    assert not ApiKey.objects.exists()


def test_a_key_is_made_with_scopes_limits_and_an_end() -> None:
    options = ["--scope", "send", "--scope", "read", "--rate", "10/second", "--rate", "500 / hours", "--credits", "900"]
    networks = ["--allow-from", "203.0.113.7", "--allow-from", "2001:db8::1/32", "--allow-from", "203.0.113.7/32"]
    create("Shop", *options, *networks, "--expires", "2030-01-31T12:00+02:00")
    row = ApiKey.objects.get()
    assert (row.scopes, row.rates, row.credits) == (["send", "read"], ["10/second", "500/hour"], 900)
    assert row.addresses == ["203.0.113.7/32", "2001:db8::/32"]
    assert row.expires_at == datetime(2030, 1, 31, 10, tzinfo=UTC)


def test_a_key_that_is_not_told_otherwise_may_all_but_administration() -> None:
    create("Shop", "--expires", "2030-01-31")
    row = ApiKey.objects.get()
    assert row.scopes == ["send", "read", "contacts", "ussd"]
    assert (row.rates, row.addresses, row.credits) == ([], [], None)
    assert row.expires_at == datetime(2030, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scope", "everything"], "invalid choice"),
        (["--rate", "10/fortnight"], "is not a rate"),
        (["--rate", "10/second", "--rate", "5/seconds"], "one limit for each length of time"),
        (["--credits", "-1"], "A budget is 0 or more"),
        (["--allow-from", "203.0.113.0/40"], "is no address or network"),
        (["--expires", "tomorrow"], "is no time"),
        (["--expires", "2030-02-31"], "is no time"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        create("Shop", *arguments)
    assert not ApiKey.objects.exists()


def test_neither_key_nor_secret_is_stored_in_clear() -> None:
    row, key, secret = keys.create("Shop")
    new, new_secret = keys.rotate(row, timedelta(hours=1))
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM api_apikey")
        stored = " ".join(map(str, cursor.fetchone()))
    for value in (key, secret, new, new_secret):
        assert value not in stored
    assert ApiKey.objects.get().sealed == {"key": new, "previous": key}


def test_rotating_without_overlap_ends_the_key_before() -> None:
    row, old, _ = keys.create("Shop")
    new, secret = keys.rotate(row, timedelta(0))
    with pytest.raises(KeyRefused):
        access.find(old)
    assert access.find(new, secret).hint == new[-4:]


def test_only_the_last_key_before_works_during_the_overlap() -> None:
    row, first, _ = keys.create("Shop")
    second, _ = keys.rotate(row, timedelta(hours=1))
    third, _ = keys.rotate(row, timedelta(hours=1))
    assert access.find(second) == access.find(third) == row
    with pytest.raises(KeyRefused):
        access.find(first)


def test_revoking_ends_the_key_and_the_one_before_for_good() -> None:
    row, old, _ = keys.create("Shop")
    new, _ = keys.rotate(row, timedelta(hours=1))
    keys.revoke(row)
    for key in (old, new):
        with pytest.raises(KeyRefused):
            access.find(key)
    first = ApiKey.objects.get().revoked_at
    keys.revoke(row)
    assert ApiKey.objects.get().revoked_at == first
    with pytest.raises(ValidationError, match="revoked for good"):
        keys.rotate(row, timedelta(0))


def test_the_admin_shows_and_moves_a_key_between_routes() -> None:
    client = signed_in()
    first, second = Route.objects.create(name="First"), Route.objects.create(name="Second")
    row, _, _ = keys.create("Shop", route=first)
    assert "First" in client.get("/admin/api/apikey/").text
    fields = {"name": "Shop", "owner": "", "account": "", "route": second.pk, "enabled": "on"}
    assert client.post(f"/admin/api/apikey/{row.pk}/change/", fields).status_code == 302
    row.refresh_from_db()
    assert row.route == second
    both = {**fields, "account": account().pk}
    assert "Choose one of them" in client.post(f"/admin/api/apikey/{row.pk}/change/", both).text


def test_saving_in_the_admin_writes_what_was_changed_alone() -> None:
    row, key, _ = keys.create("Shop", credits=5, rates=["10/second"])
    client = signed_in()
    page = client.get(f"/admin/api/apikey/{row.pk}/change/").text
    assert key not in page and "gAAAA" not in page
    fields = {"name": "Renamed", "owner": "", "account": "", "route": "", "enabled": "on"}
    with CaptureQueriesContext(connection) as asked:
        client.post(f"/admin/api/apikey/{row.pk}/change/", fields)
    assert [q["sql"].count(" = ") for q in asked if q["sql"].startswith('UPDATE "api_apikey"')] == [2]
    assert access.find(key).name == "Renamed"
