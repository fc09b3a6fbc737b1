"""The main job, as a person does it: log in, add accounts, write to fifty numbers through each, watch them arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from providers import registry
from providers.types import Feature, Status
from tests.server import Server, until

pytestmark = pytest.mark.server

GOOD = [f"+1555700{n:04d}" for n in range(1, 47)]
UNREACHABLE, EXPIRES, SILENT, REFUSED = "+15557001901", "+15557001902", "+15557001903", "+15557001908"
KNOWS_NO_END = {"customersms", "voipcommunications"}  # nothing on these wires says more than that it was taken


@pytest.fixture(scope="module")
def server(new_installation: Callable[[], dict[str, str]]) -> Iterator[Server]:
    with Server(new_installation(), SMSDASH_WORKERS="3") as server:
        server.log_in()
        yield server


@pytest.fixture(scope="module")
def sent(server: Server) -> dict[str, dict[str, str]]:
    """Status by number, for each kind, once nothing changes any more."""
    accounts = {kind: add_account(server, kind) for kind in registry.kinds()}
    for pk in accounts.values():
        compose(server, pk)
    open_end = f"m.status = 'sent' AND m.number <> '{SILENT}' AND a.kind NOT IN ({', '.join(map(repr, KNOWS_NO_END))})"
    moving = f"m.status IN ('queued', 'sending') OR {open_end}"
    until("all to arrive", lambda: not rows(server, f"a.name LIKE 'My %' AND ({moving})"))
    return {
        kind: dict(rows(server, f"m.account_id = {pk} AND m.status <> 'received'")) for kind, pk in accounts.items()
    }


def add_account(server: Server, kind: str) -> int:
    adapter = registry.adapter_class(kind)
    values = {"api_password": "sandbox-secret"}
    credentials = {
        f"credential_{field.name}": values.get(field.name, "sandbox-first-day")
        for field in adapter.fields
        if field.secret
    }
    address = f"{server.url}/sandbox/{kind}{adapter.base_url_ends}"
    reply = server.submit(f"/accounts/add/?kind={kind}", name=f"My {kind}", base_url=address, **credentials)
    assert f"My {kind} is added" in reply.text
    return int(reply.url.rstrip("/").rsplit("/", 1)[1])


def compose(server: Server, account: int) -> requests.Response:
    everybody = [*GOOD, UNREACHABLE, EXPIRES, SILENT, REFUSED]
    reply = server.submit("/compose/", account=str(account), numbers="\n".join(everybody), text="Hello!")
    assert "/messages/?campaign=" in reply.url, reply.text
    return reply


def rows(server: Server, where: str) -> list[tuple[str, str]]:
    tables = "messaging_message m JOIN providers_provideraccount a ON a.id = m.account_id"
    return [(row[0], row[1]) for row in server.query(f"SELECT m.number, m.status FROM {tables} WHERE {where}")]


@pytest.mark.parametrize("kind", list(registry.kinds()))
def test_every_good_number_gets_it(kind: str, sent: dict[str, dict[str, str]]) -> None:
    best = Status.SENT if kind in KNOWS_NO_END else Status.DELIVERED
    assert {sent[kind][number] for number in GOOD} == {best}


@pytest.mark.parametrize("kind", list(registry.kinds()))
def test_a_refused_number_fails_alone(kind: str, sent: dict[str, dict[str, str]]) -> None:
    assert sent[kind][REFUSED] == Status.FAILED


@pytest.mark.parametrize("kind", [kind for kind in registry.kinds() if kind not in KNOWS_NO_END])
def test_each_bad_number_has_its_own_end(kind: str, sent: dict[str, dict[str, str]]) -> None:
    ends = (
        {Status.FAILED, Status.EXPIRED}
        if Feature.REPORTS not in registry.adapter_class(kind).supports
        else {Status.EXPIRED}
    )
    assert sent[kind][UNREACHABLE] == Status.FAILED
    assert sent[kind][EXPIRES] in ends
    assert sent[kind][SILENT] == Status.SENT


def test_the_log_shows_them(server: Server, sent: dict[str, dict[str, str]]) -> None:
    page = server.get("/messages/?number=15557001908").text
    assert REFUSED in page and "Failed" in page


def test_the_log_needs_a_login(server: Server) -> None:
    reply = requests.get(server.url + "/messages/", timeout=60)
    assert "/login/" in reply.url
