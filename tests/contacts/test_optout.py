"""The words by which people opt out and in."""

from __future__ import annotations

import pytest

from contacts import optout
from contacts.models import ConsentEvent, Contact, OptOutWord
from tests.base import signed_in

from .base import fill_words

pytestmark = pytest.mark.django_db
ADA = "+37255500001"


@pytest.fixture(autouse=True)
def usual_words(db: None) -> None:
    fill_words()


def opted_out() -> bool:
    return Contact.objects.filter(number=ADA, opted_out_at__isnull=False).exists()


@pytest.mark.parametrize(
    "text",
    [
        *("STOP", "StopAll", "unsubscribe", "END", "quit", "cancel", "REVOKE", "OptOut", "opt-out", "Arrêt", "BAJA"),
        *(
            "  stop\n",
            "STOP.",
            "“Stop!”",
            "*stop*",
            "ＳＴＯＰ",
            "stop\u3000",
            "STOP 🛑",
            "退订",
            "退订。",
            "【退订】",
            "stop\ufe0f",
        ),
    ],
)
def test_the_word_alone_opts_out(text: str) -> None:
    heard = optout.hear(ADA, text, "message 1")
    assert (heard.kind, heard.changed, heard.near) == ("stop", True, False)
    assert opted_out()


@pytest.mark.parametrize(
    ("text", "near"),
    [
        *(("stop please", True), ("Please STOP!", True), ("don't stop", True), ("STOPP", True), ("unsubscibe", True)),
        *(("我要退订", True), ("stop stop", True), ("Can you cancel it?", True)),
        *(("", False), ("!!!", False), ("Hello", False), ("the stopwatch is here", False), ("weekend", False)),
        *(("I will end up at the bus stop near your shop, wait for me", False), ("x" * 100_000, False)),
    ],
)
def test_anything_else_does_not_and_near_misses_are_told(text: str, near: bool) -> None:
    assert optout.hear(ADA, text, "message 1")[:3] == ("", False, near)
    assert not opted_out()


@pytest.mark.parametrize("text", ["START", "unstop", "Yes!", "订阅"])
def test_other_words_opt_in_again(text: str) -> None:
    optout.hear(ADA, "stop", "message 1")
    assert optout.hear(ADA, text, "message 2")[:3] == ("start", True, False)
    assert not opted_out()
    assert optout.hear(ADA, text, "message 3")[:3] == ("start", False, False)


def test_a_second_stop_changes_nothing() -> None:
    assert [optout.hear(ADA, "STOP", "message 1").changed for _ in range(2)] == [True, False]
    assert ConsentEvent.objects.count() == 1


@pytest.mark.parametrize("text", ["help", "INFO", "帮助"])
def test_a_word_that_asks_for_help_changes_nothing(text: str) -> None:
    assert optout.hear(ADA, text, "message 1")[:3] == ("help", False, False)
    assert not Contact.objects.exists()


def test_the_words_are_an_administrators_choice() -> None:
    OptOutWord.objects.filter(word="QUIT").delete()
    OptOutWord.objects.create(word="Lõpeta", kind="stop", language="et")
    assert optout.meaning("quit").kind == ""
    assert optout.meaning("LÕPETA")[:3] == ("stop", False, False)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("👍", "letters or digits"),
        ("!!!", "letters or digits"),
        ("Stop!", "“STOP” is a word with the meaning “Opt out”"),
    ],
)
def test_a_word_is_refused_that_nobody_can_tell_from_another(word: str, words: str) -> None:
    page = signed_in().post("/admin/contacts/optoutword/add/", {"word": word, "kind": "start", "language": ""})
    assert page.status_code == 200 and words in page.text
    assert not OptOutWord.objects.filter(word=word).exists()


def test_a_word_can_be_saved_again_as_it_is() -> None:
    row = OptOutWord.objects.get(word="STOP")
    values = {"word": "Stop", "kind": "stop", "language": "en"}
    assert signed_in().post(f"/admin/contacts/optoutword/{row.pk}/change/", values).status_code == 302
    assert OptOutWord.objects.get(pk=row.pk).language == "en"


@pytest.mark.parametrize("text", ["", "👍", "?!"])
def test_nobody_opts_out_without_a_word(text: str) -> None:
    OptOutWord.objects.create(word="👍", kind="stop")
    assert optout.meaning(text).kind == ""


def test_the_usual_words_hold_while_the_table_is_empty() -> None:
    OptOutWord.objects.all().delete()
    assert [optout.meaning(word)[0] for word in ("stop", "start", "help", "退订")] == ["stop", "start", "help", "stop"]


def test_the_proof_is_kept() -> None:
    optout.hear(ADA, " Stop ", "message 7", {"message": 7, "account": "Main"})
    event = ConsentEvent.objects.get()
    assert event.proof == {"text": "Stop", "source": "message 7", "message": 7, "account": "Main"}
    assert (event.how, event.by) == ("stop", "message 7")
