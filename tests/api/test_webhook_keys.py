"""What webhooks are signed with after their API key was rotated, as receivers see it who know one key alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone

from api import deliveries, keys
from api.deliveries import Result
from api.models import ApiKey, Delivery, Webhook
from providers.guard import Answer
from tests.api.hooks import api_key, webhook
from tests.api.test_formats import php

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
BODY = "messages=%5B%5D"


def tries(row: Webhook, known: str) -> int:
    """The tries that it takes until a receiver takes a post which knows this key."""
    made = Delivery.objects.create(webhook=row, event="message.failed", body=BODY)
    for n in range(1, 5):
        Delivery.objects.filter(pk=made.pk).update(next_at=timezone.now(), claimed_until=None)
        (post,) = deliveries.claim(row, 1)
        try:
            php(post.body, post.headers, known)
        except AssertionError:
            deliveries.record([(post, Result(Answer(401, {}, b""), 1, "It answered with the status 401."))])
            continue
        deliveries.record([(post, Result(Answer(204, {}, b""), 1))])
        return n
    return 0


def test_while_two_keys_work_a_receiver_may_know_either() -> None:
    row, other = api_key(), api_key("other")
    hook, beside = webhook(format="smsgateway", key=row), webhook(format="smsgateway", key=row)
    old = row.sealed["key"]
    new, _secret = keys.rotate(row, DAY)
    known = [old, old, new, new, old, old]  # the program changes over, and back
    assert [tries(hook, key) for key in known] == [1, 1, 2, 1, 2, 1]
    assert tries(beside, old) == 1
    newest, _secret = keys.rotate(row, DAY)
    assert [tries(hook, key) for key in (new, newest, newest)] == [1, 2, 1]
    assert tries(hook, old) == 0
    assert tries(webhook(format="smsgateway", key=other), other.sealed["key"]) == 1


def test_after_the_overlap_it_is_the_new_key_alone() -> None:
    row = api_key()
    hook, old = webhook(format="smsgateway", key=row), row.sealed["key"]
    new, _secret = keys.rotate(row, DAY)
    ApiKey.objects.update(previous_until=timezone.now())
    assert (tries(hook, new), tries(hook, old)) == (1, 0)
    newest, _secret = keys.rotate(row, timedelta(0))
    Delivery.objects.all().delete()
    assert (tries(hook, newest), tries(hook, new)) == (1, 0)


def test_a_key_that_nobody_can_unseal_is_rotated_all_the_same(settings: Any) -> None:
    row = api_key()
    hook = webhook(format="smsgateway", key=row)
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    Webhook.objects.update(sealed={"secret": "x"})
    new, _secret = keys.rotate(row, DAY)
    assert tries(hook, new) == 1
