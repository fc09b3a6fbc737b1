"""Received messages: stored once, from callbacks and from asking, and what STOP does at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from contacts.models import ConsentEvent, Contact, OptOutText, OptOutWord
from messaging import admission, conduct, inbound, ledger
from messaging.backlog import Waiting
from messaging.models import Answer, Campaign, Conversation, Message
from providers import traces
from providers.models import Exchange, ProviderAccount
from providers.types import Inbound
from tests.base import account, signed_in
from tests.contacts.base import fill_words
from tests.posting import post_callback

from .conversations import ADA, BO, conversation, phones, sent, write

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def words(db: None) -> None:
    fill_words()


@pytest.fixture
def main() -> ProviderAccount:
    return phones()


@pytest.fixture
def voip() -> ProviderAccount:
    return account("Overseas", kind="voipcommunications")


def post(
    to: ProviderAccount, body: str, content_type: str = "application/x-www-form-urlencoded", query: str = ""
) -> int:
    return post_callback(to, body, content_type, query)


def statuses(number: str = ADA) -> list[tuple[str, str]]:
    return [(message.status, message.error_code) for message in sent(number)]


# --- Stored once -------------------------------------------------------------------------------------------


def test_the_same_id_again_is_nothing_new(main: ProviderAccount) -> None:
    event = Inbound("7", ADA, "Hello")
    assert inbound.receive(main, event) is not None
    assert inbound.receive(main, event) is None
    assert inbound.receive(phones("Second"), event) is not None
    assert conversation().version == 2


def test_words_without_an_id_are_a_repetition_for_some_minutes(main: ProviderAccount) -> None:
    event = Inbound("made-of-words", ADA, "STOP", made_up=True)
    first = inbound.receive(main, event)
    assert first is not None and inbound.receive(main, event) is None
    Message.objects.filter(pk=first.pk).update(created_at=timezone.now() - timedelta(hours=1))
    assert inbound.receive(main, event) is not None


@pytest.mark.parametrize(
    ("body", "content_type", "query"),
    [
        ("from=37255500001&to=17134567890&msg=Yes+%26+no", "application/x-www-form-urlencoded", ""),
        ('{"sender": "+37255500001", "recipient": "17134567890", "text": "Yes & no"}', "application/json", ""),
        ("", "application/x-www-form-urlencoded", "?msisdn=37255500001&did=17134567890&message=Yes+%26+no"),
    ],
    ids=["form", "json", "query"],
)
def test_a_reply_whose_fields_nobody_documented_is_stored_with_its_post(
    body: str, content_type: str, query: str, voip: ProviderAccount
) -> None:
    assert post(voip, body, content_type, query) == 200
    message = Message.objects.get()
    assert (message.number, message.text, message.sender) == (ADA, "Yes & no", "+17134567890")
    kept = traces.unpack(Exchange.objects.get(pk=message.exchange))
    assert kept is not None and kept.request_body == body and kept.url.endswith(query)
    assert voip.callback_token not in kept.url
    page = signed_in().get(f"/messages/{message.pk}/").text
    assert "Exchanges with the provider" in page


def test_a_post_that_is_not_understood_is_kept_too(voip: ProviderAccount) -> None:
    assert post(voip, "absender=37255500001&nachricht=Ja") == 400
    kept = traces.unpack(Exchange.objects.get())
    assert kept is not None and kept.status == 400 and "nachricht=Ja" in kept.request_body
    assert post(voip, "") == 400
    assert Exchange.objects.count() == 1


def test_names_and_short_codes_have_conversations_too(main: ProviderAccount) -> None:
    write(main, number="Amazon")
    write(main, number="12345")
    assert set(Conversation.objects.values_list("number", flat=True)) == {"Amazon", "12345"}


# --- STOP ------------------------------------------------------------------------------------------------


def waiting(at: ProviderAccount, number: str = ADA, status: str = "queued", **values: Any) -> Message:
    return ledger.insert([Message(account=at, number=number, text="Sale", status=status, **values)])[0]


def test_stop_skips_what_waits_for_them_at_every_account(main: ProviderAccount, voip: ProviderAccount) -> None:
    sale = Campaign.objects.create(account=main, name="Sale", text="Sale", total=2, expanded=2, complete=True)
    for message in (waiting(main, campaign=sale), waiting(voip), waiting(main, status="scheduled")):
        assert message.status in ("queued", "scheduled")
    waiting(main, BO, campaign=sale)
    write(main, "stop")
    assert statuses()[:3] == [("canceled", "opted_out")] * 3
    assert statuses(BO) == [("queued", "")]
    sale.refresh_from_db()
    found = conduct.balance(sale)
    assert (found.skipped, found.waiting, found.canceled, dict(found.reasons)) == (1, 1, 0, {"opted_out": 1})


def test_what_is_on_its_way_when_they_stop_is_left_alone(main: ProviderAccount) -> None:
    flying = waiting(main)
    traces.open_for(main.pk, "send", [[flying.pk]])
    write(main, "stop")
    assert statuses()[0] == ("queued", "")


def test_the_proof_names_message_account_and_time(main: ProviderAccount) -> None:
    message = write(main, "Stop!")
    proof = ConsentEvent.objects.get().proof
    assert proof["message"] == message.pk and proof["account"] == "Phones" and proof["text"] == "Stop!"
    assert proof["at"] == message.created_at.isoformat()


def test_stop_is_confirmed_once_and_the_confirmation_may_leave(main: ProviderAccount, settings: Any) -> None:
    settings.SMSDASH_STOP_TEXT = "Bye."
    write(main, "stop")
    write(main, "STOP")
    assert [(message.text, message.status, message.device) for message in sent()] == [("Bye.", "queued", "7")]
    assert Answer.objects.get().confirms
    other = waiting(main)
    assert [m.id for m in _admitted(main, sent())] == [sent()[0].pk]
    other.refresh_from_db()
    assert (other.status, other.error_code) == ("canceled", "opted_out")


@pytest.mark.parametrize(
    ("word", "told"),
    [("退订", "您已退订"), ("abmelden", "Sie sind abgemeldet"), ("STOP", "Bye."), ("ARRÊT", "Vous ne recevrez plus")],
)
def test_they_are_answered_in_the_language_of_their_word(
    word: str, told: str, main: ProviderAccount, settings: Any
) -> None:
    settings.SMSDASH_STOP_TEXT = "Bye."
    write(main, word)
    write(main, "stop")
    assert len(sent()) == 1 and sent()[0].text.startswith(told)


@pytest.mark.parametrize(("usual", "told"), [("Welcome back.", "Taas siin."), ("", "")])
def test_the_answers_are_an_administrators_choice(usual: str, told: str, main: ProviderAccount, settings: Any) -> None:
    settings.SMSDASH_STOP_TEXT, settings.SMSDASH_START_TEXT, settings.SMSDASH_HELP_TEXT = "", usual, "Help."
    OptOutWord.objects.create(word="Jätka", kind="start", language="et")
    OptOutText.objects.create(kind="start", language="et", text="Taas siin.")
    OptOutText.objects.filter(kind="help", language="zh").update(text="")
    write(main, "stop")
    write(main, "jätka")
    assert [message.text for message in sent()] == ([told] if told else [])
    write(main, "帮助", number=BO)
    assert not sent(BO)
    write(main, "help", number=BO)
    assert [message.text for message in sent(BO)] == ["Help."]


def _admitted(at: ProviderAccount, messages: list[Message]) -> list[Waiting]:
    """Those that the last door lets through."""
    rows = [
        Waiting(m.pk, m.number, m.text, "", "sms", 0, 0, None, "", None, m.campaign_id, "", "[]", None, 0)
        for m in messages
    ]
    return [m for request in admission.Door(at).admit([rows]) for m in request]


def test_start_brings_them_back_and_says_so(main: ProviderAccount, settings: Any) -> None:
    settings.SMSDASH_STOP_TEXT, settings.SMSDASH_START_TEXT = "", "Welcome back."
    write(main, "stop")
    assert not sent()
    write(main, "start")
    assert not Contact.objects.filter(opted_out_at__isnull=False).exists()
    assert [message.text for message in sent()] == ["Welcome back."]


def test_a_near_miss_is_put_before_a_person_who_can_opt_them_out(main: ProviderAccount) -> None:
    write(main, "stop please")
    assert (conversation().flag, Contact.objects.count()) == ("near_miss", 0)
    message, client, url = waiting(main), signed_in(), f"/inbox/{conversation().pk}/"
    assert "They may want to opt out" in client.get(url).text
    client.post(f"{url}act/", {"action": "opt_out"})
    message.refresh_from_db()
    assert (conversation().flag, message.error_code) == ("", "opted_out")
    assert ConsentEvent.objects.get().proof["text"] == "stop please"


def test_somebody_can_look_and_find_that_it_is_fine(main: ProviderAccount) -> None:
    write(main, "don't stop")
    signed_in().post(f"/inbox/{conversation().pk}/act/", {"action": "looked"})
    assert (conversation().flag, Contact.objects.count()) == ("", 0)
