from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from messaging import routes
from messaging.models import Route, RouteMember
from providers.models import ProviderAccount
from providers.types import Feature, MessageType
from tests.base import account, dated

pytestmark = pytest.mark.django_db

UK, IRELAND, ESTONIA = "+447700900001", "+353850000001", "+37255512345"


def route(*members: tuple[ProviderAccount, int, str], strategy: str = Route.ORDERED) -> Route:
    """A route with accounts in this order, each with its weight and prefixes."""
    made = Route.objects.create(name="Everywhere", strategy=strategy)
    for position, (row, weight, prefixes) in enumerate(members, 1):
        RouteMember.objects.create(route=made, account=row, position=position, weight=weight, prefixes=prefixes)
    return made


def three(strategy: str = Route.ORDERED, weights: tuple[int, int, int] = (1, 1, 1)) -> tuple[Route, list[int]]:
    rows = [account(name) for name in ("A", "B", "C")]
    made = route(*((row, weight, "") for row, weight in zip(rows, weights, strict=True)), strategy=strategy)
    return made, [row.pk for row in rows]


def numbers(n: int) -> list[str]:
    return [f"+372555{i:06}" for i in range(n)]


# --- In order ----------------------------------------------------------------------------------------


def test_in_order_the_first_account_takes_everything() -> None:
    made, (a, _b, _c) = three()
    assert routes.choose(made, numbers(5), 0) == [a] * 5


AGO = -timedelta(minutes=1)
UNABLE = {
    "switched off": {"enabled": False},
    "paused": {"paused_reason": "The key was refused."},
    "down": {"down_since": AGO},
    "without credits": {"credits": 0, "credits_seen_at": AGO},
    "of a kind that is gone": {"kind": "gone"},
}


@pytest.mark.parametrize("values", UNABLE.values(), ids=UNABLE)
def test_the_next_stands_in_for_an_account_that_cannot_send(values: dict[str, object]) -> None:
    made, (a, b, _c) = three()
    ProviderAccount.objects.filter(pk=a).update(**dated(values))
    assert routes.choose(made, numbers(2), 0) == [b, b]


@pytest.mark.parametrize(
    "values",
    [
        {"down_since": timedelta(hours=1)},  # for less than the time that is granted
        {"credits": 0, "credits_seen_at": AGO - routes.BELIEVED},
        {"credits": 1, "credits_seen_at": AGO},
        {"credits_unlimited": True, "credits_seen_at": AGO},
    ],
)
def test_what_may_be_over_keeps_no_account_from_sending(values: dict[str, object]) -> None:
    made, (a, _b, _c) = three()
    ProviderAccount.objects.filter(pk=a).update(**dated(values))
    assert routes.choose(made, numbers(1), 0) == [a]


def test_when_none_can_send_messages_wait_at_the_first() -> None:
    made, (a, _b, _c) = three()
    ProviderAccount.objects.update(paused_reason="Holidays.")
    assert routes.choose(made, numbers(2), 0) == [a, a]


def test_a_message_goes_to_an_account_that_can_carry_it() -> None:
    phone, plain = account("Phones", "smsgateway"), account("Plain", "customersms")
    assert Feature.MMS in phone.kind_class.supports - plain.kind_class.supports
    made = route((plain, 1, ""), (phone, 1, ""))
    assert routes.choose(made, [UK], 0, routes.need(MessageType.MMS)) == [phone.pk]
    assert routes.choose(made, [UK], 0, routes.need(MessageType.SMS)) == [plain.pk]


def test_a_long_text_goes_to_an_account_whose_wire_takes_it() -> None:
    short, long = account("Short"), account("Long", "smsgateway")
    assert (short.kind_class.max_text or 0) > 0 and long.kind_class.max_text is None
    made = route((short, 1, ""), (long, 1, ""))
    assert routes.choose(made, [UK], 0, length=(short.kind_class.max_text or 0) + 1) == [long.pk]


def test_an_account_that_is_able_but_paused_is_waited_for() -> None:
    phone, plain = account("Phones", "smsgateway", paused_reason="Holidays."), account("Plain", "customersms")
    made = route((plain, 1, ""), (phone, 1, ""))
    assert routes.choose(made, [UK], 0, routes.need(MessageType.MMS)) == [phone.pk]


# --- By weight ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [(7, 2, 1), (1, 1, 2), (5, 3, 2), (30, 50, 20)])
@pytest.mark.parametrize("slice_", [10_000, 2_500, 500])
def test_weights_come_out_exactly_in_slices_of_any_size(weights: tuple[int, int, int], slice_: int) -> None:
    made, ids = three(Route.WEIGHTED, weights)
    all_numbers = numbers(10_000)
    placed = [
        pk for start in range(0, 10_000, slice_) for pk in routes.choose(made, all_numbers[start:][:slice_], start)
    ]
    expected = {pk: 10_000 * weight // sum(weights) for pk, weight in zip(ids, weights, strict=True)}
    assert Counter(placed) == expected
    assert placed == routes.choose(made, all_numbers, 0)  # the same again


def test_every_hundred_in_a_row_have_their_shares() -> None:
    made, (a, b, c) = three(Route.WEIGHTED, (7, 2, 1))
    placed = routes.choose(made, numbers(1_000), 37)
    for start in range(0, 1_000, 100):
        assert Counter(placed[start : start + 100]) == {a: 70, b: 20, c: 10}


def test_campaigns_of_one_number_take_turns() -> None:
    made, (a, b, c) = three(Route.WEIGHTED, (2, 1, 1))
    placed = [routes.choose(made, [UK], campaign)[0] for campaign in range(1000, 1400)]
    assert Counter(placed) == {a: 200, b: 100, c: 100}


def test_the_others_share_what_an_account_cannot_send() -> None:
    made, (a, b, c) = three(Route.WEIGHTED, (8, 3, 1))
    ProviderAccount.objects.filter(pk=a).update(enabled=False)
    assert Counter(routes.choose(made, numbers(400), 0)) == {b: 300, c: 100}


# --- By the number -----------------------------------------------------------------------------------


def test_the_longest_prefix_wins_over_shorter_ones_and_over_none() -> None:
    every, british, mobile = account("Every"), account("British"), account("Mobile")
    made = route((every, 1, ""), (british, 1, "+44 +353"), (mobile, 1, "+447"))
    assert routes.choose(made, [UK, "+442079460000", IRELAND, ESTONIA], 0) == [
        mobile.pk,
        british.pk,
        british.pk,
        every.pk,
    ]


def test_a_shorter_prefix_stands_in_for_a_longer_one() -> None:
    every, british = account("Every"), account("British", paused_reason="Holidays.")
    made = route((every, 1, ""), (british, 1, "+44"))
    assert routes.choose(made, [UK], 0) == [every.pk]


def test_a_number_waits_for_the_account_that_is_meant_for_it() -> None:
    irish, british = account("Irish"), account("British", paused_reason="Holidays.")
    made = route((irish, 1, "+353"), (british, 1, "+44"))
    assert routes.choose(made, [UK, IRELAND], 0) == [british.pk, irish.pk]


def test_numbers_that_none_is_meant_for_go_to_the_first() -> None:
    irish, british = account("Irish"), account("British")
    made = route((irish, 1, "+353"), (british, 9, "+44"), strategy=Route.WEIGHTED)
    assert routes.choose(made, [ESTONIA] * 3, 0) == [irish.pk] * 3
    assert routes.uncovered(made, [UK, ESTONIA, IRELAND, ESTONIA]) == 2


def test_accounts_with_the_same_prefix_share_by_weight() -> None:
    a, b, every = account("A"), account("B"), account("Every")
    made = route((a, 3, "+44"), (b, 1, "+44 +353"), (every, 9, ""), strategy=Route.WEIGHTED)
    placed = routes.choose(made, [UK, ESTONIA] * 400, 0)
    assert Counter(placed) == {a.pk: 300, b.pk: 100, every.pk: 400}


# --- What forms are told -----------------------------------------------------------------------------


def test_a_route_without_accounts_cannot_be_used() -> None:
    made = route()
    assert "has no account" in routes.check(made)[0]
    assert routes.options() == []
    with pytest.raises(routes.NoMember):
        routes.choose(made, [UK], 0)


def test_a_route_of_switched_off_accounts_cannot_be_used() -> None:
    made = route((account(enabled=False), 1, ""))
    assert "switched off" in routes.check(made)[0]


def test_a_paused_route_can_be_used_and_says_that_messages_wait() -> None:
    made = route((account(paused_reason="Holidays."), 1, ""))
    assert routes.check(made) == [] and routes.options() == [made]
    assert routes.hints(made) == ["No account of this route can send now. Messages wait until one can."]


def test_it_says_where_numbers_go_that_no_prefix_covers() -> None:
    made = route((account(), 1, "+44"))
    assert "what none is meant for goes through Main" in routes.hints(made)[0]


def test_features_are_what_every_account_can_do_and_what_any_can() -> None:
    phone, plain = account("Phones", "smsgateway"), account("Plain")
    found = routes.features(route((plain, 1, ""), (phone, 1, "")))
    assert found.every == plain.kind_class.supports & phone.kind_class.supports
    assert found.any == plain.kind_class.supports | phone.kind_class.supports
    assert found.max_text == plain.kind_class.max_text


def test_the_first_stands_for_the_route_unless_it_cannot_send() -> None:
    made, (a, b, _c) = three()
    assert routes.first(Route.objects.get()).pk == a
    ProviderAccount.objects.filter(pk=a).update(enabled=False)
    assert routes.first(Route.objects.get()).pk == b


@pytest.mark.parametrize("n", [1, 3])
def test_the_options_take_two_questions(n: int, django_assert_num_queries: object) -> None:
    for index in range(n):
        made = Route.objects.create(name=f"Route {index}")
        RouteMember.objects.create(route=made, account=account(f"Account {index}"))
    with django_assert_num_queries(2):  # type: ignore[operator]
        assert len([routes.features(found) for found in routes.options()]) == n
