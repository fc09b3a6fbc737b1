"""How an account is doing, in words, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from messaging import ledger
from messaging.models import Message
from providers import health
from providers.health import Remedy
from providers.models import ProviderAccount
from tests.base import account, person, signed_in

pytestmark = pytest.mark.django_db
NOW, LATER = timedelta(), timedelta(minutes=8)
EMPTY = {"credits": 0, "credits_seen_at": NOW}
ERROR = {"paused_reason": "Refused.", "paused_code": "401", "paused_at": NOW, "probe_at": LATER}

CASES: Mapping[str, tuple[dict[str, Any], str, str, Remedy]] = {
    "fine": ({}, "Sending", "", Remedy.NONE),
    "disabled": ({"enabled": False, **ERROR}, "Disabled", "until it is enabled", Remedy.ENABLE),
    "by a person": ({"paused_reason": "Paused by alice.", "paused_at": NOW}, "Paused", "by alice", Remedy.RESUME),
    "by an error": (ERROR, "Paused", "Refused.", Remedy.SETTINGS),
    "no credits": ({**ERROR, "paused_code": "no_credits"}, "Paused", "Refused.", Remedy.TOP_UP),
    "none left": ({**ERROR, **EMPTY}, "Paused", "Refused.", Remedy.TOP_UP),
    "down": ({"down_since": NOW, "down_reason": "No answer."}, "Not reached", "No answer.", Remedy.NONE),
    "spent": (EMPTY, "No credits", "Top it up", Remedy.NONE),
    "nearly": ({"credits": 3, "credits_seen_at": NOW}, "Low credits", "Credits left: 3.", Remedy.NONE),
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_first_thing_that_keeps_it_from_sending_is_told(case: str) -> None:
    values, word, reason, remedy = CASES[case]
    found = health.of(account(**values))
    assert (str(found.word), reason in found.reason, found.remedy) == (word, True, remedy)


def test_it_tells_since_when_and_when_it_is_tried_again() -> None:
    row = account(**ERROR)
    found = health.of(row)
    assert (found.since, found.next_at) == (row.paused_at, row.paused_at + LATER)


def test_what_a_person_paused_is_not_tried_again() -> None:
    row = account(**{**ERROR, "paused_code": ""})
    assert health.of(row).next_at is None


PAGES = ("/", "/accounts/", "/accounts/{}/")


def pages_of(client: Client, row: ProviderAccount) -> list[str]:
    found = [client.get(url.format(row.pk)) for url in PAGES]
    assert [page.status_code for page in found] == [200] * len(PAGES)
    return [" ".join(page.content.decode().split()) for page in found]


def test_every_page_says_why_since_when_and_when_it_is_tried_again() -> None:
    for page in pages_of(signed_in(), account(**ERROR)):
        assert "Refused. Since <time" in page and "smsdash tries again at <time" in page


@pytest.mark.parametrize(
    ("values", "button"),
    [
        (ERROR, 'href="/accounts/{}/#settings"'),
        ({**ERROR, "paused_code": "no_credits"}, 'action="/accounts/{}/resume/"'),
        ({"paused_reason": "By alice."}, 'action="/accounts/{}/resume/"'),
        ({"enabled": False}, 'action="/accounts/{}/enable/"'),
    ],
)
def test_there_is_one_thing_to_do_about_it_for_who_may(values: dict[str, Any], button: str) -> None:
    row = account(**values)
    button = button.format(row.pk)
    overview, accounts, _page = pages_of(signed_in(), row)
    assert button in overview and button in accounts
    reader = signed_in(person("bob", "providers.view_provideraccount", "messaging.view_message"))
    assert not any(button in page for page in pages_of(reader, row))


def test_the_messages_that_wait_are_told_from_the_kept_counts() -> None:
    row = account(**ERROR)
    ledger.insert([Message(account=row, number="+11234567890", text="x") for _ in range(3)])
    overview, accounts, page = pages_of(signed_in(), row)
    assert "3 messages wait." in overview and "3 messages</a>" in accounts and "3 messages</a>" in page
    stranger = signed_in(person("bob", "providers.view_provideraccount"))
    assert "3 messages" not in stranger.get("/accounts/").content.decode()
