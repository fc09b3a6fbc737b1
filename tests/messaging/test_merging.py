from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging import merging
from messaging.merging import Text, check, fields_of, render, values_of

ADA = values_of("+37255512345", "Ada", "et", {"city": "Tartu", "first name": "Ada", "empty": " "})

RENDERED = {
    "a field": ("Hello {name}!", "Hello Ada!"),
    "several": ("{name} {name} of {city}, {number}, {language}", "Ada Ada of Tartu, +37255512345, et"),
    "a name of two words": ("{first name}", "Ada"),
    "spaces inside": ("{ first   name }", "Ada"),
    "a default that is not needed": ("{name|friend}", "Ada"),
    "a default": ("{street|your street}", "your street"),
    "a default for a blank value": ("{empty| nothing }", "nothing"),
    "an empty default": ("a{street|}b", "ab"),
    "no value and no default": ("a{street}b", "ab"),
    "a bar in a default": ("{street|a|b}", "a|b"),
    "braces": ("{{name}} and }} and {{", "{name} and } and {"),
    "a field in braces": ("{{{name}}}", "{Ada}"),
    "a brace behind a field": ("{name}}", "Ada}"),
    "no letter, no field": ('{1} {} { } :-} {"a": 1} {_x}', '{1} {} { } :-} {"a": 1} {_x}'),
    "over a line end": ("{na\nme}", "{na\nme}"),
    "percent signs": ("100 % {name} %s %(name)s", "100 % Ada %s %(name)s"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("case", RENDERED)
def test_it_puts_each_value_in_its_place(case: str) -> None:
    text, rendered = RENDERED[case]
    assert render(text, ADA) == rendered


ODD = {
    "None": (None, "-"),
    "a number": (7, "7"),
    "a fraction": (1.5, "1.5"),
    "a list": (["x"], "-"),
    "a mapping": ({"x": "y"}, "-"),
    "yes": (True, "-"),
    "braces": ("{name} {{", "{name} {{"),
    "a formula": ("=1+1", "=1+1"),
    "percent": ("%s", "%s"),
    "NUL and line ends": ("a\x00b\r\nc\td", "a b c d"),
    "half a surrogate": ("a\ud800b", "a b"),
    "a name in any script": ("Łukasz 🎉 नमस्ते", "Łukasz 🎉 नमस्ते"),
    "longer than a value is": ("x" * 900, "x" * 500),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_values_are_words_or_nothing(case: str) -> None:
    value, rendered = ODD[case]
    assert render("{city|-}", {"city": value}) == rendered


def test_what_every_contact_has_comes_before_a_free_field_of_that_name() -> None:
    assert render("{name}{number}", values_of("+1", "Ada", "", {"name": "x", "number": "y"})) == "Ada+1"


WRONG = {
    "none": ("Hello {name} of {city}", []),
    "no fields": ("Hello", []),
    "unknown": ("{street}", ["Nobody here has a field {street}. There are {name}, {city}. For braces write {{st"]),
    "a default does not make it known": ("{street|x}", ["Nobody here has a field {street}."]),
    "spelled differently": ("{City}", ["There is no field {City}. Did you mean {city}?"]),
    "a slip": ("{nmae}", ["There is no field {nmae}. Did you mean {name}?"]),
    "not closed": ("Hello {name", ["“{name” has no closing brace."]),
    "not closed before another": ("{name {city}", ["“{name” has no closing brace."]),
    "not closed on its line": ("{name\n}", ["“{name” has no closing brace."]),
    "literal braces": ("{{street}} {1}", []),
    "each once": ("{street} {street}", ["Nobody here has a field {street}."]),
    "all of them": ("{street} {nmae}", ["Nobody here has a field {street}.", "There is no field {nmae}."]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_it_says_what_is_wrong_with_a_text(case: str) -> None:
    text, sentences = WRONG[case]
    found = check(text, {"name", "city"})
    assert len(found) == len(sentences)
    assert all(sentence.startswith(begin) for sentence, begin in zip(found, sentences, strict=True))


def test_the_fields_come_in_their_order_each_once() -> None:
    assert fields_of("{city} {name|x} {{no}} {city|y}") == ["city", "name"]


def test_a_gap_is_where_somebody_has_neither_a_value_nor_other_words() -> None:
    text = Text("{name} {street} {street|x} {empty}")
    assert text.gaps(ADA) == ["street", "empty"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)
NAMES = st.from_regex(r"[a-z]{1,5}", fullmatch=True)


@given(st.text(st.sampled_from("{}|ab %s\n\x00é1")), st.dictionaries(NAMES, VALUES))
def test_no_text_and_no_value_make_it_fail(text: str, values: dict[str, Any]) -> None:
    check(text, values.keys())
    render(text, values).encode()


@given(st.text(st.sampled_from("{}|ab \n%"), max_size=30))
def test_doubled_braces_bring_any_text_through(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert (render(escaped, {}), fields_of(escaped), check(escaped, ())) == (text, [], [])


@given(st.text(st.characters(exclude_characters="{}"), max_size=30), VALUES, st.text("ab{}|% ", max_size=9))
def test_a_value_changes_nothing_but_its_own_place(around: str, odd: Any, default: str) -> None:
    default = default.replace("{", "").replace("}", "")
    written = render(f"{around}{{city|{default}}}{around}", {"city": odd, "name": "Ada"})
    assert written.startswith(around) and written.endswith(around)


def test_a_million_texts_are_rendered_in_seconds() -> None:
    text = Text("Hello {name|friend}, your parcel is in {city}.")
    start = time.process_time()
    for _ in range(100_000):
        text.render(ADA)
    assert time.process_time() - start < 5  # 0.1 s on an idle core


def test_a_text_is_made_ready_once() -> None:
    assert merging.compiled("{name}") is merging.compiled("{name}")
