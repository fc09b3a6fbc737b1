from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django_q.brokers import get_broker
from django_q.brokers.orm import ORM

from smsdash import broker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.mark.parametrize(("verb", "arguments"), [("dequeue", ()), ("set_stat", ("q", "alive", 3))])
def test_a_database_that_is_away_ends_no_worker_cluster(
    monkeypatch: pytest.MonkeyPatch, verb: str, arguments: tuple[object, ...]
) -> None:
    def fail(*arguments: object) -> None:
        connection.ensure_connection()
        raise OperationalError("The server closed the connection.")

    monkeypatch.setattr(broker, "AGAIN", 0.0)
    monkeypatch.setattr(ORM, verb, fail)
    assert getattr(get_broker(), verb)(*arguments) is None
    assert connection.connection is None, "the next look opens another one"
