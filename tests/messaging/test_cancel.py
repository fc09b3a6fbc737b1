from __future__ import annotations

from typing import Any

import pytest

from messaging import cancel, ledger
from messaging.models import Lease, Message
from providers.models import Exchange, ProviderAccount

pytestmark = pytest.mark.django_db


def message(main: ProviderAccount, **values: Any) -> Message:
    return ledger.insert([Message(account=main, number="+37255512345", text="Hello", **values)])[0]


@pytest.mark.parametrize("status", [*ledger.FROM, "received"])
def test_it_cancels_what_waits_and_nothing_else(main: ProviderAccount, status: str) -> None:
    row = message(main, status=status)
    waits = status in ("queued", "scheduled")
    assert cancel.cancel([row.pk], "alice") == waits
    row.refresh_from_db()
    assert row.status == ("canceled" if waits else status)
    assert (row.error_text == "Canceled by alice.") == waits == bool(row.done_at)


def test_a_message_on_its_way_is_left_alone_though_it_looks_queued(main: ProviderAccount) -> None:
    flying, waiting = message(main), message(main)
    Exchange.objects.create(account=main, verb="send", open=True, refs=[flying.pk])
    assert cancel.cancel([flying.pk, waiting.pk], "alice") == 1
    assert dict(Message.objects.values_list("pk", "status")) == {flying.pk: "queued", waiting.pk: "canceled"}


def test_a_drain_learns_that_what_it_read_ahead_is_void(main: ProviderAccount) -> None:
    cancel.cancel([message(main).pk], "alice")
    assert Lease.objects.get(account=main).epoch == 1
