from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from contacts.models import Contact
from messaging import ledger
from messaging.models import Message
from providers.models import ProviderAccount
from providers.types import Inbound, Status
from tests import posting
from tests.posting import post_callback

pytestmark = pytest.mark.django_db

SECRET = "webhook-secret-1"
EVENT = {"event": "message.delivered", "message_id": "msg_1", "to": "+11234567890", "status": "delivered"}


@pytest.fixture
def account() -> ProviderAccount:
    account = ProviderAccount(name="Main", kind="smsprovider", base_url="http://127.0.0.1:9/v1")
    account.set_credentials({"api_key": "key-1234567890", "webhook_secret": SECRET})
    account.save()
    return account


@pytest.fixture
def phones() -> ProviderAccount:
    account = ProviderAccount(name="Phones", kind="smsgateway", base_url="http://127.0.0.1:9")
    account.set_credentials({"api_key": SECRET})
    account.save()
    return account


@pytest.fixture
def message(account: ProviderAccount) -> Message:
    row = Message(account=account, number="+11234567890", text="x", status="sent", provider_id="msg_1")
    return ledger.insert([row])[0]


def sign(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def post(account: ProviderAccount, body: bytes, signature: str | None = None) -> int:
    return post_callback(account, body, x_smsprovider_signature=sign(body) if signature is None else signature)


def post_event(account: ProviderAccount, event: Inbound, secret: str = SECRET) -> int:
    return posting.post_event(account, event, secret)


def test_an_account_names_the_address_where_posts_to_it_are_taken(account: ProviderAccount, settings: Any) -> None:
    settings.SMSDASH_PUBLIC_URL = "https://sms.example"
    assert account.callback_url == "https://sms.example" + reverse("callbacks", args=[account.callback_token])


def test_a_signed_report_moves_its_message(account: ProviderAccount, message: Message) -> None:
    assert post(account, json.dumps(EVENT).encode()) == 200
    message.refresh_from_db()
    assert message.status == Status.DELIVERED


@pytest.mark.parametrize(
    "signature", ["", "0", "é" * 64, "a" * 64, "A" * 63, "z" * 10_000, "\t", "0x" + "0" * 62], ids=lambda s: repr(s[:9])
)
def test_it_rejects_a_bad_signature(signature: str, account: ProviderAccount, message: Message) -> None:
    assert post(account, json.dumps(EVENT).encode(), signature) == 401
    message.refresh_from_db()
    assert message.status == Status.SENT


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{}", b'{"event": 5}', b"[" * 5000])
def test_garbage_is_refused_with_a_4xx_or_ignored(body: bytes, account: ProviderAccount) -> None:
    assert post(account, body) in (200, 400, 401)


def test_an_unknown_token_is_not_found(db: None) -> None:
    reply = Client().post(reverse("callbacks", args=["nosuch"]), b"{}", content_type="application/json")
    assert reply.status_code == 404


def test_a_get_is_not_an_error_of_ours(account: ProviderAccount) -> None:
    assert Client().get(reverse("callbacks", args=[account.callback_token])).status_code in (400, 401, 405)


def test_a_received_message_is_stored_once(phones: ProviderAccount) -> None:
    event = Inbound("77", "+11234567890", "hi", device="1", sim=0)
    assert [post_event(phones, event) for _ in range(2)] == [200, 200]
    message = Message.objects.get()
    assert (message.status, message.text, message.number) == ("received", "hi", "+11234567890")


def test_a_received_message_with_a_wrong_signature_is_not_stored(phones: ProviderAccount) -> None:
    assert post_event(phones, Inbound("77", "+11234567890", "hi", device="1", sim=0), secret="wrong") == 401
    assert not Message.objects.exists()


@pytest.mark.parametrize("text", ["STOP", "stop", " Stop ", "退订", "UNSUBSCRIBE"])
def test_stop_opts_the_sender_out(text: str, phones: ProviderAccount) -> None:
    post_event(phones, Inbound("78", "+11234567890", text, device="1", sim=0))
    assert Contact.objects.get(number="+11234567890").opted_out_at is not None


@pytest.mark.parametrize("text", ["stop please", "don't stop", "STOPP", ""])
def test_only_the_exact_word_opts_out(text: str, phones: ProviderAccount) -> None:
    post_event(phones, Inbound("78", "+11234567890", text, device="1", sim=0))
    assert not Contact.objects.filter(opted_out_at__isnull=False).exists()


def test_start_opts_back_in(phones: ProviderAccount) -> None:
    post_event(phones, Inbound("78", "+11234567890", "STOP", device="1", sim=0))
    post_event(phones, Inbound("79", "+11234567890", "START", device="1", sim=0))
    assert Contact.objects.get(number="+11234567890").opted_out_at is None


def test_a_nul_in_a_post_is_stored_as_a_sign_that_can_be(account: ProviderAccount, phones: ProviderAccount) -> None:
    """PostgreSQL keeps no NUL; a provider that sends one must not meet a 500 for ever."""
    assert post(account, json.dumps(EVENT | {"message_id": "msg\x00_1", "to": "+1123\x004567890"}).encode()) < 500
    assert post_event(phones, Inbound("77", "+11234567890", "a\x00b", device="1", sim=0)) < 500
