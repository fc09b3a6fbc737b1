"""The pages of webhooks: who may do what, what is shown when, and how they look in Chromium."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from api import webhooks
from api.models import Delivery, DeliveryTry, Webhook
from providers.models import AllowedHost, Wanted
from providers.types import Status
from tests.api.hooks import URL, api_key, become, delivery, message, webhook
from tests.base import account, dated, person, signed_in
from tests.forms import Forms
from tests.looks import fits

pytestmark = pytest.mark.django_db

LIST, NEW = "/webhooks/", "/webhooks/new/"
FORM = {"name": "Shop", "url": URL, "events": ["message.sent", "message.failed"], "format": "standard", "key": ""}
FRAGMENT = {"HX-Request": "true"}
State = Delivery.State


def text_of(client: Client, url: str) -> str:
    reply = client.get(url)
    assert reply.status_code == 200
    return html.unescape(" ".join(reply.text.split()))


def act(row: Webhook, action: str, client: Client | None = None) -> str:
    reply = (client or signed_in()).post(f"/webhooks/{row.pk}/act/", {"action": action}, follow=True)
    assert reply.status_code == 200
    return html.unescape(" ".join(reply.text.split()))


# --- Making --------------------------------------------------------------------------------------------------


def test_a_webhook_is_made_and_its_secret_shown_once() -> None:
    client = signed_in()
    reply = client.post(NEW, FORM)
    row = Webhook.objects.get()
    assert (row.url, row.events, row.format, row.key, str(row.created_by)) == (
        URL,
        FORM["events"],
        "standard",
        None,
        "admin",
    )
    assert row.sealed["secret"] in reply.text and "no-store" in reply["Cache-Control"]
    assert set(Wanted.objects.values_list("name", flat=True)) == set(FORM["events"])
    assert row.sealed["secret"] not in text_of(client, f"/webhooks/{row.pk}/")
    before = row.sealed["secret"]
    reply = client.post(f"/webhooks/{row.pk}/rotate/")
    row.refresh_from_db()
    assert row.sealed["secret"] in reply.text and row.sealed["secret"] != before


def test_one_that_the_key_signs_has_no_secret_to_show() -> None:
    key = api_key()
    reply = signed_in().post(NEW, FORM | {"format": "smsgateway", "key": key.pk}, follow=True)
    assert "signed with the API key itself" in reply.text
    assert "whsec_" not in reply.text and key.sealed["key"] not in reply.text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": ""}, "Give the URL that the events are posted to."),
        ({"url": "ftp://8.8.8.8/"}, "Write the address as https://host/path."),
        ({"url": "https://nobody.invalid/"}, "There is no host named nobody.invalid."),
        ({"url": "http://me:pw@8.8.8.8/"}, "Leave the name and the password out of the address."),
        ({"url": "http://10.0.0.1/"}, "10.0.0.1 is an address in a private network."),
        ({"events": []}, "Choose at least one event."),
        ({"format": "smsprovider", "events": ["ussd.answered"]}, "no word for: A USSD code was answered."),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, Any], words: str) -> None:
    page = signed_in().post(NEW, FORM | values)
    assert words in html.unescape(page.text) and "Nothing was saved" in page.text
    assert not Webhook.objects.exists()


def test_an_administrator_allows_a_private_host_on_the_way() -> None:
    client, private = signed_in(), FORM | {"url": "http://127.0.0.1:8080/x"}
    form = Forms(client.post(NEW, private).text).with_field("url")
    assert form["url"] == private["url"]
    assert "Allow 127.0.0.1 and save" in client.post(NEW, private).text
    client.post(NEW, private | {"allow": "10.9.9.9"})  # another host than the form's
    assert not AllowedHost.objects.exists()
    client.post(NEW, private | {"allow": "127.0.0.1"})
    assert (Webhook.objects.get().url, AllowedHost.objects.get().name) == (private["url"], "127.0.0.1")


def test_nobody_else_allows_a_host() -> None:
    client = signed_in(person("alice", "api.add_webhook", "api.view_webhook", "api.change_webhook"))
    private = FORM | {"url": "http://127.0.0.1:8080/x"}
    assert "Allow 127.0.0.1" not in client.post(NEW, private).text
    assert client.post(NEW, private | {"allow": "127.0.0.1"}).status_code == 403
    row = webhook(url="http://127.0.0.1:8080/x")
    assert client.post(f"/webhooks/{row.pk}/act/", {"action": "allow"}).status_code == 403
    assert not AllowedHost.objects.exists()


def test_changing_one_changes_what_is_wanted_and_not_its_state() -> None:
    row = webhook(["message.sent"])
    client = signed_in()
    form = Forms(client.get(f"/webhooks/{row.pk}/edit/").text).with_field("url")
    Webhook.objects.update(failures=3, paused_reason="Paused by alice.")  # meanwhile
    changed = form | {"url": URL + "/2", "events": ["contact.opted_in"]}
    assert client.post(f"/webhooks/{row.pk}/edit/", changed)["Location"] == f"/webhooks/{row.pk}/"
    row.refresh_from_db()
    assert (row.url, row.events, row.failures, row.paused_reason) == (
        URL + "/2",
        ["contact.opted_in"],
        3,
        "Paused by alice.",
    )
    assert set(Wanted.objects.values_list("name", flat=True)) == {"contact.opted_in"}


# --- Acting --------------------------------------------------------------------------------------------------


def test_pausing_resuming_and_trying_it_out() -> None:
    row = webhook()
    assert "Paused by admin." in act(row, "pause")
    assert "waits with the others" in act(row, "test", signed_in(person("a", "api.view_webhook", "api.change_webhook")))
    assert "What was kept is delivered now." in act(
        row, "resume", signed_in(person("b", "api.view_webhook", "api.change_webhook"))
    )
    assert Webhook.objects.get().paused_reason == ""
    assert row.deliveries.get().event == "webhook.test"
    assert {each.func() for each in OrmQ.objects.all()} <= {"api.tasks.deliver"}


def test_a_private_host_that_paused_it_is_allowed_in_one_click() -> None:
    row = webhook(url="http://127.0.0.1:8080/x")
    webhooks.pause(
        row, "127.0.0.1 is an address in a private network. An administrator can allow the host if it is meant."
    )
    client = signed_in()
    assert "Allow 127.0.0.1 and resume" in text_of(client, f"/webhooks/{row.pk}/")
    assert "the webhook goes on" in act(row, "allow", client)
    assert AllowedHost.objects.get().name == "127.0.0.1"


def test_what_was_given_up_is_replayed_once_each() -> None:
    row, client = webhook(), signed_in()
    failed = [delivery(row, f"message:{n}", state=State.FAILED) for n in range(3)]
    delivery(row, state=State.DONE)
    assert "3 deliveries are posted once more." in act(row, "replay", client)
    replays = row.deliveries.filter(replay_of__isnull=False).order_by("pk")
    assert [each.replay_of_id for each in replays] == [each.pk for each in failed]
    assert "0 deliveries are posted once more." in act(row, "replay", client)
    replays.filter(pk=replays[1].pk).update(state=State.FAILED)  # it failed again
    assert "1 deliveries are posted once more." in act(row, "replay", client)
    assert row.deliveries.latest("pk").replay_of_id == failed[1].pk


def test_one_delivery_is_replayed_unless_it_waits() -> None:
    row, client = webhook(), signed_in()
    done, waiting = delivery(row, state=State.DONE), delivery(row)
    client.post(f"/webhooks/deliveries/{done.pk}/replay/")
    page = client.post(f"/webhooks/deliveries/{waiting.pk}/replay/", follow=True)
    assert "still on its way" in page.text
    assert row.deliveries.filter(replay_of__isnull=False).values_list("replay_of", flat=True).get() == done.pk


def test_deleting_one_forgets_what_was_for_it() -> None:
    row = webhook()
    DeliveryTry.objects.create(delivery=delivery(row))
    reply = signed_in().post(f"/webhooks/{row.pk}/delete/", follow=True)
    assert "is deleted" in reply.text
    assert not Webhook.objects.exists() and not Delivery.objects.exists() and not Wanted.objects.exists()


# --- Looking -------------------------------------------------------------------------------------------------


def test_a_delivery_shows_what_was_posted_and_answered() -> None:
    row = delivery(webhook(), "message:7", body='{"text":"<b>Õ</b>"}', state=State.DONE)
    said = {"status": 500, "answer": "<h1>Oops</h1>", "error": "It answered with the status 500."}
    DeliveryTry.objects.create(delivery=row, headers={"webhook-id": "msg_1"}, **said)
    reply = signed_in().get(f"/webhooks/deliveries/{row.pk}/")
    assert "<h1>Oops" not in reply.text and "<b>Õ" not in reply.text
    page = html.unescape(reply.text)
    for words in (
        "webhook-id: msg_1",
        "<h1>Oops</h1>",
        '{"text":"<b>Õ</b>"}',
        "HTTP 500",
        "It answered with the status 500.",
    ):
        assert words in page, words
    assert 'href="/messages/7/"' in reply.text


def test_deliveries_are_narrowed_and_paged() -> None:
    row, client = webhook(), signed_in()
    for n in range(60):
        delivery(row, f"message:{n}", state=State.FAILED if n % 2 else State.DONE)
    page = client.get(f"/webhooks/{row.pk}/")
    assert len(page.context["lines"]) == 50
    older = client.get(f"/webhooks/{row.pk}/?{page.context['older']}")
    assert [each.subject for each, *_rest in older.context["lines"]] == [f"message:{n}" for n in range(9, -1, -1)]
    failed = client.get(f"/webhooks/{row.pk}/?state=failed")
    assert {each.state for each, *_rest in failed.context["lines"]} == {"failed"} and not failed.context["older"]
    assert "There are none of these." in text_of(client, f"/webhooks/{row.pk}/?state=waiting")


def test_the_page_is_drawn_again_only_when_something_changed() -> None:
    row, client = webhook(), signed_in()
    each = delivery(row)
    version = client.get(f"/webhooks/{row.pk}/").context["version"]
    url = f"/webhooks/{row.pk}/?v={version}"
    assert client.get(url, headers=FRAGMENT).status_code == 204
    for rows, values in (
        (Delivery.objects.filter(pk=each.pk), {"state": State.DONE}),
        (Webhook.objects.all(), {"failures": 1, "failing_since": timezone.now()}),
        (Webhook.objects.all(), {"paused_reason": "Paused by alice."}),
    ):
        rows.update(**values)
        fragment = client.get(url, headers=FRAGMENT)
        assert fragment.status_code == 200 and "<html" not in fragment.text
        (version,) = re.findall('"v": "([0-9a-f]+)"', fragment.text)
        url = f"/webhooks/{row.pk}/?v={version}"
        assert client.get(url, headers=FRAGMENT).status_code == 204


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "Works"),
        ({"failures": 2, "failing_since": timedelta()}, "Failing"),
        ({"paused_reason": "It answered that it is gone (status 410).", "failures": 2}, "Paused"),
        ({"enabled": False}, "Key out of use"),
    ],
)
def test_the_list_tells_how_each_does(values: dict[str, Any], word: str) -> None:
    row = webhook(name="Shop", **dated(values))
    client = signed_in()
    assert f"</svg>{word}</span>" in client.get(LIST).text
    page = text_of(client, f"/webhooks/{row.pk}/")
    assert word in page and values.get("paused_reason", "") in page


def test_callback_urls_have_a_list_of_their_own() -> None:
    client = signed_in()
    assert "There is no webhook yet." in text_of(client, LIST)
    webhooks.for_request(api_key(), URL + "/callback")
    assert "No webhook is registered." in text_of(client, LIST)
    page = text_of(client, f"{LIST}?callbacks=1")
    assert URL + "/callback" in page
    pk = Webhook.objects.get().pk
    assert client.get(f"/webhooks/{pk}/").status_code == 200
    assert client.get(f"/webhooks/{pk}/edit/").status_code == 404


@pytest.mark.parametrize("n", [1, 20])
def test_the_pages_ask_the_same_few_questions(n: int, django_assert_num_queries: Any) -> None:
    key = api_key()
    row = webhook(key=key)
    for number in range(n):
        webhook(name=f"Hook {number}", key=key)
        delivery(row, f"message:{number}")
    client = signed_in()
    with django_assert_num_queries(4):  # session, person, webhooks, are there callbacks
        client.get(LIST)
    with django_assert_num_queries(5):  # session, person, webhook, deliveries, are there failed ones
        client.get(f"/webhooks/{row.pk}/")


def test_the_pages_need_no_key_of_the_sealed_ones(settings: Any) -> None:
    row, client = webhook(key=api_key()), signed_in()
    each = delivery(row)
    settings.FIELD_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    for url in (LIST, f"/webhooks/{row.pk}/", f"/webhooks/{row.pk}/edit/", f"/webhooks/deliveries/{each.pk}/"):
        assert client.get(url).status_code == 200, url


# --- Who may -------------------------------------------------------------------------------------------------

POSTS = {
    "api.add_webhook": ["new/"],
    "api.change_webhook": ["{hook}/edit/", "{hook}/act/", "{hook}/rotate/", "deliveries/{delivery}/replay/"],
    "api.delete_webhook": ["{hook}/delete/"],
}


@pytest.mark.parametrize("permission", ["", *POSTS])
def test_each_action_has_its_permission(permission: str) -> None:
    row = webhook()
    names = {"hook": row.pk, "delivery": delivery(row).pk}
    client = signed_in(person("alice", "api.view_webhook", *filter(None, [permission])))
    administrator, page = signed_in(), client.get(f"/webhooks/{row.pk}/").text
    for needed, paths in POSTS.items():
        for path in paths:
            url = LIST + path.format(**names)
            if "edit" not in path and "new" not in path:
                assert administrator.get(url).status_code == 405
                assert Client().post(url)["Location"].startswith("/login/")
            assert (client.post(url).status_code == 403) == (needed != permission), url
    assert ("Send a test event" in page) == (permission == "api.change_webhook")
    assert ("Delete …" in page) == (permission == "api.delete_webhook")


def test_without_the_permission_nothing_is_shown() -> None:
    row = webhook()
    client = signed_in(person("alice", "messaging.view_message"))
    for url in (LIST, NEW, f"/webhooks/{row.pk}/", f"/webhooks/deliveries/{delivery(row).pk}/"):
        assert client.get(url).status_code == 403
    assert 'href="/webhooks/"' not in client.get("/").text
    assert 'href="/webhooks/"' in signed_in().get("/").text


def test_an_administrator_allows_hosts_in_the_admin() -> None:
    client = signed_in()
    for typed, kept in (("Nas.Local.", "nas.local"), ("http://10.0.0.7:80/x", "10.0.0.7"), ("::1", "::1")):
        client.post("/admin/providers/allowedhost/add/", {"name": typed})
        assert AllowedHost.objects.latest("pk").name == kept
    assert "without a path" in client.post("/admin/providers/allowedhost/add/", {"name": "not a host"}).text


# --- In Chromium ---------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_webhook_from_its_making_to_its_end(admin_page: Page, live_server: LiveServer) -> None:
    """Each page on the way is fit for everybody, in both colours and on a phone."""
    page = admin_page
    page.goto(live_server.url + LIST)
    fits(page)
    page.get_by_role("link", name="New webhook").click()
    page.get_by_label("URL").fill("http://127.0.0.1:9/a-hook-with-a-long-name/" + "x" * 80)
    page.get_by_label("A message was sent").check()
    page.get_by_role("button", name="Make the webhook").click()
    expect(page.get_by_text("is an address in a private network.")).to_be_visible()
    fits(page)
    page.get_by_role("button", name="Allow 127.0.0.1 and save").click()
    assert page.get_by_label("Secret", exact=True).input_value().startswith("whsec_")
    fits(page)
    page.get_by_role("link", name="I have copied it").click()
    row = Webhook.objects.get()
    become(message(account()), Status.SENT)
    webhooks.pass_on()
    expect(page.get_by_role("link", name="message.sent")).to_be_visible()  # by itself
    Webhook.objects.update(failures=3, failing_since=timezone.now(), hold_until=timezone.now())
    each = row.deliveries.get()
    DeliveryTry.objects.create(delivery=each, headers={"webhook-signature": "v1," + "x" * 90}, status=500, error="No.")
    Delivery.objects.update(state=State.FAILED, attempts=10, done_at=timezone.now())
    expect(page.get_by_text("Given up", exact=True).last).to_be_visible()
    expect(page.get_by_text("3 failures in a row")).to_be_visible()
    fits(page)
    page.get_by_role("link", name="message.sent").click()
    fits(page)
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("It is posted once more.")).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("Paused by admin.")).to_be_visible()
    page.get_by_role("button", name="Delete …").click()
    fits(page)
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page).to_have_url(re.compile("/webhooks/$"))
    assert not Webhook.objects.exists()
