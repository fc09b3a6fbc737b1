from __future__ import annotations

import html
import json
import re

import pytest
import smsutil
from django.template import Context, Engine
from hypothesis import assume, example, given
from hypothesis import strategies as st

from messaging.segments import (
    BASIC,
    EXTENSION,
    LIMITS,
    LOOKALIKES,
    Encoding,
    browser_tables,
    measure,
    replace_lookalikes,
    split,
)

from .segment_cases import Case, cases

GSM_TEXTS = st.text(st.sampled_from(BASIC + EXTENSION * 8), max_size=700)
WIDE_TEXTS = st.text(st.sampled_from("aя😀👩\u200d€’"), max_size=400)
ANY_TEXTS = GSM_TEXTS | WIDE_TEXTS | st.text(max_size=200)


def units(text: str, encoding: Encoding) -> int:
    """Counted another way than the module does."""
    if encoding is Encoding.GSM7:
        return sum(2 if character in EXTENSION else 1 for character in text)
    return len(text.encode("utf-16-be")) // 2


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_it_measures_the_case(case: Case) -> None:
    found = measure(case.text)
    assert (found.encoding, found.parts, found.units, found.left, found.characters) == (
        case.encoding,
        case.parts,
        case.units,
        case.left,
        case.characters,
    )
    assert "".join(offender.character for offender in found.offending) == case.offending
    assert len(split(case.text)) == case.parts


def test_it_knows_the_alphabets_of_the_standard() -> None:
    assert (len(BASIC), len(EXTENSION)) == (127, 10)
    assert "\x1b" not in BASIC + EXTENSION


def test_it_splits_around_what_cannot_be_cut() -> None:
    assert split("a" * 152 + "€" + "b" * 152) == ["a" * 152, "€" + "b" * 151, "b"]
    assert split("a" * 66 + "😀" + "b" * 66) == ["a" * 66, "😀" + "b" * 65, "b"]


@given(ANY_TEXTS)
@example("")
@example("a" * 152 + "€" * 77)
def test_parts_join_to_the_text_and_each_one_fits(text: str) -> None:
    found, parts = measure(text), split(text)
    single, each = LIMITS[found.encoding]
    sizes = [units(part, found.encoding) for part in parts]
    assert "".join(parts) == text
    assert len(parts) == found.parts
    assert sum(sizes) == found.units
    assert max(sizes) <= (single if len(parts) == 1 else each)
    assert all(parts) or text == ""


@given(ANY_TEXTS)
def test_what_is_left_is_what_fits_before_another_part_begins(text: str) -> None:
    found = measure(text)
    assert measure(text + "a" * found.left).parts == found.parts
    assert measure(text + "a" * (found.left + 1)).parts == found.parts + 1


@given(ANY_TEXTS, st.characters(exclude_categories=("Cs",)), st.data())
def test_another_character_never_lowers_the_parts(text: str, character: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    longer = measure(text[:at] + character + text[at:])
    assert longer.parts >= measure(text).parts
    assert longer.characters == len(text) + 1


@given(ANY_TEXTS)
def test_it_agrees_with_an_independent_splitter(text: str) -> None:
    # smsutil takes ESC for a character and an empty text for UCS-2.
    assume(text and "\x1b" not in text)
    theirs = smsutil.split(text)
    assert split(text) == [part.content for part in theirs.parts]
    assert measure(text).encoding == {"gsm0338": "GSM-7", "utf_16_be": "UCS-2"}[theirs.encoding]


@given(ANY_TEXTS)
def test_offenders_stand_where_they_say(text: str) -> None:
    found = measure(text)
    assert bool(found.offending) == (found.encoding is Encoding.UCS2)
    firsts = [offender.positions[0] for offender in found.offending]
    assert firsts == sorted(firsts)
    for offender in found.offending:
        assert offender.count == text.count(offender.character)
        assert {text[position] for position in offender.positions} == {offender.character}


@pytest.mark.parametrize(
    ("character", "label", "replacement"),
    [
        ("’", "’", "'"),
        ("…", "…", "..."),
        ("\u00a0", "no-break space", " "),
        ("\u200b", "zero width space", ""),
        ("\u200d", "zero width joiner", None),
        ("\u0301", "combining acute accent", None),
        ("\u001b", "U+001B", ""),
        ("\ue000", "U+E000", None),
        ("я", "я", None),
        ("😀", "😀", None),
    ],
)
def test_it_names_an_offender_and_its_lookalike(character: str, label: str, replacement: str | None) -> None:
    (offender,) = measure(f"a{character}b").offending
    assert (offender.label, offender.replacement) == (label, replacement)


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("“It’s” – ok…", '"It\'s" - ok...'),
        ("a\u00a0b\u200bc\ufeff", "a bc"),
        ("a\tb\u2028c", "a b\nc"),
        ("cafe\u0301 \u212bngstro\u0308m", "café Ångström"),
        ("5 € [sic]", "5 € [sic]"),
        ("garçon", "garçon"),
        ("👩\u200d👧", "👩\u200d👧"),
    ],
)
def test_it_replaces_lookalikes_and_nothing_else(text: str, replaced: str) -> None:
    assert replace_lookalikes(text) == replaced


def test_every_lookalike_is_foreign_and_its_replacement_is_gsm() -> None:
    for character, replacement in LOOKALIKES.items():
        assert measure(character).encoding is Encoding.UCS2
        assert measure(replacement).encoding is Encoding.GSM7


@given(GSM_TEXTS)
def test_replacing_leaves_gsm_texts_alone(text: str) -> None:
    assert replace_lookalikes(text) == text


def test_the_tag_renders_the_tables_safely_for_an_attribute() -> None:
    engine = Engine(libraries={"segments": "messaging.templatetags.segments"})
    page = engine.from_string("{% load segments %}<form {% gsm_alphabet_attributes %}>").render(Context())
    assert page.isascii() and page.isprintable()
    found = {name: json.loads(html.unescape(value)) for name, value in re.findall(r'data-([\w-]+)="([^"]*)"', page)}
    assert found == json.loads(json.dumps(browser_tables()))
