"""The login, the shell, the overview and the admin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.contrib import admin
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from messaging import ledger
from messaging.models import Message
from providers.models import ProviderAccount
from providers.types import Status
from smsdash.templatetags.charts import top_of
from tests.base import PASSWORD, account, administrator, person, signed_in

pytestmark = pytest.mark.django_db

VIEW = "messaging.view_message"
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def no_limits_from_other_tests() -> None:
    cache.clear()


def sent(row: ProviderAccount, **statuses: int) -> list[Message]:
    """Messages of this hour, so many in each status."""
    return ledger.insert(
        [
            Message(account=row, number="+11234567890", text="x", status=status)
            for status, n in statuses.items()
            for _ in range(n)
        ]
    )


def text_of(client: Client, url: str = "/") -> str:
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


# --- Login -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["login", "username"])
def test_it_logs_in_by_either_name_of_the_field(field: str) -> None:
    person("alice", VIEW)
    response = Client().post("/login/", {field: "alice", "password": PASSWORD})
    assert (response.status_code, response["Location"]) == (302, "/")


def test_it_goes_on_to_the_page_that_was_asked_for() -> None:
    person("alice", VIEW)
    client = Client()
    asked = client.get("/accounts/")
    assert asked["Location"] == "/login/?next=/accounts/"
    assert 'name="next" value="/accounts/"' in text_of(client, asked["Location"])
    response = client.post("/login/", {"login": "alice", "password": PASSWORD, "next": "/accounts/"})
    assert response["Location"] == "/accounts/"


def test_a_wrong_password_keeps_the_name_and_not_the_password() -> None:
    person("alice")
    response = Client().post("/login/", {"login": "alice", "password": "wrong-one"})
    assert response.status_code == 200
    page = response.content.decode()
    assert 'role="alert"' in page and 'value="alice"' in page and "wrong-one" not in page


def test_it_limits_wrong_tries_and_then_refuses_even_the_right_password() -> None:
    person("alice")
    client = Client()
    for _ in range(6):
        client.post("/login/", {"login": "alice", "password": "wrong"})
    response = client.post("/login/", {"login": "alice", "password": PASSWORD})
    assert response.status_code == 200
    assert "Too many failed login attempts" in response.content.decode()
    assert not response.wsgi_request.user.is_authenticated


@pytest.mark.usefixtures("still")
def test_tries_are_counted_by_the_address_that_our_proxy_tells(settings: Any) -> None:
    settings.SMSDASH_PROXIES = 1
    person("alice")

    def tries(name: str, told: str) -> bytes:
        """Whoever guesses writes another address in front each time; the proxy adds the true one."""
        values = {"login": name, "password": "wrong"}
        return Client().post("/login/", values, headers={"X-Forwarded-For": told}).content

    for n in range(11):
        refused = tries(f"name{n}", f"198.51.100.{n}, 203.0.113.7")
    assert b"Too many failed" in refused and b"Too many failed" not in tries("alice", "203.0.113.8")


@pytest.mark.usefixtures("still")
def test_too_many_tries_are_told_how_long_to_wait() -> None:
    answers = [Client().post("/login/", {"login": f"name{n}", "password": "wrong"}) for n in range(31)]
    assert answers[-1].status_code == 429 and b"Wait a minute" in answers[-1].content


@pytest.mark.parametrize("path", ["password/reset/", "signup/", "email/", "login/"])
def test_nobody_gets_in_by_mail(path: str) -> None:
    """A link that is mailed would name the host that a stranger wrote into his request."""
    assert signed_in().get(f"/login/account/{path}").status_code == 404


def test_people_change_their_own_password() -> None:
    client, elsewhere = signed_in(alice := person("alice", VIEW)), signed_in(alice)
    assert 'href="/login/password/"' in text_of(client)
    new = {"new_password1": "another battery", "new_password2": "another battery"}
    refused = client.post("/login/password/", {"old_password": "wrong", **new})
    assert refused.status_code == 200 and 'aria-invalid="true"' in refused.content.decode()
    assert client.post("/login/password/", {"old_password": PASSWORD, **new})["Location"] == "/"
    assert "Your password is changed." in text_of(client)
    assert elsewhere.get("/")["Location"].startswith("/login/")


def test_the_admin_has_no_login_of_its_own() -> None:
    assert Client().get("/admin/login/?next=/admin/")["Location"].startswith("/login/?next=")
    assert signed_in(person()).get("/admin/login/").status_code == 403


def test_logging_out_takes_a_post() -> None:
    client = signed_in(person("alice", VIEW))
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_a_poller_without_login_gets_403_and_no_login_page() -> None:
    response = Client().get("/", headers=FRAGMENT)
    assert (response.status_code, response.content) == (403, b"")


def test_long_bodies_are_read_from_those_alone_who_may_import() -> None:
    def status(client: Client, length: str) -> int:
        sent = client.generic("POST", "/login/", b"", "multipart/form-data; boundary=x", CONTENT_LENGTH=length)
        return sent.status_code

    stranger, importer = Client(), signed_in(person("bob", "contacts.add_import"))
    assert [status(stranger, length) for length in ("13000000", "-1", "0")] == [413, 413, 200]
    assert status(importer, "13000000") != 413


# --- Shell -------------------------------------------------------------------------------------------


def test_the_navigation_shows_what_a_person_may_open() -> None:
    page = text_of(signed_in(person("alice", VIEW)))
    assert 'href="/messages/"' in page and 'href="/accounts/"' not in page and 'href="/compose/"' not in page


def test_the_navigation_marks_where_one_is() -> None:
    row = account()
    page = text_of(signed_in(), f"/accounts/{row.pk}/")
    assert page.count('aria-current="page"') == 1
    assert 'href="/accounts/" aria-current="page"' in page


def test_pages_hold_no_inline_script_or_style() -> None:
    account()
    client = signed_in()
    for url in ("/", "/accounts/", "/accounts/add/?kind=smsprovider"):
        page = text_of(client, url)
        assert "<script>" not in page and "<style" not in page and " style=" not in page and " onclick=" not in page


def test_times_are_in_the_zone_that_the_browser_tells() -> None:
    ledger.insert([message := Message(account=account(), number="+11234567890", text="x", status=Status.FAILED)])
    client = signed_in()
    for zone, offset in (("Asia/Kolkata", "+05:30"), ("../../etc/passwd", "+00:00"), ("Nowhere/City", "+00:00")):
        client.cookies["timezone"] = zone
        local = timezone.localtime(message.created_at, timezone.get_fixed_timezone(330 if "Asia" in zone else 0))
        page = text_of(client)
        assert f'datetime="{local.isoformat()}"' in page and offset in local.isoformat()


@pytest.mark.parametrize(
    ("url", "status", "words"), [("/nothing-here/", 404, "Not found"), ("/accounts/", 403, "No access")]
)
def test_a_refusal_is_a_page_with_a_way_out(url: str, status: int, words: str) -> None:
    response = signed_in(person()).get(url)
    assert response.status_code == status
    assert words in response.content.decode() and 'href="/"' in response.content.decode()


def test_a_form_without_its_token_is_told_what_to_do() -> None:
    response = Client(enforce_csrf_checks=True).post("/login/", {"login": "alice", "password": "x"})
    assert response.status_code == 403
    assert "Please try again" in response.content.decode()


# --- Overview ----------------------------------------------------------------------------------------


def test_somebody_without_rights_is_welcomed_and_told_whom_to_ask() -> None:
    assert "Ask an administrator" in text_of(signed_in(person()))


def test_an_empty_installation_begins_with_a_checklist() -> None:
    page = text_of(signed_in())
    assert "First steps" in page and 'href="/accounts/add/"' in page and "Delivery rate" not in page


def test_the_checklist_goes_on_to_a_test_message() -> None:
    account()
    page = text_of(signed_in())
    assert (
        'class="done"' in page
        and 'href="/accounts/add/"' not in page
        and 'class="button primary" href="/compose/"' in page
    )


def test_the_strip_counts_by_the_kept_counts() -> None:
    sent(account(), delivered=6, failed=1, expired=1, queued=2, sent=1, received=3, uncertain=1)
    context = signed_in().get("/").context
    figures = context["figures"]
    assert (figures.total, figures.waiting, figures.delivered, figures.failed) == (12, 2, 6, 2)
    assert (figures.received, figures.uncertain, figures.rate) == (3, 1, 75.0)


def test_messages_of_yesterday_are_not_counted() -> None:
    old = timezone.now() - timedelta(hours=25)
    ledger.insert([Message(account=account(), number="+11234567890", text="x", status="failed", created_at=old)])
    context = signed_in().get("/").context
    assert (context["figures"].total, context["reasons"]) == (0, [])


def test_the_bars_are_stacked_and_lead_to_their_hour_of_the_log() -> None:
    with time_machine.travel(timezone.now(), tick=False):
        sent(account(), delivered=3, failed=1, queued=2)
        bars = signed_in().get("/").context["bars"]
    assert [bar.total for bar in bars] == [0] * 23 + [6]
    assert bars[-1].parts == (("ok", 3), ("wait", 2), ("bad", 1))
    assert bars[-1].href.startswith(reverse("messaging-log") + "?from=")


def test_failures_are_grouped_by_reason() -> None:
    row = account()
    wrong = {"account": row, "number": "+11234567890", "text": "x", "status": "failed"}
    texts = [("blocked", "Refused"), ("off", "Phone off"), ("blocked", "Refused again"), ("", "")]
    ledger.insert([Message(error_code=code, error_text=text, **wrong) for code, text in texts])
    client = signed_in()
    reasons = client.get("/").context["reasons"]
    assert [(r.code, r.text, r.n) for r in reasons][0] == ("blocked", "Refused again", 2)
    assert "The provider gave no reason." in text_of(client)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"paused_reason": "The key was refused."}, "The key was refused."),
        ({"enabled": False}, "Disabled"),
        ({"credits": 3, "credits_seen_at": timedelta()}, "Credits left: 3."),
        ({"credits": 0, "credits_seen_at": timedelta()}, "No credits"),
        ({"credits_unlimited": True, "credits_seen_at": timedelta()}, "Unlimited"),
    ],
)
def test_the_health_of_an_account_is_told_in_words(values: dict[str, object], words: str) -> None:
    sent(account(**values), delivered=1)
    assert words in text_of(signed_in())


def test_it_says_how_long_credits_will_last() -> None:
    sent(account(credits=1000, credits_seen_at=timezone.now()), delivered=10)
    assert "credits for about 100 days at this pace" in text_of(signed_in())


def test_a_poll_without_news_has_no_body_and_one_with_news_has_the_figures() -> None:
    messages = sent(account(), queued=1)
    client = signed_in()
    version = client.get("/").context["version"]
    assert client.get(f"/?v={version}", headers=FRAGMENT).status_code == 204
    ledger.apply([ledger.Change(messages[0].pk, Status.SENDING)])
    response = client.get(f"/?v={version}", headers=FRAGMENT)
    assert version not in response.content.decode()
    assert response.status_code == 200
    assert response.content.decode().lstrip().startswith('<div id="figures"')


def test_a_pause_is_news() -> None:
    row = account()
    client = signed_in()
    version = client.get("/").context["version"]
    row.pause("The key was refused.")
    assert b"The key was refused." in client.get(f"/?v={version}", headers=FRAGMENT).content


@pytest.mark.parametrize("n", [1, 30])
def test_the_overview_asks_the_same_few_questions_however_much_there_is(
    n: int, django_assert_num_queries: Callable
) -> None:
    for index in range(min(n, 5)):
        sent(account(f"Account {index}"), delivered=n, failed=n)
    client = signed_in()
    # session, person, campaigns, version × 2, counts, failures, what waits, accounts, low balances, silent phones
    with django_assert_num_queries(11) as asked:
        client.get("/")
    assert not any("count(" in query["sql"].lower() for query in asked)


def test_a_poll_without_news_asks_five_questions(django_assert_num_queries: Callable) -> None:
    client = signed_in()
    version = client.get("/").context["version"]
    with django_assert_num_queries(5):
        assert client.get(f"/?v={version}", headers=FRAGMENT).status_code == 204


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 2), (2, 2), (3, 4), (9, 10), (11, 20), (271, 300), (999, 1000), (1001, 2000)]
)
def test_the_axis_ends_at_a_round_number(highest: int, top: int) -> None:
    assert top_of(highest) == top


# --- Admin -------------------------------------------------------------------------------------------

OURS = ("providers", "contacts", "devices", "messaging", "api")


def test_every_table_is_registered_under_a_plural_of_its_own() -> None:
    ours = {model for app in OURS for model in apps.get_app_config(app).get_models()}
    assert ours <= set(admin.site._registry)
    assert [model for model in ours if "verbose_name_plural" not in model._meta.original_attrs] == []


def ours_in_admin() -> list[str]:
    return sorted(
        f"{m._meta.app_label}_{m._meta.model_name}" for m in admin.site._registry if m._meta.app_label in OURS
    )


@pytest.mark.parametrize("name", ours_in_admin())
def test_every_list_of_the_admin_opens_and_takes_a_search(name: str) -> None:
    sent(account(), delivered=1)
    client = signed_in()
    for query in ("", "?q=%2B11234567890", "?account=abc"):
        assert client.get(reverse(f"admin:{name}_changelist") + query, follow=True).status_code == 200


@pytest.mark.parametrize("name", ours_in_admin())
def test_lists_of_the_admin_need_no_key_of_the_credentials(name: str, settings: object) -> None:
    """A lost key must not take the log with it."""
    sent(account(), delivered=1)
    client = signed_in()
    settings.FIELD_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    assert client.get(reverse(f"admin:{name}_changelist")).status_code == 200


def test_the_admin_shows_no_credentials() -> None:
    row = account(credentials={"api_key": "very-secret-key"})
    page = text_of(signed_in(), reverse("admin:providers_provideraccount_change", args=[row.pk]))
    assert "very-secret-key" not in page and "credentials" not in page and "gAAAA" not in page


def test_saving_in_the_admin_leaves_the_credentials_alone() -> None:
    """And where they are sent to."""
    row = account()
    values = {
        "name": "Renamed",
        "base_url": "https://other.example/v1",
        "sender": "",
        "rates": "[]",
        "enabled": "on",
        "paused_reason": "",
    }
    response = signed_in().post(reverse("admin:providers_provideraccount_change", args=[row.pk]), values)
    assert response.status_code == 302
    row = ProviderAccount.objects.get()
    assert (row.name, row.credentials["api_key"]) == ("Renamed", "secret-1234")
    assert row.base_url == "http://127.0.0.1:9/v1"


def test_messages_cannot_be_changed_in_the_admin() -> None:
    message = sent(account(), delivered=1)[0]
    page = signed_in().get(reverse("admin:messaging_message_change", args=[message.pk]))
    assert page.status_code == 200
    assert b'name="_save"' not in page.content and b"deletelink" not in page.content


def test_the_admin_counts_no_further_than_anybody_pages() -> None:
    sent(account(), delivered=1)
    client = signed_in(administrator())
    with CaptureQueriesContext(connection) as asked:
        client.get(reverse("admin:messaging_message_changelist"))
    counts = [query["sql"] for query in asked if "COUNT(" in query["sql"]]
    assert counts and all("LIMIT 10000" in sql for sql in counts)
