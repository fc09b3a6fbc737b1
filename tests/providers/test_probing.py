"""Accounts that an error paused, and how they come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
import responses
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from messaging import clock
from providers import pacing, probing, tasks, traces
from providers.models import Exchange, ProviderAccount
from tests.base import account, signed_in

pytestmark = pytest.mark.django_db
URL = "https://api.smsprovider.com/v1"
REFUSED = {"success": False, "error": {"code": "authentication_failed", "message": "Bad key."}}
SAID = "The provider says: “Bad key.” Check the account's credentials."
MINUTE = timedelta(minutes=1)
NO_CONNECTION = requests.ConnectTimeout()


@pytest.fixture
def provider() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as fake:
        yield fake


def refused(kind: str = "smsprovider", **values: Any) -> ProviderAccount:
    """An account that an error paused, to be probed now."""
    row = account(kind=kind, **({"base_url": URL} if kind == "smsprovider" else {}), **values)
    row.pause("Bad key.", "authentication_failed")
    ProviderAccount.objects.update(probe_at=timezone.now())
    row.refresh_from_db()
    return row


def answers(provider: responses.RequestsMock, status: int = 200, **body: Any) -> None:
    provider.get(f"{URL}/account", json={"success": True, "name": "X", **body}, status=status)


def state(row: ProviderAccount) -> tuple[str, str, int]:
    row.refresh_from_db()
    return row.paused_reason, row.paused_code, row.probes


def minutes_to_probe(row: ProviderAccount) -> float:
    row.refresh_from_db()
    assert row.probe_at is not None
    return round((row.probe_at - timezone.now()) / MINUTE, 1)


# --- Pausing -----------------------------------------------------------------------------------------


def test_an_error_pauses_with_its_sentence_and_the_time_of_the_first_probe() -> None:
    row = account()
    row.pause("Bad key.", "authentication_failed")
    assert state(row) == ("Bad key.", "authentication_failed", 0)
    assert (minutes_to_probe(row), row.paused_at is not None, row.sending) == (1.0, True, False)


def test_a_second_error_changes_nothing() -> None:
    row, again = account(), ProviderAccount.objects.get()
    row.pause("Bad key.", "401")
    again.pause("No credits.", "402")
    assert state(row) == ("Bad key.", "401", 0) and again.paused_code == "401"


def test_an_operators_pause_is_neither_replaced_nor_lifted_nor_probed() -> None:
    row, other = account(), ProviderAccount.objects.get()
    row.pause("Paused by alice.")
    other.pause("Bad key.", "401")
    other.recover()
    ProviderAccount.objects.update(probe_at=timezone.now())
    assert (state(row), probing.due()) == (("Paused by alice.", "", 0), [])
    probing.probe(row.pk)
    assert state(row)[0] == "Paused by alice."


def test_an_operators_pause_takes_the_place_of_an_errors() -> None:
    row = refused()
    row.pause("Paused by alice.")
    assert (state(row), row.probe_at, row.recover()) == (("Paused by alice.", "", 0), None, False)


def test_what_a_provider_wrote_fits_its_column() -> None:
    row = account()
    row.pause("Bad\x00key" + "x" * 400, "c" * 100)
    row.saw_failure("No\x00answer" + "x" * 400)
    row.refresh_from_db()
    assert row.paused_reason.startswith("Bad\ufffdkey") and len(row.paused_reason) == len(row.down_reason) == 300


# --- Probes ------------------------------------------------------------------------------------------


def test_it_resumes_once_the_key_is_taken_again(provider: responses.RequestsMock) -> None:
    row = refused()
    answers(provider, credits=98.5)
    probing.probe(row.pk)
    assert state(row) == ("", "", 1) and row.sending
    assert float(row.credits or 0) == 98.5


def test_the_probe_is_kept_as_an_exchange_without_the_key(provider: responses.RequestsMock) -> None:
    row = refused()
    answers(provider)
    probing.probe(row.pk)
    trace = traces.unpack(Exchange.objects.get(account=row, verb="account"))
    assert trace and trace.status == 200 and "secret-1234" not in str(trace)


@pytest.mark.usefixtures("still")
def test_while_it_is_refused_it_asks_ever_more_rarely_up_to_an_hour(provider: responses.RequestsMock) -> None:
    row = refused(rates=["100/second"])
    provider.get(f"{URL}/account", json=REFUSED, status=401)
    seen = []
    for _ in range(8):
        probing.probe(row.pk)
        seen.append(minutes_to_probe(row))
        ProviderAccount.objects.update(probe_at=timezone.now())
    assert seen == [2, 4, 8, 16, 32, 60, 60, 60]
    assert state(row) == (SAID, "key_refused", 8)


@pytest.mark.parametrize(("left", "resumes"), [(0, False), (0.5, True), (None, True)])
def test_it_resumes_only_with_credits_or_where_they_are_not_told(
    provider: responses.RequestsMock, left: float | None, resumes: bool
) -> None:
    row = refused()
    answers(provider, **({} if left is None else {"credits": left}))
    probing.probe(row.pk)
    reason = state(row)[0]
    assert (reason == "") is resumes
    assert resumes or "no credits left" in reason


def test_an_answer_that_says_nothing_of_the_account_leaves_it_paused(provider: responses.RequestsMock) -> None:
    row = refused()
    provider.get(f"{URL}/account", json={}, status=500)
    probing.probe(row.pk)
    assert state(row) == ("Bad key.", "authentication_failed", 1)


def test_a_probe_waits_for_the_rate_limit(provider: responses.RequestsMock) -> None:
    row = refused()
    pacing.hold(row, 1200)
    probing.probe(row.pk)
    assert (state(row)[2], round(minutes_to_probe(row)), len(provider.calls)) == (0, 20, 0)


def test_it_takes_a_place_in_the_rate_limit(provider: responses.RequestsMock) -> None:
    row = refused(rates=["100/hour"])
    answers(provider)
    probing.probe(row.pk)
    assert sum(pacing.used(row, row.windows).values()) == 1


def test_of_two_probes_at_once_one_asks(provider: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch) -> None:
    row = refused(rates=["100/second"])
    provider.get(f"{URL}/account", json=REFUSED, status=401)
    original = probing._claim

    def both(found: ProviderAccount) -> bool:
        monkeypatch.setattr(probing, "_claim", original)
        probing.probe(row.pk)
        return original(found)

    monkeypatch.setattr(probing, "_claim", both)
    probing.probe(row.pk)
    assert (len(provider.calls), state(row)[2]) == (1, 1)


def test_a_lost_key_is_no_answer(settings: Any) -> None:
    row = refused()
    settings.FIELD_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    probing.probe(row.pk)
    assert ProviderAccount.objects.values_list("paused_code", "probes").get() == ("authentication_failed", 1)


def test_a_wire_that_cannot_be_asked_resumes_and_pauses_for_longer_until_a_message_gets_through() -> None:
    row = refused("customersms")
    for again in (2, 4):
        probing.probe(row.pk)
        assert state(row)[0] == "" and row.sending
        row.pause("Bad key.", "401")
        assert minutes_to_probe(row) == again
        ProviderAccount.objects.update(probe_at=timezone.now())
    probing.probe(row.pk)
    row.refresh_from_db()
    row.saw_success()
    row.pause("Bad key.", "401")
    assert minutes_to_probe(row) == 1


def test_the_clock_wakes_a_worker_when_a_probe_is_due(django_capture_on_commit_callbacks: Callable) -> None:
    clock._woken.clear()
    row, other = refused(), account("Other", enabled=False)
    other.pause("Bad key.", "401")
    ProviderAccount.objects.filter(pk=other.pk).update(probe_at=timezone.now())
    assert probing.due() == [row.pk]
    with django_capture_on_commit_callbacks(execute=True):
        clock.tick()
    assert [task.args() for task in OrmQ.objects.all() if task.func() == "providers.probing.probe"] == [(row.pk,)]


def test_before_its_time_nothing_is_asked() -> None:
    row = refused()
    ProviderAccount.objects.update(probe_at=timezone.now() + MINUTE)
    assert probing.due() == []
    probing.probe(row.pk)
    assert state(row)[2] == 0


# --- What people do ----------------------------------------------------------------------------------


def test_a_passed_test_of_the_connection_resumes_it(provider: responses.RequestsMock) -> None:
    row = refused()
    answers(provider)
    tasks.check(row.pk)
    assert state(row)[0] == ""


def saved(client: Client, row: ProviderAccount, **values: str) -> str:
    form = {"name": row.name, "base_url": row.base_url, "rates": "", "sender": "", "credential_api_key": ""}
    return client.post(f"/accounts/{row.pk}/", {**form, **values}, follow=True).content.decode()


@pytest.mark.parametrize(
    ("values", "resumes"),
    [
        ({"credential_api_key": "brand-new-9999"}, True),
        ({"base_url": "https://api.smsprovider.com/new/v1"}, True),
        ({}, False),
    ],
)
def test_a_new_key_or_address_resumes_what_an_error_paused(values: dict[str, str], resumes: bool) -> None:
    row, client = refused(), signed_in()
    assert ("Main sends again." in saved(client, row, **values)) is resumes
    assert (state(row)[0] == "") is resumes
    row.pause("Paused by alice.")
    saved(client, row, credential_api_key="another-1111")
    assert state(row)[0] == "Paused by alice."


# --- Up and down -------------------------------------------------------------------------------------


def test_it_keeps_since_when_nothing_gets_through_and_why_it_began() -> None:
    row, other = account(), ProviderAccount.objects.get()
    row.saw_failure("No route.")
    since = row.down_since
    other.saw_failure("Another reason.")
    assert (other.down_since, other.down_reason) == (since, "No route.") and since is not None
    other.saw_success()
    row.refresh_from_db()
    assert (row.down_since, row.down_reason) == (None, "")


def test_in_the_normal_case_neither_asks_the_database(django_assert_num_queries: Callable) -> None:
    row = account()
    with django_assert_num_queries(0):
        row.saw_success()
        row.recover()
    row.saw_failure("No route.")
    with django_assert_num_queries(0):
        row.saw_failure("No route.")


def test_a_late_success_does_not_end_a_pause() -> None:
    row = refused()
    ProviderAccount.objects.update(probes=3)
    row.refresh_from_db()
    row.saw_success()
    assert state(row) == ("Bad key.", "authentication_failed", 3)


def test_a_lane_still_sees_that_the_account_was_changed() -> None:
    """By ``updated_at``: what it holds is older than what is stored."""
    lane = account()
    ProviderAccount.objects.get().save()
    lane.saw_failure("No route.")
    before = lane.updated_at
    lane.refresh_from_db()
    assert lane.updated_at != before


# --- Accounts that could not be reached ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reached"), [(200, True), (401, True), (429, True), (503, False), (500, False), (None, False)]
)
def test_one_that_answers_is_up_whatever_it_says(
    provider: responses.RequestsMock, status: int | None, reached: bool
) -> None:
    row = account(base_url=URL)
    row.saw_failure("Nobody answers.")
    if status:
        answers(provider, status)
    else:
        provider.get(f"{URL}/account", body=NO_CONNECTION)
    probing.knock(row.pk)
    row.refresh_from_db()
    assert (row.down_since is None, row.paused_reason) == (reached, "")
