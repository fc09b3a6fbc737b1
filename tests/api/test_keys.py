from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from api import keys
from api.models import ApiKey
from messaging.models import Route
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


def test_the_admin_shows_and_moves_a_key_between_routes() -> None:
    client = signed_in()
    first, second = Route.objects.create(name="First"), Route.objects.create(name="Second")
    row, _, _ = keys.create("Shop", route=first)
    assert "First" in client.get("/admin/api/apikey/").text
    fields = {"name": "Shop", "account": "", "route": second.pk, "enabled": "on"}
    assert client.post(f"/admin/api/apikey/{row.pk}/change/", fields).status_code == 302
    row.refresh_from_db()
    assert row.route == second
    both = {**fields, "account": account().pk}
    assert "Choose one of them" in client.post(f"/admin/api/apikey/{row.pk}/change/", both).text
