"""The pages of API keys: who may do what, what is shown when, and how they look in Chromium."""

from __future__ import annotations

import html
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from api import access, keys
from api.models import ApiKey
from messaging.models import Route
from providers.errors import KeyRefused
from tests.base import account, dated, person, signed_in
from tests.forms import Forms
from tests.looks import fits

pytestmark = pytest.mark.django_db

URL, NEW = "/keys/", "/keys/new/"
MAKER = ("api.add_apikey", "messaging.add_message")
FORM = {
    "name": "Shop", "scopes": ["send", "read"], "through": "first", "rates": "", "credits": "", "addresses": "",
    "expires_at": "", "owner": "",
}  # fmt: skip
TYPED = {
    "rates": "10/second; 500/hour",
    "credits": "900",
    "addresses": "203.0.113.7, 2001:db8::/32",
    "expires_at": "2099-01-31T12:00",
}


def made(name: str = "Shop", **settings: Any) -> ApiKey:
    return keys.create(name, **settings)[0]


def text_of(client: Client, url: str) -> str:
    reply = client.get(url)
    assert reply.status_code == 200
    return html.unescape(" ".join(reply.text.split()))


def shown(reply: Any) -> tuple[str, str]:
    """The key and the secret on a page that shows a new one."""
    assert reply.status_code == 200, reply
    assert "no-store" in reply["Cache-Control"]
    return reply.context["key"], reply.context["secret"]


# --- Making ------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_works() -> None:
    main, other = account(), account("Other")
    client = signed_in()
    reply = client.post(NEW, {**FORM, **TYPED, "through": main.pk, "accounts": [main.pk, other.pk]})
    key, secret = shown(reply)
    row = access.find(key, secret)
    assert (row.scopes, row.rates, row.credits) == (["send", "read"], ["10/second", "500/hour"], 900)
    assert (row.account, row.route, {*row.accounts.all()}) == (main, None, {main, other})
    assert row.addresses == ["203.0.113.7/32", "2001:db8::/32"]
    assert key in reply.text and secret in reply.text
    assert reply.text.count(f"Authorization: Bearer {key}") == 2 and f"{key}:{secret}" in reply.text
    for url in (URL, f"/keys/{row.pk}/"):
        assert key not in text_of(client, url) and secret not in text_of(client, url)
    assert key not in str(dict(client.session)) and "…" + key[-4:] in text_of(client, URL)


def test_a_new_key_may_what_the_command_gives_and_is_ones_own() -> None:
    client = signed_in(alice := person("alice", *MAKER, "messaging.view_message", is_staff=True))
    page = Forms(client.get(NEW).text).with_field("through")
    assert "owner" not in page
    assert client.get(NEW).context["form"]["scopes"].initial == ["send", "read", "contacts", "ussd"]
    shown(client.post(NEW, FORM))
    assert ApiKey.objects.get().owner == alice


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"name": ""}, "Give the key a name"),
        ({"scopes": []}, "Choose what the key may do."),
        ({"scopes": ["all"]}, "You cannot let a key do what you may not do yourself."),
        ({"through": "999999999999"}, "This account or route is gone."),
        ({"through": "route:999999999999"}, "This account or route is gone."),
        ({"accounts": ["999999999999"]}, "An account is gone."),
        ({"through": "MAIN", "accounts": ["OTHER"]}, "It sends through an account that it may not use."),
        ({"rates": "fast"}, "is not a rate"),
        ({"rates": "1/second, 2/second"}, "Give one limit for each length of time."),
        ({"addresses": "203.0.113.0/24\nnonsense"}, "“nonsense” is no address or network."),
        ({"credits": "-1"}, "greater than or equal to 0"),
        ({"expires_at": "soon"}, "Enter a valid date/time."),
        ({"owner": "999999999999"}, "Select a valid choice."),
    ],
)
def test_nonsense_makes_no_key_and_says_why(typed: dict[str, Any], sentence: str) -> None:
    ids = {"MAIN": str(account().pk), "OTHER": str(account("Other").pk)}
    known = {n: [ids.get(one, one) for one in v] if isinstance(v, list) else ids.get(v, v) for n, v in typed.items()}
    reply = signed_in().post(NEW, {**FORM, **known})
    assert reply.status_code == 200 and sentence in html.unescape(reply.text)
    assert not ApiKey.objects.exists()


def test_nobody_gives_a_key_more_than_they_may_do_themselves() -> None:
    client = signed_in(person("alice", *MAKER))
    assert [value for value, _label in client.get(NEW).context["form"].fields["scopes"].choices] == ["send"]
    for scope in ("read", "contacts", "ussd", "admin"):
        assert "You cannot let a key do" in client.post(NEW, {**FORM, "scopes": ["send", scope]}).text
    shown(client.post(NEW, {**FORM, "scopes": ["send"], "reads_all": "on", "owner": "999999999999"}))
    assert not ApiKey.objects.get().reads_all


# --- Changing ----------------------------------------------------------------------------------------


def test_a_change_writes_what_was_changed_alone() -> None:
    row, route = made(credits=900, account=account()), Route.objects.create(name="Everywhere")
    client = signed_in()
    form = Forms(client.get(f"/keys/{row.pk}/").text).with_field("through")
    access.spend(row, 100)  # while somebody looks at the form
    form |= {"name": "Web shop", "through": f"route:{route.pk}", "scopes": ["read"]}
    assert client.post(f"/keys/{row.pk}/", form).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.route, row.account, row.scopes, row.credits) == ("Web shop", route, None, ["read"], 800)
    form = Forms(client.get(f"/keys/{row.pk}/").text).with_field("through")
    client.post(f"/keys/{row.pk}/", {**form, "scopes": ["read"], "credits": "5"})
    assert ApiKey.objects.get().credits == 5


def test_disabling_and_enabling() -> None:
    row, key, _ = keys.create("Shop")
    client = signed_in()
    assert "Disabled" in client.post(f"/keys/{row.pk}/disable/", follow=True).text
    with pytest.raises(KeyRefused):
        access.find(key)
    client.post(f"/keys/{row.pk}/enable/")
    assert access.find(key) == row


@pytest.mark.parametrize(("overlap", "hours"), [("0", None), ("3600", 1), ("86400", 24), ("604800", 168)])
def test_rotating_shows_the_new_key_and_the_old_one_works_for_the_overlap(overlap: str, hours: int | None) -> None:
    row, old, old_secret = keys.create("Shop")
    client = signed_in()
    key, secret = shown(client.post(f"/keys/{row.pk}/rotate/", {"overlap": overlap}))
    assert key != old and access.find(key, secret) == row
    until = ApiKey.objects.get().previous_until
    if hours is None:
        assert until is None
    else:
        assert abs(until - timezone.now() - timedelta(hours=hours)) < timedelta(minutes=1)
        assert access.find(old, old_secret) == row
    assert ("Rotating" in text_of(client, URL)) == (hours is not None)


def test_a_revoked_key_can_only_be_looked_at() -> None:
    row, key, _ = keys.create("Shop")
    client = signed_in()
    assert "is revoked" in client.post(f"/keys/{row.pk}/revoke/", follow=True).text
    with pytest.raises(KeyRefused):
        access.find(key)
    page = text_of(client, f"/keys/{row.pk}/")
    assert "Revoked" in page and "Save changes" not in page and "Rotate the key" not in page
    assert client.post(f"/keys/{row.pk}/", FORM).status_code == 403
    reply = client.post(f"/keys/{row.pk}/rotate/", {"overlap": "0"}, follow=True)
    assert "revoked for good" in reply.text
    assert "Every key is revoked" in text_of(client, URL) and "Shop" in text_of(client, f"{URL}?revoked=1")


# --- Who may -----------------------------------------------------------------------------------------

ACTIONS = {"change": "", "rotate": "rotate/", "disable": "disable/", "enable": "enable/", "revoke": "revoke/"}
CHANGES = {"change", "rotate", "disable", "enable"}


@pytest.mark.parametrize(
    ("permissions", "own", "sees", "may"),
    [
        ((), True, False, set()),
        (("api.view_apikey",), False, True, set()),
        (("api.view_apikey",), True, True, set()),
        (("api.add_apikey",), True, True, CHANGES | {"revoke"}),
        (("api.add_apikey",), False, False, set()),
        (("api.view_apikey", "api.change_apikey"), False, True, CHANGES),
        (("api.view_apikey", "api.delete_apikey"), False, True, {"revoke"}),
    ],
)
def test_people_do_with_keys_what_they_may(permissions: tuple[str, ...], own: bool, sees: bool, may: set[str]) -> None:
    alice, bob = person("alice", *permissions), person("bob")
    row = made("Mine" if own else "Theirs", owner=alice if own else bob, scopes=["send", "read"])
    client = signed_in(alice)
    assert client.get(URL).status_code == (200 if permissions else 403)
    assert (row.name in client.get(URL).text) == sees
    assert client.get(f"/keys/{row.pk}/").status_code == (200 if sees else 403)
    fields = {**FORM, "overlap": "0", "owner": row.owner_id}
    for action, path in ACTIONS.items():
        assert (client.post(f"/keys/{row.pk}/{path}", fields).status_code != 403) == (action in may), action
    assert client.get(NEW).status_code == (200 if "api.add_apikey" in permissions else 403)
    assert ('href="/keys/"' in client.get("/").text) == bool({"api.view_apikey", "api.add_apikey"} & {*permissions})


def test_what_changes_anything_takes_a_post_and_strangers_log_in() -> None:
    row = made()
    client = signed_in()
    for path in ("rotate/", "revoke/", "enable/", "disable/"):
        assert client.get(f"/keys/{row.pk}/{path}").status_code == 405
        assert Client().post(f"/keys/{row.pk}/{path}")["Location"].startswith("/login/")
        assert Client(enforce_csrf_checks=True).post(f"/keys/{row.pk}/{path}").status_code == 403
    for url in (URL, NEW, f"/keys/{row.pk}/"):
        assert Client().get(url)["Location"].startswith("/login/")


# --- Looking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({}, "Works"),
        ({"enabled": False}, "Disabled"),
        ({"expires_at": -timedelta(hours=1)}, "Expired"),
        ({"owner": "gone"}, "Owner is inactive"),
    ],
)
def test_the_list_tells_the_state_of_each_key(settings: dict[str, Any], word: str) -> None:
    if "owner" in settings:
        settings = {"owner": person("gone", is_active=False)}
    made(**dated(settings))
    assert word in text_of(signed_in(), URL)


def test_without_keys_the_list_says_what_they_are_for() -> None:
    assert "There is no API key yet." in text_of(signed_in(), URL)
    page = text_of(signed_in(person("alice", "api.view_apikey")), URL)
    assert "There is no API key yet." in page and NEW not in page


@pytest.mark.parametrize("n", [1, 20])
def test_the_pages_ask_the_same_few_questions_however_many_keys_there_are(
    n: int, django_assert_num_queries: Callable
) -> None:
    route, owner = Route.objects.create(name="Everywhere"), person("owner")
    rows = [made(f"Key {number}", route=route, owner=owner) for number in range(n)]
    client = signed_in()
    with django_assert_num_queries(3):  # session, person, keys
        client.get(URL)
    with django_assert_num_queries(8):  # session, person, key × 2, accounts, routes, chosen accounts, people
        client.get(f"/keys/{rows[0].pk}/")


def test_the_pages_need_no_key_of_the_sealed_ones(settings: Any) -> None:
    row = made(account=account())
    client = signed_in()
    settings.FIELD_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    assert "Shop" in text_of(client, URL) and "Shop" in text_of(client, f"/keys/{row.pk}/")
    client.post(f"/keys/{row.pk}/", {**FORM, "name": "Web shop"})
    assert "Web shop" in text_of(client, URL)


# --- In Chromium -------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_key_is_made_rotated_and_revoked_by_anybody(admin_page: Page, live_server: LiveServer) -> None:
    """Each page on the way is fit for everybody, in both colours and on a phone."""
    account()
    page = admin_page
    page.goto(live_server.url + URL)
    fits(page)
    page.get_by_role("link", name="New key").click()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("alert").first).to_contain_text("Nothing was saved")
    fits(page)
    page.get_by_label("Name").fill("Web shop")
    page.get_by_role("button", name="Make the key").click()
    assert access.find(page.get_by_label("Key", exact=True).input_value()).name == "Web shop"
    fits(page)
    page.get_by_role("link", name="I have copied it").click()
    fits(page)
    page.get_by_role("button", name="Rotate the key").click()
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("button", name="Revoke …").click()
    fits(page)
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_text("is revoked. Whoever uses it is refused")).to_be_visible()
    fits(page)
