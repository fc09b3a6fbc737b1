"""Two installations, each with its own database and keys: one sends through the other, and that one to the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests import feeding
from tests.server import Server, until

pytestmark = [pytest.mark.server, pytest.mark.once]
NUMBERS = [f"+1555010000{n}" for n in range(5)]
TEXT = "Through two of them"


def test_messages_pass_through_both_and_their_ends_come_back(new_installation: Callable[[], dict[str, str]]) -> None:
    there = Server(new_installation(), SMSDASH_WORKERS="1")
    here = Server(new_installation(), "", SMSDASH_WORKERS="1", SMSDASH_WEB="0", SMSDASH_DEMO="0")
    with there, here:
        key = json.loads(there.manage("create_api_key", "Other", "--account", "Phones on the shelf (sandbox)"))["key"]
        near = {"name": "Near", "kind": "smsgateway", "base_url": there.url, "key": key, "rates": []}
        campaign = {"account": "Near", "numbers": NUMBERS, "text": TEXT}
        feeding.feed(here, {"accounts": [near], "campaigns": [campaign]})
        mine = f"SELECT number, status FROM messaging_message WHERE text = '{TEXT}' ORDER BY number"
        delivered = [(number, "delivered") for number in NUMBERS]
        until("all to be delivered here", lambda: here.query(mine) == delivered)
        assert there.query(mine) == delivered
        carried = there.query(f"SELECT number FROM sandbox_message WHERE text = '{TEXT}' ORDER BY number")
        assert carried == [(number,) for number in NUMBERS]
        for server in (here, there):
            server.kill_everything()
