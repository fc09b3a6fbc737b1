"""Whose a request is, how often it may come and from where, and what it may do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import RequestFactory
from django.utils import timezone

from api import access, keys
from api.models import ApiKey, Scope
from messaging import ledger
from messaging.models import Message, Route, RouteMember
from providers import errors
from providers.errors import KeyRefused, NoCredits, RateLimited, Unavailable
from providers.models import ProviderAccount
from providers.types import Rate
from tests.base import account, dated, person

pytestmark = pytest.mark.django_db

HERE = "203.0.113.7"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def no_requests_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_common", access._Common())


def made(**settings: Any) -> tuple[ApiKey, str, str]:
    return keys.create("Shop", **settings)


def refusal(key: str, secret: str | None = None) -> str:
    with pytest.raises(KeyRefused) as caught:
        access.find(key, secret)
    return str(caught.value)


# --- Who ---------------------------------------------------------------------------------------------


def test_a_key_is_found_by_one_query_with_all_that_a_request_needs(django_assert_num_queries: Callable) -> None:
    _row, key, secret = made(account=account(), owner=person())
    access.admit(access.find(key), HERE)
    with django_assert_num_queries(1):
        row = access.find(key, secret)
        access.admit(row, HERE)
        access.need(row, Scope.SEND)
        assert access.spend(row, 3) is None
        assert access.way(row)[0].name == "Main"


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"owner__is_active": False},
        {"key_hash": "0" * 64},
        {"key_hash": "1" * 64, "previous_hash": "known", "previous_until": -HOUR},
        {"key_hash": "2" * 64, "previous_hash": "known", "previous_until": None},
    ],
)
def test_an_unknown_key_and_one_that_is_switched_off_are_refused_in_the_same_words(change: dict[str, Any]) -> None:
    row, key, secret = made(owner=person())
    if "owner__is_active" in change:
        row.owner.is_active = False
        row.owner.save()
    else:
        values = {name: row.key_hash if value == "known" else value for name, value in change.items()}
        ApiKey.objects.filter(pk=row.pk).update(**dated(values))
    assert refusal(key) == refusal(key, secret) == refusal("") == "Invalid or inactive API key"


@pytest.mark.parametrize("secret", ["", "wrong", "x" * 5_000, "Ünïcödé", "\ud800"])
def test_a_wrong_secret_is_refused_as_an_unknown_key_is(secret: str) -> None:
    _row, key, _secret = made()
    assert refusal(key, secret) == refusal("unknown", secret) == access.REFUSED


@pytest.mark.parametrize("key", ["", "\x00", "\ud800", "x" * 100_000])
def test_garbage_is_an_unknown_key(key: str) -> None:
    assert refusal(key) == access.REFUSED


@pytest.mark.parametrize(
    ("change", "word"),
    [({"expires_at": -HOUR}, "expired"), ({"revoked_at": -HOUR}, "revoked")],
)
def test_the_holder_of_an_old_key_is_told_what_to_do_but_nobody_without_the_secret(
    change: dict[str, Any], word: str
) -> None:
    row, key, _secret = made()
    ApiKey.objects.filter(pk=row.pk).update(**dated(change))
    assert word in refusal(key) and "Ask for" in refusal(key)
    assert refusal(key, "wrong") == access.REFUSED


def test_the_key_before_works_with_its_own_secret_until_the_overlap_is_over() -> None:
    row, old, old_secret = made()
    new, new_secret = keys.rotate(row, HOUR)
    for key, secret in ((old, old_secret), (new, new_secret), (old, None), (new, None)):
        assert access.find(key, secret).pk == row.pk
    assert refusal(old, new_secret) == refusal(new, old_secret) == access.REFUSED
    ApiKey.objects.filter(pk=row.pk).update(previous_until=timezone.now())
    assert refusal(old) == access.REFUSED


def test_a_lost_field_key_refuses_nobody(settings: Any) -> None:
    _row, key, secret = made(account=account())
    settings.FIELD_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    assert access.way(access.find(key, secret))[0].name == "Main"


# --- From where --------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("networks", "address", "taken"),
    [
        (["203.0.113.0/24"], HERE, True),
        (["203.0.113.0/24"], "::ffff:203.0.113.7", True),
        (["203.0.113.0/24"], "203.0.114.7", False),
        (["203.0.113.7/32", "2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "2001:db9::1", False),
        (["2001:db8::/32"], HERE, False),
        (["0.0.0.0/0"], "", False),
        (["0.0.0.0/0"], "unix:", False),
        ([], "", True),
    ],
)
def test_a_key_works_from_its_networks_only(networks: list[str], address: str, taken: bool) -> None:
    row = made(addresses=networks)[0]
    if taken:
        access.admit(row, address)
    else:
        with pytest.raises(KeyRefused, match="may not be used from") as caught:
            access.admit(row, address)
        assert caught.value.code == access.FORBIDDEN


@pytest.mark.once
@pytest.mark.parametrize(
    ("proxies", "told", "address"),
    [
        (0, "198.51.100.1", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "9.9.9.9, 198.51.100.1", "198.51.100.1"),
        (2, "9.9.9.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "198.51.100.1", "10.0.0.1"),
        (1, "9.9.9.9, unknown", "10.0.0.1"),
    ],
)
def test_what_a_stranger_says_of_its_address_is_not_believed(
    proxies: int, told: str, address: str, settings: Any
) -> None:
    settings.SMSDASH_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=told)
    assert access.address_of(request) == address


def test_the_last_use_is_kept_to_the_minute(django_assert_num_queries: Callable) -> None:
    row = made()[0]
    access.admit(row, "::ffff:203.0.113.7")
    row.refresh_from_db()
    assert row.last_used_from == HERE and timezone.now() - row.last_used_at < timedelta(minutes=1)
    with django_assert_num_queries(0):
        access.admit(row, "198.51.100.1")
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    row.refresh_from_db()
    access.admit(row, "not an address")
    row.refresh_from_db()
    assert row.last_used_from is None


# --- How often ---------------------------------------------------------------------------------------


def refused(row: ApiKey) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        access.admit(row, HERE)
    return caught.value


def test_keys_without_limits_of_their_own_have_the_installations_each_by_itself(settings: Any) -> None:
    settings.SMSDASH_API_RATE = Rate(3, 60)
    first, second = made()[0], keys.create("Bank")[0]
    states = [access.admit(first, HERE) for _ in range(3)]
    assert [(s.limit, s.remaining) for s in states] == [(3, 2), (3, 1), (3, 0)]
    error = refused(first)
    assert error.state and (error.state.limit, error.state.remaining) == (3, 0)
    assert 58 < (error.retry_after or 0) <= 60.1 and error.state.reset in (60, 61)
    assert access.admit(second, HERE).remaining == 2


def test_own_limits_hold_all_at_once_and_the_tightest_is_told() -> None:
    row = made(rates=["3/minute", "4/hour"])[0]
    told = [access.admit(row, HERE) for _ in range(3)]
    assert [(s.limit, s.remaining) for s in told] == [(3, 2), (3, 1), (3, 0)]
    assert refused(row).state.limit == 3
    by_minute = access.pacing.Log([Rate(4, 3600)], ApiKey.objects.get().log, even=False)
    ApiKey.objects.update(log=by_minute.text())  # as if the minute were over
    assert access.admit(row, HERE).limit == 4
    ApiKey.objects.update(log=access.pacing.Log(by_minute.rates, ApiKey.objects.get().log, even=False).text())
    assert "4/hour" in str(refused(row))


def test_a_long_window_can_be_used_to_the_last_request() -> None:
    row = made(rates=["10/second", "200/day"])[0]
    log = access.pacing.Log([Rate(200, 86400)], even=False)
    log.add(access.pacing.now() - 60, 199)
    ApiKey.objects.update(log=log.text())
    assert access.admit(row, HERE).remaining == 0
    assert refused(row).state.limit == 200


def test_a_request_that_is_refused_does_not_count() -> None:
    row = made(rates=["2/minute"])[0]
    access.admit(row, HERE)
    access.admit(row, HERE)
    before = ApiKey.objects.get().log
    refused(row)
    assert ApiKey.objects.get().log == before


def test_a_key_that_is_deleted_meanwhile_is_refused() -> None:
    row = made(rates=["2/minute"])[0]
    ApiKey.objects.all().delete()
    with pytest.raises(KeyRefused):
        access.admit(row, HERE)


# --- What --------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("scopes", "scope", "may"),
    [(["send"], "send", True), (["send"], "read", False), (["admin"], "ussd", True), (["read", "ussd"], "ussd", True)],
)
def test_a_scope_is_needed_and_admin_has_all(scopes: list[str], scope: str, may: bool) -> None:
    row = ApiKey(scopes=scopes)
    if may:
        access.need(row, scope)
    else:
        with pytest.raises(KeyRefused, match=f"lacks the scope “{scope}”") as caught:
            access.need(row, scope)
        assert caught.value.code == access.FORBIDDEN


def test_it_sends_through_its_account_its_route_or_the_oldest_that_is_switched_on() -> None:
    account("Zulu", enabled=False)
    oldest, other = account("Main"), account("Alpha")
    route = Route.objects.create(name="Everywhere")
    assert access.way(made()[0]) == (oldest, None)
    assert access.way(made(account=other)[0]) == (other, None)
    assert access.way(made(accounts=[other])[0]) == (other, None)
    by_route = made(route=route)[0]
    with pytest.raises(Unavailable, match="has no account"):
        access.way(by_route)
    RouteMember.objects.create(route=route, account=other)
    by_route = access.ApiKey.objects.get(pk=by_route.pk)
    assert access.way(by_route) == (other, route)


def test_it_says_what_stands_in_the_way_of_sending() -> None:
    with pytest.raises(Unavailable, match="There is no account"):
        access.way(made()[0])
    with pytest.raises(Unavailable, match="“Off” of this API key is switched off"):
        access.way(made(account=account("Off", enabled=False))[0])


def test_it_may_use_the_accounts_that_it_was_given_or_all() -> None:
    first, second = account("First"), account("Second", enabled=False)
    assert {*access.accounts(made()[0])} == {first, second}
    assert [*access.accounts(made(accounts=[second])[0])] == [second]


@pytest.mark.parametrize(
    ("limited", "reads_all", "seen"),
    [
        (False, False, {"own 1", "own 2", "in 1", "in 2"}),
        (True, False, {"own 1", "own 2", "in 1"}),
        (True, True, {"own 1", "own 2", "in 1", "other 1"}),
        (False, True, {"own 1", "own 2", "in 1", "in 2", "other 1", "other 2"}),
    ],
)
def test_it_reads_its_own_messages_and_what_its_accounts_received(
    limited: bool, reads_all: bool, seen: set[str]
) -> None:
    both: list[ProviderAccount] = [account("1"), account("2")]
    row = made(accounts=both[:1] if limited else [], reads_all=reads_all)[0]
    cases = [("own", "queued", row.pk), ("in", "received", None), ("other", "queued", row.pk + 1)]
    ledger.insert(
        Message(account=one, number="+1234567890", text=f"{word} {one}", status=status, client=client)
        for one in both
        for word, status, client in cases
    )
    assert {message.text for message in access.messages(row)} == seen


def test_a_budget_falls_to_nothing_and_no_further() -> None:
    row = made(credits=5)[0]
    assert access.spend(row, 3) == 2
    with pytest.raises(NoCredits, match="takes 3 credits, and 2 are left"):
        access.spend(row, 3)
    assert access.spend(row, 2) == 0
    assert ApiKey.objects.get().credits == 0


def test_a_budget_that_was_lifted_meanwhile_refuses_nothing() -> None:
    row = made(credits=1)[0]
    ApiKey.objects.update(credits=None)
    assert access.spend(row, 3) is None


def test_what_was_not_sent_is_not_spent() -> None:
    row = made(credits=5)[0]
    with pytest.raises(errors.Rejected), transaction.atomic():
        access.spend(row, 3)
        raise errors.Rejected
    assert ApiKey.objects.get().credits == 5


# --- At once -----------------------------------------------------------------------------------------


def at_once(call: Callable[[], object], times: int = 16) -> list[object]:
    """The results, or the errors, of calls that all begin at the same moment."""
    ready = threading.Barrier(4)

    def work() -> list[object]:
        ready.wait()
        try:
            return [_result(call) for _ in range(times // 4)]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        return [found for future in [pool.submit(work) for _ in range(4)] for found in future.result()]


def _result(call: Callable[[], object]) -> object:
    try:
        return call()
    except errors.ProviderError as error:
        return error


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_pass_no_limit_and_use_it_to_the_full() -> None:
    row = made(rates=["10/minute"])[0]
    found = at_once(lambda: access.admit(row, HERE))
    assert sum(isinstance(one, RateLimited) for one in found) == 6
    assert sorted(one.remaining for one in found if not isinstance(one, RateLimited)) == [*range(10)]


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_spend_a_budget_once() -> None:
    row = made(credits=20)[0]

    def spend() -> int | None:
        with transaction.atomic():
            return access.spend(row, 2)

    found = at_once(spend)
    assert sum(isinstance(one, NoCredits) for one in found) == 6
    assert ApiKey.objects.get().credits == 0


@pytest.mark.once
@pytest.mark.usefixtures("still")
def test_the_limit_in_memory_is_shared_by_threads(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SMSDASH_API_RATE = Rate(100, 60)
    monkeypatch.setattr(access.pacing.Log, "add", _slowly(access.pacing.Log.add))
    row = made()[0]
    ApiKey.objects.update(last_used_at=timezone.now())
    row.refresh_from_db()
    found = at_once(lambda: access.admit(row, HERE), 120)
    assert sum(isinstance(one, RateLimited) for one in found) == 20


def _slowly(add: Callable[..., None]) -> Callable[..., None]:
    """Other threads get their turn between the question whether there is room and taking it."""

    def slow(*arguments: Any) -> None:
        time.sleep(0.001)
        add(*arguments)

    return slow


@pytest.mark.django_db(transaction=True)
def test_the_last_use_waits_for_no_request_that_spends() -> None:
    row = made(credits=20)[0]

    def read() -> None:
        if connection.features.has_select_for_update:
            connection.cursor().execute("SET lock_timeout = '2s'")
        try:
            access.admit(row, HERE)
        finally:
            connection.close()

    with transaction.atomic() if connection.features.has_select_for_update else nullcontext():
        access.spend(row, 1)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(read).result()
