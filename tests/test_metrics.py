"""``/metrics``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries

from messaging import ledger
from messaging.models import Message, Worker
from tests.base import account

pytestmark = pytest.mark.django_db


def read(client: Client) -> dict[tuple[str, ...], float]:
    reply = client.get("/metrics")
    assert (reply.status_code, reply["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = text_string_to_metric_families(reply.content.decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@pytest.mark.parametrize("allowed", [[], ["10.0.0.0/8"]])
def test_it_is_off_unless_somebody_may_read_it(client: Client, settings: Any, allowed: list[str]) -> None:
    settings.SMSDASH_METRICS = allowed
    assert client.get("/metrics").status_code == 404


def test_it_tells_what_waits_and_who_sends(client: Client, settings: Any) -> None:
    settings.SMSDASH_METRICS = ["127.0.0.0/8"]
    row = account("Main", credits=12, credits_seen_at=timezone.now())
    account("Spare", "customersms", paused_reason="Who are you?")
    due = timezone.now() - timedelta(minutes=2)
    ledger.insert([Message(account=row, number="+37255512345", text="x", status="queued", due_at=due)] * 1)
    Worker.objects.create(name="here", progress_at=timezone.now())
    found = read(client)
    assert found["smsdash_messages", "Main", "queued"] == 1
    assert 120 <= found["smsdash_oldest_due_seconds", "Main"] < 180
    assert found["smsdash_account_sending", "Main", row.kind] == 1
    assert found["smsdash_account_sending", "Spare", "customersms"] == 0
    assert found["smsdash_account_credits", "Main"] == 12
    assert ("smsdash_account_credits", "Spare") not in found
    assert (found["smsdash_workers",], found["smsdash_deliveries_waiting",]) == (1, 0)


def test_it_counts_no_messages(
    client: Client, settings: Any, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    settings.SMSDASH_METRICS = ["127.0.0.1"]
    account("Main")
    with django_assert_max_num_queries(8) as seen:
        read(client)
    assert not [
        query["sql"] for query in seen.captured_queries if "COUNT" in query["sql"] and "_message" in query["sql"]
    ]
