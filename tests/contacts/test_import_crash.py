"""kill -9 of the workers in the middle of an import: it goes on, and every row counts once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.forms import Forms
from tests.server import Server, interrupted, until

pytestmark = pytest.mark.server

ROWS = 60_000


def table() -> bytes:
    """Every tenth row repeats the number before it, every hundredth has none."""
    rows = (
        f"{'nobody' if n % 100 == 55 else f'+1555{n - (n % 10 == 1):07d}'},Person {n},Some street {n} in some town\n"
        for n in range(ROWS)
    )
    return "".join(rows).encode()


def start_import(server: Server) -> None:
    """Upload the table and begin, as a person does."""
    token = Forms(server.get("/imports/").text).with_field("token")
    files = {"file": ("people.csv", table())}
    draft = server.session.post(server.url + "/imports/", data=token, files=files, timeout=60)
    filled = Forms(draft.text).with_field("encoding") | {"new_list": "All", "start": "1"}
    reply = server.session.post(f"{draft.url}begin/", data=filled, headers={"referer": draft.url}, timeout=60)
    assert reply.status_code == 200, reply.text[:2000]


def progress(server: Server) -> tuple[str, int]:
    [(state, rows)] = server.query("SELECT state, rows FROM contacts_import")
    return state, rows


def interrupt(server: Server) -> bool:
    server.log_in()
    start_import(server)
    until("some rows to be there", lambda: progress(server)[1], pause=0.01)
    server.kill_workers()
    return progress(server)[0] == "running"


def test_an_import_goes_on_after_its_workers_were_killed(new_installation: Callable[[], dict[str, str]]) -> None:
    with interrupted(new_installation, interrupt, SMSDASH_DEMO="0", SMSDASH_WORKERS="1") as server:
        until("the import to end", lambda: progress(server)[0] == "done")
        [counts] = server.query("SELECT rows, added, updated, skipped, rejected FROM contacts_import")
        assert counts == (ROWS, ROWS * 89 // 100, 0, ROWS // 10, ROWS // 100)
        assert server.query("SELECT count(*) FROM contacts_contact") == [(counts[1],)]
        assert server.query("SELECT members, subscribed FROM contacts_contactlist") == [(counts[1], counts[1])]
        assert server.query("SELECT count(*) FROM contacts_importreject") == [(counts[4],)]
        assert server.query("SELECT count(*) FROM contacts_importchunk") == [(0,)]
        assert server.faults() == []
