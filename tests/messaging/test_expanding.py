"""Who of typed numbers and lists gets a message, and that everybody else is counted, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from contacts import consent
from contacts.models import Contact, ContactList, How
from messaging import campaigns, conduct, expanding, routes
from messaging.campaigns import Draft
from messaging.models import Campaign, Message, Route, RouteMember, Tally
from providers.models import ProviderAccount
from providers.types import Status
from tests.server import Server, interrupted, until

pytestmark = pytest.mark.django_db(transaction=True)


def account(name: str = "Main", kind: str = "smsprovider", **values: Any) -> ProviderAccount:
    values = {"kind": kind, "base_url": "http://127.0.0.1:9/v1", **values}
    return ProviderAccount.objects.get_or_create(name=name, defaults=values)[0]


def number(n: int) -> str:
    return f"+1555200{n:04d}"


def people(*which: int, **values: Any) -> list[int]:
    """The ids of contacts with these numbers, made where they are missing."""
    Contact.objects.bulk_create([Contact(number=number(n), **values) for n in which], ignore_conflicts=True)
    ids = dict(Contact.objects.filter(number__in=map(number, which)).values_list("number", "pk"))
    return [ids[number(n)] for n in which]


def members(name: str, *which: int) -> ContactList:
    found, _new = ContactList.objects.get_or_create(name=name)
    consent.subscribe(found, people(*which), How.OPERATOR, "test")
    found.refresh_from_db()
    return found


def leave(which: ContactList, *who: int) -> None:
    consent.unsubscribe(which, people(*who), How.OPERATOR, "test")


def send(numbers: list[str], *lists: ContactList, text: str = "Hello", **values: Any) -> Campaign:
    campaign = campaigns.submit(Draft(values.pop("through", None) or account(), numbers, text, lists=lists, **values))
    while not campaign.complete:
        before = (campaign.expanded, campaign.cursor, campaign.state)
        campaigns.expand(campaign.pk)
        campaign.refresh_from_db()
        assert campaign.complete or before != (campaign.expanded, campaign.cursor, campaign.state)
    return campaign


def got(campaign: Campaign) -> list[str]:
    return sorted(Message.objects.filter(campaign=campaign).values_list("number", flat=True))


def recount(campaign: Campaign) -> dict[str, int]:
    return dict(Counter(Message.objects.filter(campaign=campaign).values_list("status", flat=True)))


def counts(campaign: Campaign) -> dict[str, int]:
    return {status: n for status, n in conduct.counts_of(campaign.pk).items() if n}


@pytest.fixture(params=["in the database", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways must come to the same."""
    if request.param == "one by one":
        monkeypatch.setattr(expanding, "_is_plain", lambda campaign: False)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("at_once", [2_000, 0])
@pytest.mark.parametrize("size", [3, 10_000])
def test_each_person_gets_it_once_and_the_others_are_counted(
    at_once: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "AT_ONCE", at_once)
    monkeypatch.setattr(expanding, "SLICE", size)
    monkeypatch.setattr(expanding, "SMALLEST", size)
    one, two = members("One", *range(10)), members("Two", *range(5, 15))
    leave(one, 0, 7)
    leave(two, 8, 14)
    consent.opt_out(people(1, 9), How.STOP, "them")
    campaign = send([number(3), number(14), number(99), number(9)], one, two)
    assert got(campaign) == sorted(map(number, [2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 99]))
    # both lists have 5 to 9; 3 and 14 were typed too; 9 opted out, was typed and is on both
    assert conduct.balance(campaign).reasons == {"opted_out": 2, "unsubscribed": 1, "duplicate": 8}
    found = conduct.balance(campaign)
    assert found.recipients == campaign.total == 4 + 10 + 10
    assert found.waiting == 13 == sum(recount(campaign).values()) and counts(campaign) == recount(campaign)


def test_a_list_that_was_deleted_brings_nobody() -> None:
    gone = members("Gone", 1, 2)
    draft = Draft(account(), [number(3)], "Hello", lists=[gone])
    ContactList.objects.filter(pk=gone.pk).update(deleted_at=timezone.now())
    assert got(campaigns.submit(draft)) == [number(3)]


def test_rows_are_as_a_small_send_makes_them() -> None:
    """Whatever made them: every column but those that tell them apart."""
    everybody = members("All", 1)
    draft = {"sender": "Shop", "priority": 1, "expires_at": timezone.now() + timedelta(days=1)}
    plain = send([], everybody, text="Hi ‘you’", **draft)
    typed = send([number(2)], text="Hi ‘you’", **draft)
    told = ("id", "number", "campaign_id", "due_at", "created_at", "status")
    one, two = (Message.objects.filter(campaign=c).values().get() for c in (plain, typed))
    assert {k: v for k, v in one.items() if k not in told} == {k: v for k, v in two.items() if k not in told}
    assert (one["status"], two["status"]) == ("scheduled", "queued")
    assert one["due_at"] == plain.due_at and abs(one["created_at"] - timezone.now()) < timedelta(minutes=1)


def test_everybody_has_a_text_of_their_own() -> None:
    everybody = members("All", 1, 2)
    Contact.objects.filter(number=number(1)).update(name="Ann\tB\\n%s", fields={"city": "Tartu\nEesti"})
    campaign = send([number(3)], everybody, text="Dear {name|friend} of {city|town}", merges=True)
    texts = dict(Message.objects.filter(campaign=campaign).values_list("number", "text"))
    assert texts == {
        number(1): "Dear Ann B\\n%s of Tartu Eesti",
        number(2): "Dear friend of town",
        number(3): "Dear friend of town",
    }


def test_parts_are_counted_for_each_text() -> None:
    everybody = members("All", 1, 2)
    Contact.objects.filter(number=number(1)).update(fields={"note": "ö" * 100 + "x" * 80})
    campaign = send([], everybody, text="{note|short}", merges=True)
    assert dict(Message.objects.filter(campaign=campaign).values_list("number", "segments")) == {
        number(1): 2,
        number(2): 1,
    }


def test_a_text_that_is_empty_or_too_long_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = members("All", 1, 2, 3)
    Contact.objects.filter(number=number(1)).update(fields={"note": "good"})
    Contact.objects.filter(number=number(2)).update(fields={"note": "x" * 60})
    monkeypatch.setattr(account().kind_class, "max_text", 50)
    campaign = send([], everybody, text="{note}", merges=True)
    assert got(campaign) == [number(1)]
    assert campaign.skipped == {"empty": 1, "too_long": 1}
    assert conduct.balance(campaign).recipients == 3


def test_a_route_shares_the_members_by_weight() -> None:
    one, two = account("One"), account("Two", "customersms")
    route = Route.objects.create(name="Both", strategy=Route.WEIGHTED)
    RouteMember.objects.create(route=route, account=one, weight=3)
    RouteMember.objects.create(route=route, account=two, weight=1)
    campaign = send([number(90)], members("All", *range(39)), through=one, route=route)
    assert Counter(Message.objects.values_list("account", flat=True)) == {one.pk: 30, two.pk: 10}
    assert counts(campaign) == {"scheduled": 40}
    assert Tally.objects.get(account_id=two.pk, campaign_id=0, hour=0, status="scheduled").n == 10


def test_a_route_without_accounts_pauses_the_campaign_with_the_reason() -> None:
    one = account("One")
    route = Route.objects.create(name="Nobody’s")
    draft = Draft(one, [], "Hello", lists=[members("All", 1)], route=route)
    campaign = campaigns.submit(draft)
    assert not campaign.complete
    campaigns.expand(campaign.pk)
    campaign.refresh_from_db()
    assert (campaign.state, campaign.state_by) == ("paused", "")
    assert "Nobody’s has no account" in campaign.state_reason
    RouteMember.objects.create(route=route, account=one)
    conduct.resume(campaign, "ann")
    campaigns.expand(campaign.pk)
    assert got(campaign) == [number(1)]


def test_two_workers_at_once_make_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second begins while the first is between two slices."""
    monkeypatch.setattr(campaigns, "AT_ONCE", 0)
    monkeypatch.setattr(expanding, "SLICE", 4)
    monkeypatch.setattr(expanding, "SMALLEST", 4)
    campaign = campaigns.submit(Draft(account(), [number(50)], "Hello", lists=[members("All", *range(20))]))
    one, two = campaigns._Run(campaign.pk), campaigns._Run(campaign.pk)
    while campaigns._step(one) | campaigns._step(two):
        pass
    assert got(campaign) == sorted(map(number, [*range(20), 50]))


def test_the_lane_is_woken_for_what_may_go_now(settings: Any) -> None:
    settings.SMSDASH_UNDO_SECONDS = 0
    OrmQ.objects.all().delete()
    send([], members("All", 1))
    assert [task.task["func"] for task in OrmQ.objects.all()] == ["messaging.tasks.drain"]


def test_it_makes_the_rows_of_a_slice_in_few_statements(django_assert_max_num_queries: Any) -> None:
    campaign = Campaign.objects.create(account=account(), text="Hello", cursor=1)
    campaign.lists.add(members("All", *range(500)))
    with django_assert_max_num_queries(22):
        campaigns._step(run := campaigns._Run(campaign.pk))
        campaigns._step(run)
    assert len(got(campaign)) == 500


def test_texts_that_one_account_cannot_carry_take_another(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = account("One"), account("Two", "customersms")
    monkeypatch.setattr(one.kind_class, "max_text", 20)
    monkeypatch.setattr(two.kind_class, "max_text", 1_000)
    route = Route.objects.create(name="Both")
    RouteMember.objects.create(route=route, account=one, position=0)
    RouteMember.objects.create(route=route, account=two, position=1)
    everybody = members("All", 1, 2)
    Contact.objects.filter(number=number(2)).update(name="x" * 90)
    campaign = send([], everybody, text="Dear {name}", merges=True, through=one, route=route)
    assert dict(Message.objects.values_list("number", "account")) == {number(1): one.pk, number(2): two.pk}
    assert routes.limits(route) == [20, 1_000] and campaign.skipped == {}


# --- kill -9 -----------------------------------------------------------------------------------------------

MANY = 80_000


ROWS = "SELECT COUNT(*) FROM messaging_message"


def interrupt(server: Server) -> bool:
    server.manage("add_account", "Main", "--kind", "smsprovider", "--base-url", "http://127.0.0.1:9/v1",
                  "--credential", "api_key=key-1234567890")  # fmt: skip
    with ThreadPoolExecutor() as pool:
        made = pool.submit(server.manage, "shell", "-c", _MAKE)
        until("some rows to be there", lambda: server.query(ROWS)[0][0], pause=0.01)
        server.kill_workers()
        there = server.query(ROWS)[0][0]
        made.result()
    return int(there) < MANY


@pytest.mark.server
def test_an_expansion_goes_on_after_its_worker_was_killed(new_installation: Callable[[], dict[str, str]]) -> None:
    environment = {"SMSDASH_UNDO_SECONDS": "3600", "SMSDASH_WORKERS": "1", "SMSDASH_DEMO": "0"}
    with interrupted(new_installation, interrupt, **environment) as server:
        until("all to be there", lambda: server.query("SELECT complete FROM messaging_campaign")[0][0])
        assert server.query(f"{ROWS} WHERE status = '{Status.SCHEDULED}'") == [(MANY,)]
        assert server.query("SELECT COUNT(DISTINCT number) FROM messaging_message") == [(MANY,)]
        kept = "SELECT SUM(n) FROM messaging_tally WHERE account_id = 0 AND status = 'scheduled'"
        assert [(int(n),) for (n,) in server.query(kept)] == [(MANY,)]


_MAKE = f"""
from django.db import connection
from contacts.models import ContactList
from messaging import campaigns
from providers.models import ProviderAccount
to = ContactList.objects.create(name="All", members={MANY}, subscribed={MANY})
with connection.cursor() as cursor:
    cursor.execute(
        "INSERT INTO contacts_contact (number, name, fields, language, zone, created_at) "
        "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < {MANY}) "
        "SELECT '+1555' || (1000000 + n), '', '{{}}', '', '', CURRENT_TIMESTAMP FROM count"
    )
    cursor.execute(
        "INSERT INTO contacts_subscription (contact_id, list_id, subscribed, at, how, \\"by\\") "
        "SELECT id, %s, %s, created_at, 'import', '' FROM contacts_contact", [to.pk, True]
    )
campaigns.submit(campaigns.Draft(ProviderAccount.objects.get(), (), "Hello", lists=[to]))
"""
