"""What is answered by itself, to whom it never is, and the pages of the rules."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from contacts import optout
from contacts.models import Contact
from devices.models import Device, Sim
from messaging import autoreply
from messaging.models import Answer, AutoReply, Message
from providers.models import ProviderAccount
from tests.base import account, administrator, person, signed_in

from .conversations import ADA, BO, conversation, phones, sent, write

pytestmark = pytest.mark.django_db

URL = "/inbox/replies/"
FORM = {"name": "Prices", "match": "exact", "words": "price\nprices", "text": "10 euros.", "enabled": "on", "place": ""}


@pytest.fixture
def main() -> ProviderAccount:
    return phones()


def rule(**values: Any) -> AutoReply:
    usual = {"name": f"Rule {AutoReply.objects.count()}", "match": "any", "text": "We are closed."}
    return AutoReply.objects.create(**{**usual, **values})


def texts(number: str = ADA) -> list[str]:
    return [message.text for message in sent(number)]


# --- Which rule ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "text", "fits"),
    [
        *(("exact", " PRICE! ", True), ("exact", "price list", False), ("exact", "open hours", True)),
        *(("starts", "Price for two?", True), ("starts", "the price", False), ("starts", "pricey", False)),
        *(
            ("contains", "What is the PRICE?", True),
            ("contains", "overpriced", False),
            ("contains", "priceless", False),
        ),
        *(("contains", "请问价格多少", True), ("contains", "price-list", True), ("contains", "nothing", False)),
        *(("any", "", True), ("any", "nothing", True)),
    ],
)
def test_a_rule_fits_by_its_words(match: str, text: str, fits: bool) -> None:
    made = rule(match=match, words="price\nOpen hours\n价格")
    assert autoreply.matches(made, optout.fold(text)) is fits


def test_the_first_rule_that_fits_answers_through_the_sim_that_received(main: ProviderAccount) -> None:
    rule(position=2, text="second")
    first = rule(position=1, text="first")
    rule(position=0, text="off", enabled=False)
    heard = write(main, device="7", sim=1)
    [made] = sent()
    assert (made.text, made.account, made.device, made.sim, made.priority) == ("first", main, "7", 1, 1)
    assert (Answer.objects.get().rule, Answer.objects.get().heard) == (first, heard.pk)
    assert conversation().preview == "first" and conversation().heard == heard.pk


def test_a_rule_holds_for_its_account_or_sim(main: ProviderAccount) -> None:
    other = phones("Other")
    rule(account=main, device="7", sim=1, text="sim")
    rule(account=main, text="account")
    for number, at, device, sim in ((ADA, main, "7", 1), (BO, main, "7", 0), ("+37255500003", other, "7", 1)):
        write(at, number=number, device=device, sim=sim)
    assert [texts(number) for number in (ADA, BO, "+37255500003")] == [["sim"], ["account"], []]


def test_a_rule_with_hours_holds_outside_of_them() -> None:
    made = rule(hours="Mon-Fri 09:00-17:00", zone="America/New_York")
    message = Message(number=ADA, text="x", account_id=1)
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    found = [autoreply.choose(message, monday + timedelta(hours=hour)) for hour in (13, 14, 21, 22, 24 * 5)]
    assert found == [made, None, None, made, made]


def test_merge_fields_are_the_persons_own_words(main: ProviderAccount) -> None:
    Contact.objects.create(number=ADA, name="Ada {number}")
    rule(text="Hi {name|there}, {{soon}}")
    write(main)
    write(main, number=BO)
    assert (texts(), texts(BO)) == (["Hi Ada {number}, {soon}"], ["Hi there, {soon}"])


# --- To whom never -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["12345", "Amazon", "123456"])
def test_short_codes_and_names_get_no_answer(number: str, main: ProviderAccount) -> None:
    rule()
    for text in ("Hello", "STOP", "HELP"):
        write(main, text, number=number)
    assert texts(number) == []


def test_who_opted_out_gets_no_answer(main: ProviderAccount) -> None:
    rule()
    optout.opt_out(ADA, "alice")
    for text in ("Hello", "STOP", "HELP"):
        write(main, text)
    assert texts() == []


def test_two_machines_stop_answering_each_other(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    rule()
    now = time.time()
    for minute in range(10):
        monkeypatch.setattr(time, "time", lambda at=now + 60 * minute: at)
        write(main)
    assert len(texts()) == 3
    assert conversation().flag == "loop"
    for hour in range(2, 22, 2):
        monkeypatch.setattr(time, "time", lambda at=now + 3600 * hour: at)
        write(main)
    assert len(texts()) == 10


def test_the_loop_is_not_kept_up_by_stop_and_start(main: ProviderAccount) -> None:
    for _ in range(5):
        write(main, "STOP")
        write(main, "START")
    assert len(texts()) == 3


def test_what_came_long_ago_is_not_answered(main: ProviderAccount) -> None:
    rule()
    write(main, received_at=timezone.now() - timedelta(hours=2))
    assert texts() == []


def test_an_account_that_is_off_does_not_answer(main: ProviderAccount) -> None:
    rule()
    main.enabled = False
    main.save()
    write(main)
    assert texts() == []


def test_a_word_of_opting_in_is_an_ordinary_word_to_who_never_left(main: ProviderAccount) -> None:
    rule(match="exact", words="yes", text="See you there.")
    write(main, "Yes!")
    assert texts() == ["See you there."]


def test_help_is_answered(main: ProviderAccount, settings: Any) -> None:
    settings.SMSDASH_HELP_TEXT = "Call us."
    rule()
    write(main, "help")
    assert texts() == ["Call us."]


# --- Pages -------------------------------------------------------------------------------------------------


@pytest.fixture
def client() -> Client:
    return signed_in(administrator())


def test_a_rule_is_added_changed_switched_and_deleted(main: ProviderAccount, client: Client) -> None:
    phone = Device.objects.create(account=main, device_id="7", name="Shelf")
    Sim.objects.create(device=phone, slot=1)
    place = f"{main.pk}|7|1"
    assert client.post(f"{URL}add/", {**FORM, "place": place, "hours": "9-17"}).status_code == 302
    made = AutoReply.objects.get()
    assert (made.account, made.device, made.sim, made.hours, made.words) == (
        main,
        "7",
        1,
        "09:00-17:00",
        "price\nprices",
    )
    page = client.get(f"{URL}{made.pk}/").text
    assert f'value="{place}" selected' in page
    client.post(f"{URL}{made.pk}/", {**FORM, "text": "11 euros."})
    client.post(f"{URL}{made.pk}/act/", {"action": "off"})
    made.refresh_from_db()
    assert (made.text, made.account, made.device, made.sim, made.enabled) == ("11 euros.", None, "", None, False)
    assert "11 euros." in client.get(URL).text
    client.post(f"{URL}{made.pk}/act/", {"action": "delete"})
    assert not AutoReply.objects.exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"words": " \n"}, "Write at least one word"),
        ({"words": "price\n!!!"}, "neither letters nor digits"),
        ({"text": "Hi {nickname}"}, "nickname"),
        ({"text": "x" * 10_001}, "longer than 10000 characters"),
        ({"hours": "25-26"}, "25"),
        ({"place": "999999999999"}, "Select a valid choice"),
        ({"zone": "Mars/Base"}, "There is no such time zone"),
    ],
)
def test_a_wrong_rule_is_refused_with_a_sentence(values: dict[str, str], sentence: str, client: Client) -> None:
    reply = client.post(f"{URL}add/", {**FORM, **values})
    assert reply.status_code == 200 and sentence in reply.text
    assert not AutoReply.objects.exists()


def test_rules_change_places(client: Client) -> None:
    a, b, c = (rule(name=name) for name in "ABC")
    client.post(f"{URL}{c.pk}/act/", {"action": "up"})
    client.post(f"{URL}{a.pk}/act/", {"action": "up"})
    assert list(AutoReply.objects.all()) == [a, c, b]
    client.post(f"{URL}{a.pk}/act/", {"action": "down"})
    assert list(AutoReply.objects.all()) == [c, a, b]


def test_the_pages_need_their_permissions() -> None:
    made = rule()
    nobody, reader = signed_in(person("n")), signed_in(person("r", "messaging.view_autoreply"))
    for url in (URL, f"{URL}add/", f"{URL}{made.pk}/"):
        assert Client().get(url).status_code == 302
        assert nobody.get(url).status_code == 403
    assert reader.get(URL).status_code == 200 and "Switch off" not in reader.get(URL).text
    for action in ("up", "off", "delete"):
        assert reader.post(f"{URL}{made.pk}/act/", {"action": action}).status_code == 403
    assert AutoReply.objects.get().enabled


def test_an_empty_page_says_what_a_rule_does(client: Client) -> None:
    account()
    assert "Nothing is answered by itself yet" in client.get(URL).text
