"""The provider accounts' pages, and what the workers do for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import responses
from django.core.cache import cache
from django.db import models
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from messaging import ledger
from messaging.models import Message
from providers import pacing, registry, tasks
from providers.models import ProviderAccount
from providers.types import Feature
from tests.base import account, person, signed_in

pytestmark = pytest.mark.django_db

FRAGMENT = {"HX-Request": "true"}
OTHER_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
GOOD = {
    "kind": "smsprovider",
    "name": "Clinic",
    "base_url": "https://api.smsprovider.com/v1/",
    "credential_api_key": "key-5678-abcd",
    "sender": "Clinic",
    "rates": "50/second, 1000/minute",
}


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.fixture
def client() -> Client:
    return signed_in()


@pytest.fixture
def provider() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as fake:
        yield fake


def text_of(client: Client, url: str, **values: object) -> str:
    response = client.get(url, **values)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


# --- The list ----------------------------------------------------------------------------------------


def test_without_accounts_the_list_says_what_to_do(client: Client) -> None:
    assert "There is no account yet" in text_of(client, "/accounts/")


def test_the_list_shows_how_each_account_is_doing(client: Client) -> None:
    row = account(paused_reason="The key was refused.", credits=12, credits_seen_at=timezone.now(), sender="Clinic")
    page = text_of(client, "/accounts/")
    for words in ("Main", "SMS Provider", "The key was refused.", "10/second", "Clinic", row.callback_url, ">12 "):
        assert words in page
    assert "secret-1234" not in page


def test_the_callback_url_is_for_those_who_may_change_accounts(client: Client) -> None:
    row = account()
    reader = signed_in(person("alice", READER))
    for url in ("/accounts/", f"/accounts/{row.pk}/"):
        assert row.callback_url in text_of(client, url) and row.callback_token not in text_of(reader, url)


def test_the_list_tells_when_the_rate_limit_holds_it_back(client: Client) -> None:
    row = account()
    pacing.hold(row, 300)
    assert "The rate limit is used up" in text_of(client, "/accounts/")


@pytest.mark.parametrize("n", [1, 8])
def test_the_list_asks_four_questions_however_many_accounts(
    client: Client, n: int, django_assert_num_queries: Callable
) -> None:
    for index in range(n):
        account(f"Account {index}")
    with django_assert_num_queries(4):  # session, person, accounts with their paces, what waits
        client.get("/accounts/")


def test_an_account_of_a_kind_that_is_gone_breaks_no_page(client: Client) -> None:
    row = account()
    ProviderAccount.objects.update(kind="gone")
    for url in ("/accounts/", f"/accounts/{row.pk}/"):
        assert "There is no adapter “gone” here." in text_of(client, url)


# --- Who may -----------------------------------------------------------------------------------------

READER = "providers.view_provideraccount"


@pytest.mark.parametrize("url", ["", "add/", "1/", "1/test/"])
def test_every_page_wants_a_login(url: str) -> None:
    assert Client().get(f"/accounts/{url}").status_code == 302
    assert Client().get(f"/accounts/{url}", headers=FRAGMENT).status_code == 403


ACTS = ("test", "webhook", "pause", "resume", "enable", "disable", "delete")


@pytest.mark.parametrize("url", ["add/", "{}/", *(f"{{}}/{act}/" for act in ACTS)])
def test_a_reader_changes_nothing(url: str) -> None:
    row = account()
    response = signed_in(person("bob", READER)).post(f"/accounts/{url.format(row.pk)}", GOOD)
    assert response.status_code == 403
    assert ProviderAccount.objects.values_list("name", "enabled", "paused_reason").get() == ("Main", True, "")
    assert not OrmQ.objects.exists()


def test_a_reader_sees_the_account_without_its_form() -> None:
    row = account()
    page = text_of(signed_in(person("bob", READER)), f"/accounts/{row.pk}/")
    assert row.base_url in page and "credential_api_key" not in page and "Save changes" not in page


@pytest.mark.parametrize("act", ["webhook", "pause", "resume", "enable", "disable", "delete"])
def test_acts_take_a_post(client: Client, act: str) -> None:
    assert client.get(f"/accounts/{account().pk}/{act}/").status_code == 405


# --- Adding and editing ------------------------------------------------------------------------------


def test_adding_begins_with_the_kind(client: Client) -> None:
    page = text_of(client, "/accounts/add/")
    for slug in registry.kinds():
        assert f'href="?kind={slug}"' in page
    assert client.get("/accounts/add/?kind=nonesuch").status_code == 404


@pytest.mark.parametrize("slug", list(registry.kinds()))
def test_the_form_is_drawn_from_the_kind(client: Client, slug: str) -> None:
    kind = registry.adapter_class(slug)
    page = text_of(client, f"/accounts/add/?kind={slug}")
    assert f'placeholder="{kind.base_url_example}"' in page
    for field in kind.fields:
        assert f'name="credential_{field.name}"' in page and field.label in page
    assert ('name="sender"' in page) == (Feature.SENDER_ID in kind.supports)


def test_it_adds_an_account(client: Client) -> None:
    response = client.post("/accounts/add/", GOOD)
    row = ProviderAccount.objects.get()
    assert response["Location"] == f"/accounts/{row.pk}/"
    assert (row.name, row.kind, row.base_url) == ("Clinic", "smsprovider", "https://api.smsprovider.com/v1")
    assert row.rates == ["50/second", "1000/minute"]
    assert row.credentials == {"api_key": "key-5678-abcd"}
    assert row.hints == {"api_key": "abcd"}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "Fill in “Name”."),
        ("name", "Main", "There is an account of that name. Choose another name."),
        ("base_url", "https://api.smsprovider.com", "Did you mean https://api.smsprovider.com/v1?"),
        ("base_url", "https://api.smsprovider.com/v1/messages", "Did you mean https://api.smsprovider.com/v1?"),
        ("base_url", "ftp://nothing", "Enter a valid URL."),
        ("credential_api_key", "", "Fill in “API key”."),
        ("rates", "10 per second", "is not a rate"),
        ("rates", "10/second, 20/second", "one limit for each length of time"),
    ],
)
def test_it_refuses_with_the_field_and_why_and_keeps_what_was_typed(
    client: Client, field: str, value: str, words: str
) -> None:
    account("Main")
    response = client.post("/accounts/add/", {**GOOD, field: value})
    assert response.status_code == 200
    assert words in " ".join(response.context["form"].errors[field])
    page = response.content.decode()
    assert 'aria-invalid="true"' in page and f'value="{GOOD["sender"]}"' in page
    assert "key-5678-abcd" not in page
    assert ProviderAccount.objects.count() == 1


def test_editing_without_a_secret_keeps_the_stored_one(client: Client) -> None:
    row = account()
    values = {
        "name": "New name",
        "base_url": "http://127.0.0.1:9/other/v1",
        "rates": "",
        "sender": "",
        "credential_api_key": "",
    }
    assert client.post(f"/accounts/{row.pk}/", values).status_code == 302
    row = ProviderAccount.objects.get()
    assert (row.name, row.base_url, row.credentials["api_key"]) == (
        "New name",
        "http://127.0.0.1:9/other/v1",
        "secret-1234",
    )


@pytest.mark.parametrize("url", ["https://other.example/v1", "http://127.0.0.1:99/v1", "https://127.0.0.1:9/v1"])
def test_a_stored_secret_is_not_sent_to_another_host(client: Client, url: str) -> None:
    row = account()
    values = {**GOOD, "base_url": url, "credential_api_key": ""}
    response = client.post(f"/accounts/{row.pk}/", values)
    assert list(response.context["form"].errors) == ["credential_api_key"]
    assert ProviderAccount.objects.get().base_url == row.base_url
    assert client.post(f"/accounts/{row.pk}/", {**values, "credential_api_key": "typed-too"}).status_code == 302


def test_editing_with_a_secret_replaces_it(client: Client) -> None:
    row = account()
    client.post(f"/accounts/{row.pk}/", {**GOOD, "credential_api_key": "brand-new-9999"})
    row = ProviderAccount.objects.get()
    assert (row.credentials["api_key"], row.hints["api_key"]) == ("brand-new-9999", "9999")
    assert row.credentials["webhook_secret"] == "secret-1234"


def test_secrets_are_shown_by_their_last_four_characters_alone(client: Client) -> None:
    page = text_of(client, f"/accounts/{account().pk}/")
    assert "•••• 1234" in page and "secret-1234" not in page


def test_editing_does_not_undo_a_pause_that_came_meanwhile(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    row = account()
    original = ProviderAccount.set_credentials

    def paused_meanwhile(self: ProviderAccount, values: dict[str, str]) -> None:
        ProviderAccount.objects.filter(pk=row.pk).update(paused_reason="No credits.")
        original(self, values)

    monkeypatch.setattr(ProviderAccount, "set_credentials", paused_meanwhile)
    client.post(f"/accounts/{row.pk}/", GOOD)
    assert ProviderAccount.objects.values_list("name", "paused_reason").get() == ("Clinic", "No credits.")


def test_the_page_asks_a_known_number_of_questions(client: Client, django_assert_num_queries: Callable) -> None:
    row = account(rates=["100/hour"])
    pacing.reserve(row, row.windows, 3, urgent=True)
    in_its_way = sum(relation.on_delete is models.PROTECT for relation in row._meta.related_objects)
    # session, person; row, credentials; the row as stored, the last test, what waits; what is in the way of a deletion
    with django_assert_num_queries(7 + in_its_way):
        response = client.get(f"/accounts/{row.pk}/")
    assert [window.used for window in response.context["card"].limits] == [3]


# --- A lost key --------------------------------------------------------------------------------------


def test_a_lost_key_is_told_and_the_credentials_can_be_entered_again(client: Client, settings: object) -> None:
    row = account()
    settings.FIELD_KEYS = [OTHER_KEY]
    assert text_of(client, "/accounts/")
    page = text_of(client, f"/accounts/{row.pk}/")
    assert "SMSDASH_FIELD_KEYS" in page
    refused = client.post(f"/accounts/{row.pk}/", {**GOOD, "credential_api_key": ""})
    assert refused.context["form"].errors["credential_api_key"]
    assert client.post(f"/accounts/{row.pk}/", GOOD).status_code == 302
    assert ProviderAccount.objects.get().credentials == {"api_key": "key-5678-abcd"}


def test_a_test_of_the_connection_tells_of_a_lost_key(settings: object) -> None:
    row = account()
    settings.FIELD_KEYS = [OTHER_KEY]
    tasks.check(row.pk)
    assert (tasks.last(row.pk).state, "SMSDASH_FIELD_KEYS" in tasks.last(row.pk).text) == ("bad", True)


# --- Testing the connection --------------------------------------------------------------------------


def test_the_test_is_left_to_a_worker_and_fills_in(client: Client, provider: responses.RequestsMock) -> None:
    row = account(base_url="https://api.smsprovider.com/v1")
    started = client.post(f"/accounts/{row.pk}/test/", headers=FRAGMENT).content.decode()
    assert "Asking the provider" in started and 'hx-trigger="every 1s"' in started
    assert OrmQ.objects.get().func() == "providers.tasks.check"
    assert len(provider.calls) == 0

    provider.get("https://api.smsprovider.com/v1/account", json={"success": True, "name": "X", "credits": 98.5})
    tasks.check(row.pk)
    done = client.get(f"/accounts/{row.pk}/test/", headers=FRAGMENT).content.decode()
    assert "The key is right. Credits left: 98.5." in done and "hx-trigger" not in done
    assert "secret-1234" not in done
    row.refresh_from_db()
    assert float(row.credits) == 98.5


def test_without_javascript_it_goes_back_to_the_page(client: Client) -> None:
    row = account()
    assert client.post(f"/accounts/{row.pk}/test/")["Location"] == f"/accounts/{row.pk}/"
    assert client.get(f"/accounts/{row.pk}/test/")["Location"] == f"/accounts/{row.pk}/"
    assert "Asking the provider" in text_of(client, f"/accounts/{row.pk}/")


def test_a_refused_key_is_told_in_a_sentence_with_the_exchange(
    client: Client, provider: responses.RequestsMock
) -> None:
    row = account(base_url="https://api.smsprovider.com/v1")
    error = {"success": False, "error": {"code": "authentication_failed", "message": "Bad key secret-1234"}}
    provider.get("https://api.smsprovider.com/v1/account", json=error, status=401)
    tasks.check(row.pk)
    page = client.get(f"/accounts/{row.pk}/test/", headers=FRAGMENT).content.decode()
    assert "Bad key •••" in page and "HTTP 401" in page and "secret-1234" not in page


def test_an_address_where_nobody_listens_is_told(client: Client) -> None:
    row = account()
    tasks.check(row.pk)
    assert tasks.last(row.pk).state == "bad"
    assert "could not be reached" in tasks.last(row.pk).text


def test_it_says_so_when_no_worker_takes_it(client: Client) -> None:
    row = account()
    waiting = tasks.Check("waiting", at=timezone.now() - timedelta(seconds=30))
    cache.set(f"account-check-{row.pk}", waiting)
    page = client.get(f"/accounts/{row.pk}/test/", headers=FRAGMENT).content.decode()
    assert "Are the workers running?" in page and "hx-trigger" in page


def test_a_wire_that_cannot_be_asked_says_so(client: Client) -> None:
    row = account(kind="customersms")
    page = text_of(client, f"/accounts/{row.pk}/")
    assert "no way to ask anything without sending" in page and "Test connection" not in page
    assert client.post(f"/accounts/{row.pk}/test/").status_code == 404


def test_phones_prove_the_key_where_credits_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = registry.adapter_class("smsprovider")
    monkeypatch.setattr(kind, "supports", frozenset({Feature.DEVICES}))
    monkeypatch.setattr(kind, "call", lambda self, op, traces: (1, 2, 3))
    row = account()
    tasks.check(row.pk)
    assert tasks.last(row.pk).text == "The key is right: 3 phones are there."


# --- Webhook -----------------------------------------------------------------------------------------


def test_it_registers_the_callback_and_keeps_the_secret(client: Client, provider: responses.RequestsMock) -> None:
    row = account(base_url="https://api.smsprovider.com/v1")
    client.post(f"/accounts/{row.pk}/webhook/")
    assert OrmQ.objects.get().func() == "providers.tasks.register_webhook"

    answer = {"success": True, "webhook_id": "w1", "secret": "whsec-77778888"}
    provider.post("https://api.smsprovider.com/v1/webhooks", json=answer)
    tasks.register_webhook(row.pk)
    body = json.loads(provider.calls[0].request.body)
    assert body["url"] == row.callback_url
    assert {"message.delivered", "message.failed"} <= set(body["events"])
    row.refresh_from_db()
    assert row.credentials == {"api_key": "secret-1234", "webhook_secret": "whsec-77778888"}
    assert row.hints["webhook_secret"] == "8888"


def test_without_a_secret_in_the_answer_it_says_where_to_look(provider: responses.RequestsMock) -> None:
    row = account(base_url="https://api.smsprovider.com/v1")
    provider.post("https://api.smsprovider.com/v1/webhooks", json={"success": True, "webhook_id": "w1"})
    tasks.register_webhook(row.pk)
    assert "enter it here" in tasks.last(row.pk).text
    row.refresh_from_db()
    assert row.credentials["webhook_secret"] == "secret-1234"


def test_a_kind_without_webhooks_has_no_such_button(client: Client) -> None:
    row = account(kind="customersms")
    assert "Register at the provider" not in text_of(client, f"/accounts/{row.pk}/")
    assert client.post(f"/accounts/{row.pk}/webhook/").status_code == 404


@pytest.mark.parametrize(("public", "warned"), [("http://127.0.0.1:8000", True), ("https://sms.example.org", False)])
def test_it_warns_when_the_provider_cannot_reach_the_callback(
    client: Client, settings: object, public: str, warned: bool
) -> None:
    settings.SMSDASH_PUBLIC_URL = public
    row = account(base_url="https://api.smsprovider.com/v1")
    page = text_of(client, f"/accounts/{row.pk}/")
    assert (f"{public}/callbacks/{row.callback_token}/" in page, "cannot reach this address" in page) == (True, warned)


# --- Pausing, disabling, deleting --------------------------------------------------------------------


def test_it_pauses_and_resumes(client: Client) -> None:
    row = account()
    client.post(f"/accounts/{row.pk}/pause/")
    row.refresh_from_db()
    assert (row.paused_reason, row.paused_at is not None) == ("Paused by admin.", True)
    page = client.post(f"/accounts/{row.pk}/resume/", follow=True)
    row.refresh_from_db()
    assert (row.paused_reason, row.paused_at) == ("", None)
    assert "Main sends again." in page.content.decode()


def test_it_disables_and_enables(client: Client) -> None:
    row = account()
    for act, enabled in (("disable", False), ("enable", True)):
        client.post(f"/accounts/{row.pk}/{act}/")
        assert ProviderAccount.objects.get().enabled is enabled


def test_it_deletes_an_account_that_nothing_belongs_to(client: Client) -> None:
    row = account()
    page = client.post(f"/accounts/{row.pk}/delete/", follow=True)
    assert not ProviderAccount.objects.exists()
    assert "Main is deleted." in page.content.decode()


def test_it_keeps_an_account_that_has_messages(client: Client) -> None:
    row = account()
    ledger.insert([Message(account=row, number="+11234567890", text="x", status="delivered")])
    assert "Delete …" not in text_of(client, f"/accounts/{row.pk}/")
    page = client.post(f"/accounts/{row.pk}/delete/", follow=True)
    assert ProviderAccount.objects.exists()
    assert "Disable it instead" in page.content.decode()
