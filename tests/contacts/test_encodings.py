"""Guessing the encoding of a file."""

from __future__ import annotations

import codecs

import pytest

from contacts.encodings import COMMON, LABELS, Detector, Guess

TEXTS = {
    "cp1252": "Müller;José García;François Lefèvre;Åse Bjørnstad",
    "cp1250": "Łukasz Wiśniewski;Jiří Dvořák;Šárka Nováková",
    "cp1251": "Иванов Иван;Ольга Петрова;Москва",
    "cp1253": "Γιώργος Παπαδόπουλος;Μαρία",
    "cp1254": "Ayşe Yılmaz;Çağdaş Öztürk;İbrahim Şahin",
    "cp1255": "דוד כהן;שרה לוי;תל אביב",
    "cp1256": "محمد أحمد;فاطمة علي",
    "cp1257": "Jānis Bērziņš;Žydrūnas Ilgauskas",
    "cp874": "สมชาย ใจดี;กรุงเทพ",
    "gb18030": "王小明;张伟;李娜;北京",
    "big5hkscs": "王小明;張偉;臺北",
    "cp932": "田中太郎;サトウ ハナコ;東京",
    "euc_jp": "田中太郎;さくら;サトウ ハナコ",
    "cp949": "김철수;이영희;박지성;서울",
    "koi8_r": "Иванов Иван;Ольга Петрова;Москва",
    "cp866": "Иванов Иван;Ольга Петрова;Москва",
    "iso8859_5": "Иванов Иван;Ольга Петрова;Москва",
}


def guess(*pieces: bytes) -> Guess:
    detector = Detector()
    for piece in pieces:
        detector.feed(piece)
    return detector.guess()


@pytest.mark.parametrize(("encoding", "text"), TEXTS.items())
def test_it_tells_encodings_by_how_they_read(encoding: str, text: str) -> None:
    data = "\n".join(f"+3725550000{n};{word}" for n, word in enumerate(text.split(";"))).encode(encoding)
    assert guess(data + b"\n") == Guess(encoding)


def test_each_that_is_guessed_can_be_chosen() -> None:
    assert set(TEXTS) == set(COMMON)
    assert {*COMMON, "utf-8", "utf-16-le"} <= set(LABELS)
    assert [codecs.lookup(name).name for name in LABELS]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["number;name\r\n+4912345678;Müller\r\n", "电话,姓名\n13800138000,王小明\n"])
def test_utf_16_needs_no_mark(encoding: str, text: str) -> None:
    assert guess(text.encode(encoding)).encoding == encoding


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_a_mark_is_believed(mark: bytes, encoding: str) -> None:
    assert guess(mark + "a".encode(encoding)) == Guess(encoding, sure=True)


@pytest.mark.parametrize("data", [b"", b"plain", "Müller 王".encode()])
def test_good_utf_8_is_sure(data: bytes) -> None:
    assert guess(data) == Guess("utf-8", sure=True)


def test_a_character_may_lie_across_two_pieces() -> None:
    data = "Jürgen\n".encode()
    assert guess(data[:2], data[2:]) == Guess("utf-8", sure=True)


def test_what_is_far_down_in_the_file_counts() -> None:
    plain = b"+37255500001;Anna\n" * 100_000
    assert guess(plain, "\n+37255500002;Ольга Петрова\n".encode("cp1251")).encoding == "cp1251"
