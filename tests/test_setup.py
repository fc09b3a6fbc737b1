from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from messaging import ledger
from messaging.models import Message, Tally
from providers.models import ProviderAccount
from smsdash import demo, setup

pytestmark = pytest.mark.django_db(transaction=True)


def said(work: object) -> list[str]:
    lines: list[str] = []
    work(lines.append)  # type: ignore[operator]
    return lines


def test_a_ready_database_is_left_alone() -> None:
    assert said(setup._database) == []


def test_a_first_start_that_was_killed_half_way_is_completed() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE smsdash_cache")
    assert said(setup._database) == ["Preparing the database …"]
    assert "smsdash_cache" in connection.introspection.table_names()


def test_the_first_administrator_gets_a_random_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMSDASH_ADMIN_PASSWORD", raising=False)
    (line,) = said(setup._administrator)
    assert get_user_model().objects.get(username="admin").check_password(line.removeprefix("admin password: "))
    assert said(setup._administrator) == []


def test_a_given_password_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSDASH_ADMIN_PASSWORD", "correct-horse")
    assert said(setup._administrator) == []
    assert get_user_model().objects.get(username="admin").check_password("correct-horse")


def test_the_demo_has_an_account_of_each_kind_and_a_week_that_is_counted() -> None:
    demo.load(lambda line: None)
    assert ProviderAccount.objects.values_list("kind").distinct().count() == 4
    total = sum(Tally.objects.filter(hour=0, campaign_id=0).values_list("n", flat=True))
    assert total == Message.objects.count() > 1000
    assert {ledger.hour_of(m.created_at) for m in Message.objects.all()} == set(
        Tally.objects.filter(hour__gt=0).values_list("hour", flat=True)
    )


def test_the_demo_is_loaded_once_and_follows_the_port(settings: object) -> None:
    demo.load(lambda line: None)
    before = Message.objects.count()
    settings.PORT = 9999  # type: ignore[attr-defined]
    assert said(demo.load) == []
    assert Message.objects.count() == before
    assert all(":9999/sandbox/" in account.base_url for account in ProviderAccount.objects.all())
