"""What a table's columns seem to be, by their headings, or by what is in them. A person corrects it. No database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from . import exporting, fields
from .import_rows import FIELD, LANGUAGE, LISTS, NAME, NUMBER, OPTED_OUT, UNSUBSCRIBED, ZONE, clean
from .tables import Row

_WORDS: Mapping[str, str] = {
    NUMBER: """number phone phonenumber mobile mobilenumber mobilephone msisdn cell cellphone cellular tel telephone
        telephonenumber phoneno mobileno contactnumber recipient to whatsapp sms gsm handy handynummer telefon
        telefonnummer rufnummer mobil mobilnummer mobiltelefon nummer telefono teléfono móvil movil celular numero
        número telefone telemóvel téléphone portable numéro cellulare telefonnr telefonszám puhelin puhelinnumero mobiel
        telefoon telefoonnummer komórka numer numertelefonu telefonní mobilní телефон мобильный номер номертелефона
        мобільний 手机 手机号 手机号码 电话 电话号码 号码 手機 手機號碼 電話 電話號碼 携帯 携帯番号 電話番号
        휴대폰 전화 전화번호 휴대전화 הטלפון טלפון الهاتف هاتف جوال رقم โทรศัพท์ เบอร์โทร""",
    NAME: """name fullname firstname lastname surname givenname familyname forename contact contactname customer
        customername client vorname nachname kunde nombre apellido apellidos nome sobrenome cognome nom prénom prenom
        navn fornavn etternavn namn förnamn efternamn nimi eesnimi perenimi etunimi sukunimi imię imie nazwisko jméno
        příjmení имя фамилия фио имяфамилия клиент ім'я прізвище 姓名 名字 姓 名 客户 客户姓名 名前 氏名 이름 성명 שם
        الاسم اسم ชื่อ isim ad adı adsoyad soyad voornaam achternaam naam név""",
    LANGUAGE: "language lang locale sprache idioma langue lingua język язык keel 语言 語言 言語 언어",
    ZONE: "zone timezone tz zeitzone zonahoraria fuseauhoraire ajavöönd часовойпояс 时区 時區",
    OPTED_OUT: "optedout optout unsubscribe donotcontact dnc donotcall blocked abgemeldet 退订",
    LISTS: "lists list group groups tags segment liste listen gruppe gruppen grupo grupos группа 列表 分组 群组",
    UNSUBSCRIBED: "unsubscribed unsubscribedlists",
}
_KNOWN = {word: role for role, words in _WORDS.items() for word in words.split()}
_SEVERAL = {NAME}


def is_export(header: Sequence[str]) -> bool:
    """Whether the file is an export of ours."""
    return tuple(header[: len(exporting.COLUMNS)]) == exporting.COLUMNS


def columns(header: Sequence[str] | None, rows: Sequence[Row], width: int) -> list[str]:
    """What each column seems to be (import_rows.py). ``rows`` are those below the header."""
    if header and is_export(header):
        return [*exporting.COLUMNS, *(f"{FIELD}{clean(name)}" for name in header[len(exporting.COLUMNS) :])]
    found = [_by_heading(cell) for cell in header or ()]
    found += [""] * (width - len(found))
    _each_once(found)
    cells = [row.cells for row in rows if not row.fault]
    if NUMBER not in found:
        _number_by_content(found, cells)
    if NAME not in found and not header:
        _name_by_content(found, cells)
    return found


def _by_heading(cell: str) -> str:
    heading = clean(cell)
    known = _KNOWN.get(re.sub(r"[\W_]+", "", heading.casefold()))
    if known:
        return known
    words = [_KNOWN[word] for word in re.findall(r"[^\W\d_]+", heading.casefold()) if word in _KNOWN]
    if NUMBER in words and "name" not in heading.casefold():
        return NUMBER
    try:
        return FIELD + fields.clean_name(heading)
    except ValueError:
        return ""


def _each_once(found: list[str]) -> None:
    """The first of several for the same counts; only names are put together of more columns."""
    seen: set[str] = set()
    for at, column in enumerate(found):
        if column in seen and column not in _SEVERAL:
            found[at] = ""
        seen.add(column)


def _number_by_content(found: list[str], cells: Sequence[Sequence[str]]) -> None:
    """The column in which most cells look like a phone number."""

    def likeness(at: int) -> int:
        return sum(1 for row in cells if at < len(row) and _looks_like_a_number(row[at]))

    best = max(range(len(found)), key=likeness, default=None)
    if best is not None and likeness(best):
        found[best] = NUMBER


def _looks_like_a_number(cell: str) -> bool:
    return 7 <= len(re.sub(r"\D", "", cell)) <= 15 and not re.search(r"[^\W\d_]|@|:", cell)


def _name_by_content(found: list[str], cells: Sequence[Sequence[str]]) -> None:
    """The first column of letters."""
    for at, column in enumerate(found):
        texts = [row[at] for row in cells if at < len(row)]
        if not column and texts and sum(any(map(str.isalpha, text)) for text in texts) * 2 > len(texts):
            found[at] = NAME
            return
