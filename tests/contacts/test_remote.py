"""Lists that live at a provider too: it is told of every change, again and again until it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from contacts import consent, mirroring, remote
from contacts.models import Contact, ContactList, How, Mirror, Subscription
from providers import errors, pacing
from providers.adapters import smsgateway
from providers.models import Exchange, ProviderAccount
from providers.types import ContactInfo, Operation, SaveContact, Unsubscribe
from tests.base import account

from .base import a_list, counted, counts, people

pytestmark = pytest.mark.django_db


class Provider:
    """What the provider's end was told, and what it says to it."""

    def __init__(self) -> None:
        self.told: list[Operation] = []
        self.says: list[Exception] = []
        self.unsubscribed: set[str] = set()
        self.meanwhile: Callable[[], object] = list

    def call(self, adapter: object, op: Operation, traces: object = None) -> ContactInfo:
        assert isinstance(op, SaveContact | Unsubscribe)
        self.told.append(op)
        self.meanwhile()
        if self.says:
            raise self.says.pop(0)
        return ContactInfo("1", op.number, subscribed=op.number not in self.unsubscribed)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    made = Provider()
    monkeypatch.setattr(smsgateway.Adapter, "call", lambda adapter, op, traces=None: made.call(adapter, op, traces))
    return made


@pytest.fixture
def shop() -> Iterator[ContactList]:
    yield a_list("Shop", account=account(kind="smsgateway"), remote_id="17")


def run(of: ContactList) -> int:
    assert of.account_id is not None
    return remote.work(of.account_id)


def later() -> None:
    """The time of the next try is here."""
    Mirror.objects.filter(next_at__isnull=False).update(next_at=timezone.now())


def test_adding_and_unsubscribing_are_told(provider: Provider, shop: ContactList) -> None:
    a, b = people(2)
    consent.subscribe(shop, [a, b], How.API, "")
    assert run(shop) == 2
    consent.unsubscribe(shop, [a], How.LINK, "")
    consent.remove(shop, [b], How.OPERATOR, "")
    assert run(shop) == 2
    consent.subscribe(shop, [a], How.API, "", resubscribe=True)
    assert run(shop) == 1
    first, second = "+37255500000", "+37255500001"
    assert provider.told == [
        SaveContact("17", first, "Person 0"),
        SaveContact("17", second, "Person 1"),
        Unsubscribe("17", first),
        Unsubscribe("17", second),
        SaveContact("17", first, "Person 0", resubscribe=True),
    ]
    assert not Mirror.objects.exists()


def test_only_the_latest_word_counts(provider: Provider, shop: ContactList) -> None:
    (a,) = people(1)
    consent.subscribe(shop, [a], How.API, "")
    consent.unsubscribe(shop, [a], How.API, "")
    run(shop)
    assert provider.told == [Unsubscribe("17", "+37255500000")]


def test_a_list_that_lives_here_alone_tells_nobody() -> None:
    a_list(members=people(3))
    assert not Mirror.objects.exists() and mirroring.due() == []


def test_an_opt_out_is_told_wherever_the_person_is_subscribed(provider: Provider, shop: ContactList) -> None:
    (a, b) = people(2)
    consent.subscribe(shop, [a], How.API, "")
    a_list("Here", [a, b])
    run(shop)
    consent.opt_out([a, b], How.STOP, "message 7")
    run(shop)
    assert provider.told[1:] == [Unsubscribe("17", "+37255500000")]


def test_nobody_who_opted_out_is_subscribed_there(provider: Provider, shop: ContactList) -> None:
    (a,) = people(1)
    consent.opt_out([a], How.STOP, "message 7")
    consent.subscribe(shop, [a], How.API, "")
    assert run(shop) == 0
    assert provider.told == [] and not Mirror.objects.exists()


def test_who_unsubscribed_there_is_unsubscribed_here(provider: Provider, shop: ContactList) -> None:
    (a,) = people(1)
    provider.unsubscribed = {"+37255500000"}
    consent.subscribe(shop, [a], How.API, "")
    run(shop)
    place = Subscription.objects.get()
    assert (place.subscribed, place.how) == (False, "provider")
    assert counts(shop) == counted(shop) == (1, 0)
    assert not Mirror.objects.exists()


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (errors.Unreachable(), True),
        (errors.Uncertain(), True),  # telling it twice does no harm
        (errors.KeyRefused(), True),
        (errors.InvalidNumber(), False),
    ],
)
def test_what_fails_is_seen_and_tried_again_where_that_may_help(
    provider: Provider, shop: ContactList, error: errors.ProviderError, again: bool
) -> None:
    consent.subscribe(shop, people(1), How.API, "")
    provider.says = [error]
    assert run(shop) == 0
    (failed,) = mirroring.failures(shop)
    assert (failed.error, failed.tries, failed.next_at is not None) == (str(error), 1, again)
    assert mirroring.due() == []
    later()
    assert run(shop) == int(again)
    assert mirroring.try_again(shop) == int(not again)
    assert run(shop) == int(not again)
    assert mirroring.failures(shop) == []


def test_tries_become_rarer_and_end(provider: Provider, shop: ContactList) -> None:
    consent.subscribe(shop, people(1), How.API, "")
    waits = []
    for _ in range(remote.TRIES):
        provider.says = [errors.Unreachable()]
        run(shop)
        row = Mirror.objects.get()
        waits.append(round((row.next_at - timezone.now()).total_seconds(), -1) if row.next_at else None)
        later()
    assert waits[:3] == [30, 60, 120] and waits[-2:] == [3600, None]


def test_a_word_that_changes_while_it_is_told_is_told_again(provider: Provider, shop: ContactList) -> None:
    (a,) = people(1)
    consent.subscribe(shop, [a], How.API, "")
    provider.meanwhile = lambda: consent.unsubscribe(shop, [a], How.LINK, "")
    run(shop)
    assert [type(op) for op in provider.told] == [SaveContact, Unsubscribe]


def test_it_keeps_within_the_rate_limit(provider: Provider, shop: ContactList) -> None:
    ProviderAccount.objects.update(rates=["2/hour"])
    consent.subscribe(shop, people(3), How.API, "")
    assert run(shop) <= 2
    assert Mirror.objects.filter(error="").count() >= 1
    assert all(row.next_at and row.next_at > timezone.now() for row in Mirror.objects.all())


def test_a_refusal_to_take_more_holds_the_account(provider: Provider, shop: ContactList) -> None:
    consent.subscribe(shop, people(2), How.API, "")
    provider.says = [errors.RateLimited(retry_after=300)]
    run(shop)
    held = pacing.reserve(ProviderAccount.objects.get(), ())
    assert len(provider.told) == 1 and held.wait > 250


def test_a_worker_that_dies_leaves_its_changes_to_the_next(provider: Provider, shop: ContactList) -> None:
    consent.subscribe(shop, people(2), How.API, "")
    assert len(remote._claim(ProviderAccount.objects.get())) == 2
    assert run(shop) == 0
    Mirror.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    assert run(shop) == 2


def test_due_names_the_accounts_that_are_to_be_told(shop: ContactList) -> None:
    assert mirroring.due() == []
    consent.subscribe(shop, people(1), How.API, "")
    assert mirroring.due() == [shop.account_id]
    ProviderAccount.objects.update(enabled=False)
    assert mirroring.due() == []


def test_somebody_unknown_there_is_unsubscribed_enough(provider: Provider, shop: ContactList) -> None:
    (a,) = people(1)
    consent.subscribe(shop, [a], How.API, "")
    consent.unsubscribe(shop, [a], How.API, "")
    provider.says = [errors.NotFound()]
    assert run(shop) == 1 and not Mirror.objects.exists()


def test_the_exchange_is_kept(shop: ContactList) -> None:
    Contact.objects.create(number="+37255500000")
    consent.subscribe(shop, Contact.objects.values_list("pk", flat=True), How.API, "")
    run(shop)  # nobody listens at the account's address
    assert Exchange.objects.get().verb == "save_contact"
    assert "could not be reached" in Mirror.objects.get().error
