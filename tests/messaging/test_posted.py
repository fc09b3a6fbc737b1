"""Posts to callbacks: stored first, worked on after, each once, and never in each other's way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, DataError, OperationalError, connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from contacts.models import Contact
from messaging import callbacks, clock, keeping, ledger, posted, wakeup
from messaging.models import Conversation, DeliveryReport, Message, Posted
from providers.models import ProviderAccount
from providers.types import Inbound, Report, Status
from tests import base, posting
from tests.base import signed_in
from tests.server import until

from . import counts
from .conversations import ADA, phones

pytestmark = pytest.mark.django_db
SECRET = "secret-1234"
RING = wakeup._ring


@pytest.fixture
def account() -> ProviderAccount:
    return base.account()


def sent(account: ProviderAccount, name: str = "m1", status: str = "sent") -> Message:
    row = Message(account=account, number=ADA, text="x", status=status, provider_id=name)
    return ledger.insert([row])[0]


def status_of(message: Message) -> str:
    message.refresh_from_db()
    return message.status


def report(name: str = "m1", status: Status = Status.DELIVERED) -> Report:
    return Report(name, status, ADA, status.value)


def post(
    account: ProviderAccount, *events: Report | Inbound, secret: str = SECRET, client: Client | None = None
) -> int:
    """Posted, and not worked on yet. The status of the last answer."""
    for event in events:
        reply = posting.post(account, posting.written(account, event, secret), client)
    return reply.status_code


@contextmanager
def failing(words: str, error: BaseException, value: str = "") -> Iterator[list[str]]:
    """The database refuses statements with these words (and this among their values). Yields those that it refused."""
    refused: list[str] = []

    def refuse(execute: Callable[..., Any], sql: str, values: Any, many: bool, context: Any) -> Any:
        if words in sql and value in repr(values):
            refused.append(sql)
            raise error
        return execute(sql, values, many, context)

    with connection.execute_wrapper(refuse):
        yield refused


# --- Stored first ------------------------------------------------------------------------------------------


def test_the_answer_comes_before_the_work(account: ProviderAccount) -> None:
    message = sent(account)
    assert post(account, report()) == 200
    assert (status_of(message), Posted.objects.count()) == ("sent", 1)
    posted.work()
    assert (status_of(message), Posted.objects.count()) == ("delivered", 0)


def test_to_store_a_post_takes_one_statement(account: ProviderAccount) -> None:
    client = Client()
    post(account, report(), client=client)
    with CaptureQueriesContext(connection) as queries:
        post(account, report("m2"), client=client)
    assert [query["sql"].strip()[:28] for query in queries] == ["INSERT INTO messaging_posted"]


def test_what_the_database_does_not_take_is_our_failure_and_not_acknowledged(account: ProviderAccount) -> None:
    client = Client(raise_request_exception=False)
    with failing("INSERT INTO messaging_posted", OperationalError("gone")) as refused:
        assert post(account, report(), client=client) == 500
    assert refused and not Posted.objects.exists()
    assert post(account, report(), client=client) == 200


@pytest.mark.django_db(transaction=True)
def test_posts_that_come_together_are_stored_together(account: ProviderAccount) -> None:
    changed, poison = base.account("Changed"), base.account("Poison")
    for each in (account, changed, poison):
        post(each, report())
    Posted.objects.all().delete()
    changed.save()  # and no process knows
    statements: list[str] = []

    def one(to: ProviderAccount) -> int:
        def look(execute: Callable[..., Any], sql: str, values: Any, many: bool, context: Any) -> Any:
            if "INSERT INTO messaging_posted" in sql:
                statements.append(sql)
                if poison.pk in values:
                    raise DataError("no such thing")
            return execute(sql, values, many, context)

        try:
            with connection.execute_wrapper(look):
                return post(to, report(), client=Client(raise_request_exception=False))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        with keeping._writing:
            asked = [pool.submit(one, to) for to in (account, changed, poison, account)]
            until("all to wait", lambda: len(keeping._wishes) == 4)
        assert [answer.result(90) for answer in asked] == [200, 200, 500, 200]
    assert Posted.objects.count() == 3
    assert len(statements) == 6  # together, each alone, and once more as the account is now


def test_what_nobody_knows_is_taken_and_not_kept(account: ProviderAccount) -> None:
    body = b'{"event": "message.pondered", "message_id": "m1", "to": "+11234567890", "status": "pondered"}'
    request = posting.signed(body, SECRET)
    assert posting.post(account, request).status_code == 200
    assert not Posted.objects.exists()


def test_what_is_remembered_of_an_account_is_never_old(account: ProviderAccount) -> None:
    assert post(account, report()) == 200
    account.set_credentials({"webhook_secret": "another-secret"})
    account.save()
    assert post(account, report()) == 401
    assert post(account, report(), secret="another-secret") == 200
    account.save()  # whatever changed
    assert post(account, report(), secret="another-secret") == 200
    Posted.objects.all().delete()
    account.delete()
    assert post(account, report(), secret="another-secret") == 404


@pytest.fixture
def bell(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wake-ups come from a thread, as in a server."""
    monkeypatch.setattr(wakeup, "_ring", RING)
    yield
    until("the bell to be silent", lambda: not wakeup._rung.is_set())


@pytest.mark.django_db(transaction=True)
def test_many_posts_are_one_wake_up(account: ProviderAccount, bell: None) -> None:
    client = Client()
    for n in range(20):
        post(account, report(f"m{n}"), client=client)
    until("a wake-up", OrmQ.objects.exists)
    assert 1 <= OrmQ.objects.count() <= 5
    OrmQ.objects.all().delete()
    post(account, report("last"), client=client)
    until("another one, for what came just after", OrmQ.objects.exists)
    OrmQ.objects.all().delete()
    time.sleep(3 * wakeup.SOON)
    assert not OrmQ.objects.exists()  # nothing came


@pytest.mark.django_db(transaction=True)
def test_nobody_is_woken_while_a_worker_looks(
    account: ProviderAccount, bell: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set(wakeup.WATCHED, True, 60)
    post(account, report())
    assert posted.watch(int, bool) is False and Posted.objects.exists()  # there is somebody
    time.sleep(2 * wakeup.SOON)
    assert not OrmQ.objects.exists()
    cache.delete(wakeup.WATCHED)
    monkeypatch.setattr(posted, "LINGER", 0.1)
    assert posted.watch(int, bool) is False and not Posted.objects.exists()


def test_what_comes_as_a_worker_gives_up_looking_is_worked_on(
    account: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, late = sent(account), []

    def slip_in(execute: Callable[..., Any], sql: str, values: Any, many: bool, context: Any) -> Any:
        if sql.startswith("DELETE FROM") and settings.CACHES["default"]["LOCATION"] in sql and not late:
            late.append(post(account, report()))  # and nobody was woken, for the worker looked
        return execute(sql, values, many, context)

    monkeypatch.setattr(posted, "LINGER", 0.0)
    with connection.execute_wrapper(slip_in):
        posted.watch(int, bool)
    assert late == [200] and status_of(message) == "delivered"


def test_the_clock_wakes_a_worker_for_what_was_left(
    account: ProviderAccount, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(account, report())
    monkeypatch.setattr(clock, "_woken", {})
    OrmQ.objects.all().delete()
    with django_capture_on_commit_callbacks(execute=True):
        clock.tick()
    assert "messaging.tasks.posted" in [task.func() for task in OrmQ.objects.all()]


# --- Each once, and not lost -------------------------------------------------------------------------------


class Killed(BaseException):
    """What no handler of ours catches."""


@pytest.mark.parametrize("words", ["DELETE FROM", "INTO messaging_tally", "messaging_deliveryreport"])
def test_a_worker_that_is_killed_leaves_all_to_the_next(words: str, account: ProviderAccount) -> None:
    message, main = sent(account), phones()
    post(account, report(), report("unknown"))
    post(main, Inbound("in-1", ADA, "Hello", device="1", sim=0))
    with pytest.raises(Killed), failing(words, Killed()):
        posted.work()
    assert Posted.objects.filter(account=account).count() == 2 and status_of(message) == "sent"
    posted.work()
    assert (status_of(message), Posted.objects.count()) == ("delivered", 0)
    assert DeliveryReport.objects.count() == 2 and Message.objects.filter(status="received").count() == 1
    assert counts.kept() == counts.recounted()


def test_a_post_that_is_worked_on_twice_counts_once(account: ProviderAccount) -> None:
    message, main = sent(account), phones()
    for _ in range(2):
        post(account, report(), report("early"))
        post(main, Inbound("in-1", ADA, "Hello", device="1", sim=0))
        posted.work()
    assert status_of(message) == "delivered" and DeliveryReport.objects.count() == 2
    assert Conversation.objects.get().version == 1
    assert counts.kept() == counts.recounted()


def test_a_killed_worker_leaves_stop_to_the_next(account: ProviderAccount) -> None:
    main = phones()
    post(main, Inbound("in-1", ADA, "STOP", device="1", sim=0))
    with pytest.raises(Killed), failing("DELETE FROM", Killed()):
        posted.work()
    assert not Contact.objects.exists()
    posted.work()
    assert Contact.objects.get(number=ADA).opted_out_at is not None


# --- Our own failures --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("still")
def test_what_we_cannot_work_on_holds_up_nothing_and_is_tried_again(account: ProviderAccount) -> None:
    messages = [sent(account, f"m{n}") for n in range(9)]
    post(account, *(report(f"m{n}") for n in range(9)))
    broken = failing('INTO "messaging_deliveryreport"', DatabaseError("disk full"), "'m4'")
    with broken as refused:
        posted.work()
        found = [status_of(message) for message in messages]
        assert found == ["delivered"] * 4 + ["sent"] + ["delivered"] * 4
        left = Posted.objects.get()
        assert (left.tries, left.error) == (1, "DatabaseError: disk full")
        before = len(refused)
        posted.work()
        assert len(refused) == before  # not yet
        page = signed_in().get("/messages/reports/").text
        assert "disk full" in page and "Posts that are tried again" in page
        Posted.objects.update(next_at=timezone.now())
        posted.work()
        assert len(refused) == before + 1
    again = Posted.objects.get()
    assert again.tries == 2 and again.next_at - timezone.now() > timedelta(seconds=1.5 * posted.FIRST)
    Posted.objects.update(next_at=timezone.now())
    posted.work()
    assert (status_of(messages[4]), Posted.objects.count()) == ("delivered", 0)
    assert (
        "tried again"
        not in signed_in(base.person("bo", "messaging.view_deliveryreport")).get("/messages/reports/").text
    )


def test_an_account_that_cannot_be_read_holds_up_no_other(account: ProviderAccount) -> None:
    locked, message = base.account("Locked"), sent(account)
    post(locked, report())
    post(account, report())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE providers_provideraccount SET credentials = 'lost' WHERE id = %s", [locked.pk])
    posted.work()
    assert status_of(message) == "delivered"
    assert Posted.objects.get().account_id == locked.pk


@pytest.mark.parametrize(
    ("kind", "secret", "event"),
    [("smsprovider", "webhook_secret", report()), ("smsgateway", "api_key", Inbound("in-1", ADA, "Hello"))],
)
def test_what_was_accepted_is_worked_on_although_the_secret_changed(
    kind: str, secret: str, event: Report | Inbound
) -> None:
    account = base.account(kind=kind)
    sent(account)
    assert post(account, event) == 200
    account.set_credentials({secret: "another-secret"})
    account.save()
    assert post(account, event) == 401
    posted.work()
    assert not Posted.objects.exists()
    assert Message.objects.filter(status__in=["delivered", "received"]).count() == 1


# --- Order -------------------------------------------------------------------------------------------------


def test_what_people_write_goes_before_a_flood_of_reports() -> None:
    main = phones()
    client = Client()
    for n in range(30):
        posting.post(main, posting.gateway(SECRET, posting.gateway_message(f"g{n}", ADA, "Delivered")), client)
    post(main, Inbound("in-1", ADA, "STOP", device="1", sim=0), client=client)
    assert posted.work(0) is True  # one round
    assert Contact.objects.get(number=ADA).opted_out_at is not None
    assert Posted.objects.count() == 30


def test_messages_are_heard_in_the_order_in_which_they_came() -> None:
    main = phones()
    post(main, *(Inbound(f"in-{n}", ADA, text, device="1", sim=0) for n, text in enumerate(("STOP", "START", "stop"))))
    posted.work()
    assert Contact.objects.get(number=ADA).opted_out_at is not None
    assert [m.text for m in Message.objects.filter(status="received").order_by("pk")] == ["STOP", "START", "stop"]


# --- What is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PROPFIND"])
def test_other_methods_are_refused(method: str, account: ProviderAccount) -> None:
    reply = Client().generic(method, f"/callbacks/{account.callback_token}/", b"{}")
    assert (reply.status_code, reply["Allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", b"x" * (callbacks.BODY_LIMIT + 1), 413),
        ("?" + "&".join(["a=b"] * (callbacks.FIELDS + 1)), b"{}", 400),
        ("?a=%00%ff%zz&%ff", b"{}", 401),
        ("", b"[" * 100_000, 401),
        ("", b'{"event": ' + b"9" * 5_000 + b"}", 401),
    ],
    ids=["long", "fields", "encoding", "deep", "integer"],
)
def test_what_is_refused_says_why(path: str, body: bytes, status: int, account: ProviderAccount) -> None:
    reply = Client().post(f"/callbacks/{account.callback_token}/{path}", body, content_type="application/json")
    assert reply.status_code == status and reply.json()["error"].endswith(".")


def test_a_nul_in_the_address_is_stored_as_a_sign_that_can_be(account: ProviderAccount) -> None:
    message = sent(account)
    request = posting.written(account, report(), SECRET)
    headers = {name: value for name, value in request.headers.items() if name != "content-type"}
    url = f"/callbacks/{account.callback_token}/?a=%00&%00=b"
    assert Client().post(url, request.body, content_type="application/json", headers=headers).status_code == 200
    posted.work()
    assert status_of(message) == "delivered"


def test_an_adapter_that_trips_is_no_failure_of_ours(
    account: ProviderAccount, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(account.kind_class, "read_post", lambda adapter, request: 1 // 0)
    assert post(account, report()) == 400
    assert "could not be read" in caplog.text and not Posted.objects.exists()


@pytest.mark.parametrize("token", ["nosuch", "%00", "%ff%fe", "x" * 3_000])
def test_an_address_that_is_nobodys_is_not_found(token: str) -> None:
    reply = Client().post(f"/callbacks/{token}/", b"{}", content_type="application/json")
    assert reply.status_code == 404 and reply.json()["error"].endswith(".")


def test_a_body_may_come_in_chunks(account: ProviderAccount) -> None:
    message, written = sent(account), posting.written(account, report(), SECRET)
    request = RequestFactory().generic("POST", "/", headers=dict(written.headers))
    request.META |= {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "", "wsgi.input": BytesIO(written.body)}
    assert callbacks.callback(request, account.callback_token).status_code == 200
    posted.work()
    assert status_of(message) == "delivered"


def test_a_post_that_breaks_off_is_no_failure_of_ours(account: ProviderAccount) -> None:
    class Broken(BytesIO):
        def read(self, *args: Any) -> bytes:
            raise ConnectionResetError("gone")

    request = RequestFactory().post("/", b"{}", content_type="application/json")
    request._stream = Broken()
    assert callbacks.callback(request, account.callback_token).status_code == 400
