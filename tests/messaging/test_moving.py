"""What waits for a phone, given to others."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from messaging import ledger, moving, waiting
from messaging.models import Message
from providers.models import Exchange, ProviderAccount
from tests.base import account, dated, signed_in
from tests.devices.base import phone

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf() -> ProviderAccount:
    row = account("Shelf", "smsgateway")
    phone(row, "1", 0, name="Desk", primary=True)
    phone(row, "2", 0, 1, name="Shed")
    phone(row, "3", 0, name="Attic")
    return row


def messages(shelf: ProviderAccount, n: int = 1, **values: object) -> list[int]:
    values = {"device": "2", "sim": 0, "number": "+15550100001", "text": "x", **values}
    return [m.pk for m in ledger.insert([Message(account=shelf, **values) for _ in range(n)])]


def where(ids: list[int]) -> Counter[tuple[str, int | None]]:
    return Counter(Message.objects.filter(pk__in=ids).values_list("device", "sim"))


def test_what_waits_goes_to_the_others_evenly(shelf: ProviderAccount) -> None:
    ids = messages(shelf, 5) + messages(shelf, 4, status="scheduled", due_at=timezone.now() + timedelta(days=1))
    done = moving.move(shelf.devices.get(device_id="2"), [("1", 0), ("3", None)])
    assert (done, where(ids)) == (moving.Moved(9, 0, more=False), {("1", 0): 5, ("3", None): 4})
    later = Message.objects.filter(status="scheduled", due_at__gt=timezone.now() + timedelta(hours=23))
    assert later.count() == 4


def test_what_has_left_is_for_other_phones_or_accounts_stays(shelf: ProviderAccount) -> None:
    flying = messages(shelf)
    Exchange.objects.create(account=shelf, verb="send", open=True, refs=flying)
    other = account("Other", "smsgateway")
    stays = [
        *flying, *messages(shelf, status="sent"), *messages(shelf, status="sending"), *messages(shelf, status="failed"),
        *messages(shelf, device="3"), *messages(other),
    ]  # fmt: skip
    before = list(Message.objects.filter(pk__in=stays).order_by("pk").values("device", "sim", "due_at"))
    done = moving.move(shelf.devices.get(device_id="2"), [("1", None)])
    assert (done.n, done.late) == (0, 1)
    assert list(Message.objects.filter(pk__in=stays).order_by("pk").values("device", "sim", "due_at")) == before


def test_what_names_no_phone_waits_for_the_primary_one(shelf: ProviderAccount) -> None:
    ids = messages(shelf, device="", sim=None)
    assert moving.move(shelf.devices.get(device_id="2"), [("3", None)]).n == 0
    assert moving.move(shelf.devices.get(device_id="1"), [("3", None)]).n == 1
    assert where(ids) == {("3", None): 1}


def test_what_the_sim_put_off_goes_at_once(shelf: ProviderAccount) -> None:
    later = timezone.now() + timedelta(hours=1)
    held = messages(shelf, due_at=later, error_code="sim_limit", error_text="Its SIM …")
    retried = messages(shelf, due_at=later, error_code="busy", error_text="Busy.")
    moving.move(shelf.devices.get(device_id="2"), [("1", None)])
    held_now, retried_now = Message.objects.get(pk=held[0]), Message.objects.get(pk=retried[0])
    assert (held_now.due_at <= timezone.now(), held_now.error_code, held_now.error_text) == (True, "", "")
    assert (retried_now.due_at, retried_now.error_code) == (later, "busy")


def test_a_long_queue_is_moved_in_slices_and_no_further_than_at_once(
    shelf: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "SLICE", 2)
    monkeypatch.setattr(moving, "AT_ONCE", 4)
    ids = messages(shelf, 5)
    desk = shelf.devices.get(device_id="2")
    assert moving.count(desk) == 4
    assert moving.move(desk, [("1", None), ("3", None)]) == moving.Moved(4, 0, more=True)
    assert where(ids) == {("1", None): 2, ("3", None): 2, ("2", 0): 1}


# --- The page ----------------------------------------------------------------------------------------


def test_an_operator_moves_what_waits(shelf: ProviderAccount) -> None:
    ids, shed = messages(shelf, 3), shelf.devices.get(device_id="2")
    shelf.devices.filter(device_id="3").update(paused_at=timezone.now())
    client, url = signed_in(), f"/messages/move/{shed.pk}/"
    page = client.get(url).content.decode()
    assert "3 messages wait for this phone." in page and 'value="1|0"' in page
    assert 'value="2"' not in page and 'value="3"' not in page
    assert "Check the phones" in client.post(url).content.decode()
    assert "gone, paused or switched off" in client.post(url, {"to": "3"}).content.decode()
    answer = client.post(url, {"to": "1|0"}, follow=True)
    assert answer.redirect_chain == [(f"/devices/{shed.pk}/", 302)]
    assert "3 messages go through other phones." in answer.content.decode()
    assert where(ids) == {("1", 0): 3}
    assert "Nothing waits for this phone." in client.get(url).content.decode()


def test_without_another_phone_it_says_so(shelf: ProviderAccount) -> None:
    messages(shelf)
    shelf.devices.exclude(device_id="2").update(enabled=False)
    page = signed_in().get(f"/messages/move/{shelf.devices.get(device_id='2').pk}/").content.decode()
    assert "No other phone of Shelf is switched on" in page


# --- Why it waits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "paused", "words"),
    [
        ({}, "phone", "Shed is paused. Resume it"),
        ({}, "sim", "Shed · 0 is paused. Resume it"),
        ({"due_at": timedelta(minutes=5), "error_code": "sim_limit"}, "phone", "Shed is paused."),
        ({}, "gone", "no longer lists the phone Shed"),
    ],
)
def test_a_message_says_that_its_phone_is_paused(
    message: dict[str, object], paused: str, words: str, shelf: ProviderAccount
) -> None:
    shed, now = shelf.devices.get(device_id="2"), timezone.now()
    if paused == "sim":
        shed.sims.filter(slot=0).update(paused_at=now)
    else:
        shelf.devices.filter(pk=shed.pk).update(**{"gone_at" if paused == "gone" else "paused_at": now})
    found = waiting._phone(Message.objects.get(pk=messages(shelf, **dated(message))[0]), now)
    assert found is not None and words in found.text and found.attention


def test_what_the_paused_primary_phone_put_off_says_so(shelf: ProviderAccount) -> None:
    shelf.devices.filter(device_id="1").update(paused_at=timezone.now())
    later = timezone.now() + timedelta(minutes=1)
    pk = messages(shelf, device="", sim=None, due_at=later, error_code="sim_limit", error_text="Its SIM …")[0]
    found = waiting._not_yet(Message.objects.get(pk=pk), timezone.now())
    assert found is not None and "Desk is paused." in found.text
