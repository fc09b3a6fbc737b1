"""What the served wires accept: in one transaction, all at once, whoever comes at the same moment."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import psycopg
import pytest
import requests
from django.db import OperationalError, close_old_connections, connection
from pytest_django.live_server_helper import LiveServer

from api import compat, keys, sending
from api.models import ApiKey
from contacts import consent
from contacts.models import Contact, ContactList
from messaging import accepting, campaigns, wakeup
from messaging.models import Campaign, Message, Route, RouteMember
from providers import errors
from providers.types import Devices, MessageType, Outgoing, Send, Spread, Status, Target
from tests.base import account
from tests.devices.base import phone
from tests.messaging.counts import kept, recounted

from .wires import Caller, caller, post, stored

pytestmark = pytest.mark.django_db
at_once = pytest.mark.django_db(transaction=True)

ONE, TWO = "+12125551234", "+13235554567"


def to(*numbers: str, text: str = "Hello", **values: Any) -> Send:
    return Send(tuple(Outgoing(number, text) for number in numbers), **values)


def many(n: int) -> list[str]:
    return [f"+1555{place:07d}" for place in range(n)]


def ask(who: Caller, **values: Any) -> Any:
    return post("/sms_system/api.php", {"api_key": who.key, "phone": ONE, "message": "Hello", **values})


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    monkeypatch.setattr(wakeup, "async_task", lambda *arguments: found.append(arguments))
    monkeypatch.setattr(wakeup, "APART", 0.0)
    return found


# --- What is stored --------------------------------------------------------------------------------------


@at_once
@pytest.mark.parametrize("n", [1, 3, accepting.FEW + 1, 5_000])
def test_every_message_is_a_row_with_the_id_that_is_answered(n: int, woken: list[Any]) -> None:
    who = caller(credits=6_000)
    result = sending.send(who.row, to(*many(n), priority=True, sender="ACME"))
    rows = {str(m.pk): m for m in Message.objects.all()}
    assert [rows[outcome.provider_id].number for outcome in result.outcomes] == many(n)
    assert {outcome.status for outcome in result.outcomes} == {Status.QUEUED}
    campaign = Campaign.objects.get()
    assert {outcome.group for outcome in result.outcomes} == {campaign.token.hex}
    assert (campaign.total, campaign.expanded, campaign.complete, campaign.client) == (n, n, True, who.row.pk)
    told = {(m.client, m.priority, m.sender, m.text, m.campaign_id, m.segments, m.created_at) for m in rows.values()}
    assert told == {(who.row.pk, 1, "ACME", "Hello", campaign.pk, 1, campaign.created_at)}
    assert kept() == recounted()
    assert ApiKey.objects.get().credits == 6_000 - n
    assert woken == [("messaging.tasks.drain", who.account.pk)]


@pytest.mark.parametrize("n", [4, accepting.FEW + 1])
def test_each_message_may_have_a_text_and_pictures_of_its_own(n: int) -> None:
    through = account(kind="smsgateway")
    links = ("https://192.0.9.1/a.png", "https://192.0.9.1/b.png")
    op = Send(
        tuple(
            Outgoing(ONE, f"Line {place}\n\tand \\ more", type=MessageType.MMS, attachments=links)
            if place % 2
            else Outgoing(TWO, "é" * (70 + place), attachments=links)
            for place in range(n)
        )
    )
    sending.send(caller(through).row, op)
    assert Campaign.objects.count() == 1
    rows = Message.objects.order_by("pk").values_list("number", "text", "type", "attachments", "segments")
    assert list(rows)[:4] == [
        (TWO, "é" * 70, "sms", [], 1),
        (ONE, "Line 1\n\tand \\ more", "mms", list(links), 1),
        (TWO, "é" * 72, "sms", [], 1),
        (ONE, "Line 3\n\tand \\ more", "mms", list(links), 1),
    ]


def test_a_text_is_stored_as_it_came() -> None:
    text = "a\tb\\c\r\nd'e\"f%s {name} \u00e9\U0001f600\u2028"
    sending.send(caller().row, to(ONE, text=text))
    assert stored() == [(ONE, text)]


def test_a_key_without_an_account_sends_through_the_first_that_it_may_use() -> None:
    first, second = account("First"), account("Second")
    first.enabled = False
    first.save()
    account("Third")
    row = keys.create("Shop")[0]
    sending.send(row, to(ONE))
    assert Message.objects.get().account == second


def test_a_route_places_each_number() -> None:
    route = Route.objects.create(name="Both")
    here, there = account("Here"), account("There", "customersms")
    RouteMember.objects.create(route=route, account=here, position=1)
    RouteMember.objects.create(route=route, account=there, position=0, prefixes="+1323")
    row = keys.create("Shop", None, route)[0]
    sending.send(row, to(ONE, TWO))
    assert list(Message.objects.order_by("pk").values_list("account__name", "route__name")) == [
        ("Here", "Both"), ("There", "Both"),
    ]  # fmt: skip
    assert kept() == recounted()


def test_phones_say_the_account_and_share_the_messages() -> None:
    account("Older")
    shelf = account("Shelf", "smsgateway")
    one, two = phone(shelf, "a", 0, 1), phone(shelf, "b", 0)
    row = keys.create("Shop")[0]
    asked = Devices(Spread.SPECIFIED, (Target(str(one.pk), 1), Target(str(two.pk))))
    result = sending.send(row, to(*many(4), devices=asked))
    assert [(o.device, o.sim) for o in result.outcomes][:2] == [(str(one.pk), 1), (str(two.pk), None)]
    assert list(Message.objects.order_by("pk").values_list("account__name", "device", "sim"))[:2] == [
        ("Shelf", "a", 1), ("Shelf", "b", None),
    ]  # fmt: skip


def test_phones_of_two_accounts_are_one_clear_error() -> None:
    phones = [phone(account(name, "smsgateway"), "a", 0) for name in ("Shelf", "Other")]
    targets = tuple(Target(str(each.pk)) for each in phones)
    with pytest.raises(errors.InvalidRequest, match="belong to different accounts"):
        sending.send(keys.create("Shop")[0], to(ONE, TWO, devices=Devices(targets=targets)))
    assert stored() == []


def test_only_a_phone_writes_to_short_codes() -> None:
    result = sending.send(caller().row, to(ONE, "54321"))
    assert [o.status for o in result.outcomes] == [Status.QUEUED, Status.FAILED]
    sending.send(caller(account("Shelf", "smsgateway")).row, to("54321"))
    assert stored() == [(ONE, "Hello"), ("54321", "Hello")]


def test_who_has_to_be_approved_waits(settings: Any) -> None:
    settings.SMSDASH_APPROVAL_ABOVE = 2
    sending.send(caller().row, to(*many(3)))
    assert Campaign.objects.get().state == "approval"
    assert set(Message.objects.values_list("status", "error_code")) == {("scheduled", "campaign_paused")}


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"text": "x" * 1_601}, errors.TextTooLong),
        ({"sender": "x" * 21}, errors.InvalidRequest),
    ],
)
def test_what_cannot_be_sent_is_refused(values: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        sending.send(caller().row, to(ONE, **values))
    assert stored() == []


@pytest.mark.parametrize(
    ("kind", "links", "words"),
    [
        ("smsprovider", ["https://192.0.9.1/a.png"], "MMS cannot be sent"),
        ("smsgateway", ["nonsense"], "is not a link"),
        ("smsgateway", ["http://127.0.0.1/a.png"], "private network"),
        ("smsgateway", [f"https://192.0.9.1/{n}" for n in range(11)], "at most 10"),
    ],
)
def test_pictures_that_cannot_be_sent_are_refused(kind: str, links: list[str], words: str) -> None:
    message = Outgoing(ONE, "Look", type=MessageType.MMS, attachments=tuple(links))
    with pytest.raises(errors.InvalidRequest, match=words):
        sending.send(caller(account(kind=kind)).row, Send((message,)))
    assert stored() == []


def test_a_key_that_may_only_read_sends_nothing() -> None:
    with pytest.raises(errors.KeyRefused, match="lacks the scope"):
        sending.send(caller(scopes=["read"]).row, to(ONE))


# --- To a list -------------------------------------------------------------------------------------------


def the_list(n: int) -> ContactList:
    found = ContactList.objects.create(name="News")
    people = [Contact.objects.create(number=number) for number in many(n)]
    consent.subscribe(found, [person.pk for person in people], "api", "test")
    found.refresh_from_db()
    return found


@at_once
def test_a_long_list_is_worked_off_behind_the_answer(monkeypatch: pytest.MonkeyPatch, woken: list[Any]) -> None:
    monkeypatch.setattr(sending, "AT_ONCE", 3)
    who, news = caller(credits=10), the_list(5)
    result = sending.send(who.row, Send((Outgoing("", "News"),), list_id=str(news.pk)))
    campaign = Campaign.objects.get()
    assert [o.number for o in result.outcomes] == many(3)
    assert list(campaign.lists.all()) == [news] and campaign.client == who.row.pk
    campaigns.expand(campaign.pk)
    assert sorted(number for number, _text in stored()) == many(5)
    assert ApiKey.objects.get().credits == 5


def test_a_list_that_nobody_is_on_is_refused() -> None:
    with pytest.raises(errors.NotFound, match="Nobody on this contact list"):
        sending.send(caller().row, Send((Outgoing("", "News"),), list_id=str(the_list(0).pk)))


# --- All or nothing --------------------------------------------------------------------------------------


class Failing:
    """Lets statements fail as a database that is locked does, the first ones that begin so."""

    def __init__(self, beginning: str, times: int = 1_000) -> None:
        self.beginning, self.left = beginning, times

    def __call__(self, execute: Any, sql: str, *arguments: Any) -> Any:
        if self.left and sql.startswith(self.beginning):
            self.left -= 1
            raise OperationalError("database is locked")
        return execute(sql, *arguments)


@at_once
@pytest.mark.parametrize(
    "statement",
    ["SELECT k.", "INSERT INTO messaging_campaign", "INSERT INTO messaging_message", "INSERT INTO messaging_tally"],
)
def test_a_database_that_fails_leaves_nothing_behind(statement: str, caplog: pytest.LogCaptureFixture) -> None:
    who = caller(credits=5)
    with connection.execute_wrapper(Failing(statement)):
        reply = ask(who)
    assert (reply.status_code, reply.json()["code"], reply["retry-after"]) == (503, "SERVICE_UNAVAILABLE", "1")
    assert (stored(), Campaign.objects.count(), ApiKey.objects.get().credits) == ([], 0, 5)
    assert kept() == recounted()
    assert ask(who).json()["success"] is True


def lose_the_connection() -> None:
    """As when PostgreSQL is restarted. A file cannot be lost."""
    if connection.vendor == "postgresql":
        with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])


@at_once
def test_nobody_says_that_nothing_was_done_when_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    who, commit, lost = caller(), connection._commit, connection.vendor == "postgresql"

    def broken() -> None:
        lose_the_connection()
        if not lost:
            raise OperationalError("disk I/O error")
        commit()

    for _ in range(2):  # that the key was used is committed by itself, once in a while
        ask(who)
    with monkeypatch.context() as patch:
        patch.setattr(connection, "_commit", broken)
        reply = ask(who)
    assert reply.status_code == (500 if lost else 503)
    assert ("may have been taken" if lost else "nothing was done") in reply.json()["error"]
    assert len(stored()) == 2


@at_once
def test_a_connection_that_was_lost_meanwhile_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "FRESH", 0.0)
    who = caller()
    assert ask(who).status_code == 200
    lose_the_connection()
    close_old_connections()  # as before each request
    assert ask(who).status_code == 200


# --- At the same moment ----------------------------------------------------------------------------------


def together(*works: Any) -> list[Any]:
    """What becomes of works that come to the desk while it is closed, and find it open all at once."""

    def done(work: Any) -> Any:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        with accepting._desk.lock:
            tasks = [pool.submit(done, work) for work in works]
            while len(accepting._desk.waiting) < len(works):
                wait(tasks, timeout=0.01)
        return [task.exception() or task.result() for task in tasks]


@at_once
def test_those_who_come_at_once_share_a_transaction(woken: list[Any]) -> None:
    who, other = caller(credits=10), keys.create("Other", account("Second"))[0]
    works = [lambda n=n: sending.send(other if n % 2 else who.row, to(f"+1555000{n:04d}")) for n in range(8)]
    found = together(*works)
    by_id = {str(m.pk): m for m in Message.objects.all()}
    assert [by_id[result.outcomes[0].provider_id].number for result in found] == [f"+1555000{n:04d}" for n in range(8)]
    assert len({m.created_at for m in by_id.values()}) == 1
    assert {(m.client, m.account_id) for m in by_id.values()} == {
        (who.row.pk, who.account.pk), (other.pk, other.account_id),
    }  # fmt: skip
    assert Campaign.objects.count() == 8 and kept() == recounted()
    assert len(woken) == 2


@at_once
def test_a_budget_is_never_overdrawn(woken: list[Any]) -> None:
    who = caller(credits=3)
    found = together(*[lambda n=n: sending.send(who.row, to(f"+1555000{n:04d}")) for n in range(6)])
    assert sorted(type(each).__name__ for each in found) == ["NoCredits"] * 3 + ["SendResult"] * 3
    assert (len(stored()), Campaign.objects.count(), ApiKey.objects.get().credits) == (3, 3, 0)


@at_once
def test_one_that_fails_takes_no_other_with_it(woken: list[Any]) -> None:
    who = caller(credits=5)

    def fails(campaign_id: int) -> None:
        raise RuntimeError("in the middle of the transaction of all")

    def order(n: int) -> accepting.Order:
        message = Outgoing(f"+1555000{n:04d}", "Hello")
        charge = sending.Spent(who.row)
        return accepting.Order(
            who.account, [message], client=who.row.pk, charge=charge, stored=fails if n == 1 else kept_id
        )

    def kept_id(campaign_id: int) -> None:
        pass

    found = together(*[lambda n=n: accepting.accept(order(n)) for n in range(3)])
    assert [type(each).__name__ for each in found] == ["Accepted", "RuntimeError", "Accepted"]
    assert {number for number, _text in stored()} == {"+15550000000", "+15550000002"}
    assert (Campaign.objects.count(), ApiKey.objects.get().credits) == (2, 3)
    assert kept() == recounted()


# --- Whose it is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"enabled": False}, {"scopes": ["read"]}, {"addresses": ["203.0.113.0/24"]}])
def test_a_change_of_the_key_counts_at_once(change: dict[str, Any]) -> None:
    who = caller()
    assert [ask(who).status_code for _ in range(2)] == [200, 200]
    ApiKey.objects.update(**change)
    assert ask(who).status_code == 401
    assert len(stored()) == 2


def test_a_change_of_its_account_counts_at_once() -> None:
    who = caller()
    ask(who)
    who.account.zone, who.account.enabled = "Europe/Tallinn", False
    who.account.save()
    assert ask(who).status_code == 503


# --- The programs of the seeds ---------------------------------------------------------------------------


@at_once
def test_the_seeds_programs_work_with_another_host_and_key(live_server: LiveServer, woken: list[Any]) -> None:
    who, host = caller(credits=100), live_server.url
    # seed 001, Python
    data: Any = {
        "api_key": who.key,
        "phone": ["+12125551234", "+13235554567"],
        "message": "Hello from customersms.pro!",
    }
    headers = {"Content-Type": "application/json"}
    response = requests.post(f"{host}/sms_system/api.php", headers=headers, data=json.dumps(data))
    result = response.json()
    assert result["success"] and result["successful_sends"] == 2 and result["remaining_credits"] == 98
    # seed 000, curl
    data = f'{{"api_key": "{who.key}",\n  "phone": "+12125551234",\n  "message": "Hello World!"\n}}'
    assert requests.post(f"{host}/api.php", headers=headers, data=data).json()["success"]
    # seed 002, curl
    bearer = {"Authorization": f"Bearer {who.key}", "Content-Type": "application/json"}
    data = '{"to": "+1234567890","message": "Hello from SMS Provider!","from": "YourBrand"}'
    sent = requests.post(f"{host}/v1/messages", headers=bearer, data=data).json()
    told = requests.get(f"{host}/v1/messages/{sent['message_id']}", headers=bearer).json()
    assert (told["to"], told["status"], told["from"]) == ("+1234567890", "queued", "YourBrand")
    data = '{"to": ["+1234567890", "+9876543210"],"message": "Bulk message from SMS Provider!"}'
    assert requests.post(f"{host}/v1/messages", headers=bearer, data=data).json()["credits_used"] == 2
    assert requests.get(f"{host}/v1/account", headers=bearer).json()["credits_remaining"] == 94
    # seed 003, PHP (http_build_query) and curl
    fields = {"from": "17134567890", "to": "12812345678", "msg": "TEXT_MESSAGE", "delivery_date": "2010-01-01 13:15"}
    for body in (fields, {"to": "12812345678", "msg": "TEXT_MESSAGE"}):
        answer = requests.post(f"{host}/api-v2/index.php/sms/send", auth=(who.key, who.secret), data=body)
        assert answer.status_code == 200 and answer.json()["send_log"][0]["code"] == 200
    assert len(stored()) == 8 and kept() == recounted()
