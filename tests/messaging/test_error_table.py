"""Every error on every wire: what becomes of the messages and of the account, and the sentence that the operator reads.

Each row of the table (error_cases.py) has an account whose provider always answers the same. Its messages leave
through a real lane, over real HTTP; when all is quiet, the route of the account carries on what may be carried on.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from messaging import dispatch, drain, ledger, rerouting, routes, verdicts, waiting, wakeup
from messaging.hands import Hands
from messaging.models import Message, Route, RouteMember
from providers import pacing, registry, transport
from providers.models import ProviderAccount
from providers.types import Feature, Reply, Request
from tests.base import account
from tests.messaging.certificates import self_signed
from tests.messaging.error_cases import NUMBERS, End, Row, rows
from tests.messaging.wire_server import Breaks, listening

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = [(kind, row) for kind in registry.kinds() for row in rows(kind)]
Found = dict[tuple[str, str], tuple[End, str]]


def test_every_error_of_every_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(socket, "getaddrinfo", without_names(socket.getaddrinfo))
    holds = noted_holds(monkeypatch)
    with servers(tmp_path) as urls:
        accounts = {(kind, row.name): new_account(kind, row, urls[place]) for place, (kind, row) in enumerate(TABLE)}
        kinds = {kind: [row for key, row in accounts.items() if key[0] == kind] for kind in registry.kinds()}
        made = [new_route(kind, rows) for kind, rows in kinds.items()]
        send(list(accounts.values()))
    found = {key: look(row, holds) for key, row in accounts.items()}
    for route in made:
        rerouting.balance(route.pk)
    found = {key: (with_route(accounts[key], end), read) for key, (end, read) in found.items()}
    expected = {(kind, row.name): row.expected(kind) for kind, row in TABLE}
    assert {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]} == {}
    assert [read for _end, read in found.values() if not is_plain(read)] == []


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", (4.0, 9.0))
    monkeypatch.setattr(transport, "REPLY_LIMIT", 10_000)
    monkeypatch.setattr(transport, "LONGEST", 12.0)
    monkeypatch.setattr(drain, "SLICE", 600.0)
    monkeypatch.setattr(drain, "LINGER", 0.0)
    monkeypatch.setattr(drain, "PATIENCE", 0.0)
    monkeypatch.setattr(dispatch, "LOOK", 5.0)
    monkeypatch.setattr(dispatch, "GLANCE", 5.0)
    monkeypatch.setattr(routes, "GRACE", timedelta(0))
    monkeypatch.setattr(verdicts, "BACKOFF", 600.0)
    monkeypatch.setattr(wakeup, "async_task", lambda *arguments: None)


def noted_holds(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """For how many seconds each account was held first."""
    found: dict[int, float] = {}
    hold = pacing.hold

    def noted(row: ProviderAccount, seconds: float) -> None:
        found.setdefault(row.pk, seconds)
        hold(row, seconds)

    monkeypatch.setattr(pacing, "hold", noted)
    return found


# --- Where the accounts' providers are ---------------------------------------------------------------


def without_names(ask: Callable[..., Any]) -> Callable[..., Any]:
    """A name server that answers at once, and knows nobody of the kind: a real one may be away."""

    def answered(host: str, *arguments: Any, **options: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *arguments, **options)

    return answered


@contextlib.contextmanager
def servers(tmp_path: Path) -> Iterator[list[str]]:
    """The base URL of each row's provider."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    with listening(answer) as plain, listening(answer, tls) as secret, full() as nobody:
        special = {"full": nobody, "plain": plain.url.replace("http", "https"), "self-signed": secret.url}
        yield [
            (special.get(row.says, row.says) if isinstance(row.says, str) else f"{plain.url}/{place}")
            + registry.adapter_class(kind).base_url_ends
            for place, (kind, row) in enumerate(TABLE)
        ]


def answer(name: str, request: Request) -> Reply | Breaks:
    kind, row = TABLE[int(name)]
    if isinstance(row.says, Reply | Breaks):
        return row.says
    assert callable(row.says)
    dialect, ends = registry.dialect(kind), registry.adapter_class(kind).base_url_ends
    op = dialect.operation(replace(request, path=request.path.removeprefix(ends)))
    return row.says(dialect, op)  # type: ignore[arg-type]


@contextlib.contextmanager
def full() -> Iterator[str]:
    """A server that lets nobody in: its queue is full."""
    with contextlib.ExitStack() as sockets:
        server = sockets.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield "http://127.0.0.1:{1}".format(*server.getsockname())


# --- The accounts and their messages -----------------------------------------------------------------


def new_account(kind: str, row: Row, url: str) -> ProviderAccount:
    made = account(f"{kind} {row.name}", kind)
    made.base_url = url
    made.save()
    return made


def new_route(kind: str, accounts: list[ProviderAccount]) -> Route:
    """Over these accounts, with messages for each, and one more that can send."""
    route = Route.objects.create(name=kind)
    members = [*accounts, account(f"{kind} in reserve", kind)]
    RouteMember.objects.bulk_create(RouteMember(route=route, account=member) for member in members)
    ledger.insert([Message(account=row, route=route, number=n, text="Hello") for row in accounts for n in NUMBERS])
    return route


def send(accounts: list[ProviderAccount]) -> None:
    with contextlib.closing(Hands(drain.THREADS)) as hands, ThreadPoolExecutor(1) as writer:
        drainer = drain.Drainer(hands, writer, lambda: None)
        for row in accounts:
            drainer.open(row.pk)
        try:
            drainer.run(accounts[0].pk)
        finally:
            drainer.close()


# --- What came of them -------------------------------------------------------------------------------


def look(row: ProviderAccount, holds: dict[int, float]) -> tuple[End, str]:
    row.refresh_from_db()
    messages = list(Message.objects.filter(account=row).select_related("account", "campaign").order_by("number"))
    statuses = " ".join(message.status for message in messages)
    worst = messages[-1]
    again = ""
    if worst.status == "queued":
        again = "later" if worst.due_at > timezone.now() else "now"
    if worst.status == "uncertain":
        assert bool(worst.poll_at) == row.can(Feature.SEARCH), "asked wherever the wire can tell"
        assert waiting.why(worst).text.endswith(".")  # type: ignore[union-attr]
    if row.paused_reason:
        assert row.paused_reason == worst.error_text
    if row.down_since:
        assert row.down_reason == worst.error_text
    return End(statuses, worst.attempts, again, state(row, holds.get(row.pk))), worst.error_text


def state(row: ProviderAccount, held: float | None) -> str:
    words = ["paused" if row.paused_reason else "", "down" if row.down_since else ""]
    words += [f"held {held:.0f}"] if held else []
    return " ".join(filter(None, words))


def with_route(row: ProviderAccount, end: End) -> End:
    elsewhere = not Message.objects.filter(account=row).exists()
    return end._replace(elsewhere=elsewhere)


def is_plain(sentence: str) -> bool:
    """Whole sentences, and nothing out of a program."""
    whole = re.fullmatch(r"[A-Z].*[.”]", sentence)
    return not sentence or bool(whole and not re.search(r"0x|Error\(|None|\{'", sentence))
