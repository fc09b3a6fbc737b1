"""The browser's counter against the server's, in Chromium, without a server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.template import Context, Engine
from playwright.sync_api import Browser, Page

from messaging.segments import BASIC, EXTENSION, LOOKALIKES, measure, replace_lookalikes

from .segment_cases import Case, cases

pytestmark = pytest.mark.browser

SCRIPT = Path(__file__).parents[2] / "static" / "js" / "segments.js"
PAGE = """{% load segments %}<!doctype html><html lang="en">
<form {% gsm_alphabet_attributes %}>
<textarea data-counter="#counter">one</textarea>
<div id="counter">
<b data-count="parts" data-text="{n} parts" data-text-one="{n} part"></b>
<b data-count="characters"></b><b data-count="left" data-text="{n} left"></b><b data-count="units"></b>
<b data-count="encoding"></b>
<p data-count="offending" data-text="Forces Unicode: {list}"><span data-offending-list></span>
<button type="button" data-replace-lookalikes>Replace</button></p>
</div></form>"""


@pytest.fixture(scope="module")
def chromium_page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture
def page(chromium_page: Page) -> Page:
    engine = Engine(libraries={"segments": "messaging.templatetags.segments"})
    chromium_page.set_content(engine.from_string(PAGE).render(Context()))
    chromium_page.add_script_tag(content=SCRIPT.read_text(encoding="utf-8"))
    return chromium_page


def in_browser(page: Page, texts: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("texts => texts.map(smsdashSegments.measure)", texts)
    return found


def on_server(text: str) -> dict[str, Any]:
    found = measure(text)
    offending = [
        {
            "character": offender.character,
            "positions": list(offender.positions),
            "count": offender.count,
            "replacement": offender.replacement,
            "label": offender.label,
        }
        for offender in found.offending
    ]
    names = ("encoding", "parts", "units", "left", "characters")
    return {**{name: getattr(found, name) for name in names}, "offending": offending}


def random_texts(count: int) -> list[str]:
    """Texts around the ends of parts, the same at every run."""
    source = random.Random(23038)
    odd = "".join(LOOKALIKES) + "яç漢\u200d\u0301\x1b😀👩𝒳"
    pools = [BASIC, BASIC + EXTENSION * 6, EXTENSION, BASIC + odd, "aя", "a😀", odd]
    lengths = [*range(30, 82), *range(130, 165), *range(200, 210), *range(300, 312)]
    return ["".join(source.choices(source.choice(pools), k=source.choice(lengths))) for _ in range(count)]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_browser_measures_the_case(page: Page, case: Case) -> None:
    (found,) = in_browser(page, [case.text])
    offending = "".join(offender["character"] for offender in found.pop("offending"))
    assert offending == case.offending
    assert found == {name: getattr(case, name) for name in ("encoding", "parts", "units", "left", "characters")}


def test_the_browser_agrees_with_the_server_on_random_texts(page: Page) -> None:
    texts = random_texts(600)
    assert in_browser(page, texts) == [on_server(text) for text in texts]


def test_the_browser_replaces_as_the_server_does(page: Page) -> None:
    texts = [*random_texts(200), "cafe\u0301 \u212b", "👩\u200d👧"]
    found = page.evaluate("texts => texts.map(smsdashSegments.replaceLookalikes)", texts)
    assert found == [replace_lookalikes(text) for text in texts]


def test_the_counter_shows_the_text_that_is_there_at_load(page: Page) -> None:
    counts = {name: page.text_content(f"[data-count={name}]") for name in ("parts", "characters", "left", "encoding")}
    assert counts == {"parts": "1 part", "characters": "3", "left": "157 left", "encoding": "GSM-7"}
    assert page.is_hidden("[data-count=offending]")


def test_the_counter_follows_typing(page: Page) -> None:
    page.fill("textarea", "x" * 161)
    assert page.text_content("[data-count=parts]") == "2 parts"
    assert page.text_content("[data-count=left]") == "145 left"
    assert page.text_content("[data-count=units]") == "161"


def test_the_counter_lists_what_forces_unicode_and_replaces_it(page: Page) -> None:
    page.fill("textarea", "It’s ‘so’\u00a0dear")
    assert page.text_content("[data-offending-list]") == "Forces Unicode: ’ ×2, ‘, no-break space"
    page.click("[data-replace-lookalikes]")
    assert page.input_value("textarea") == "It's 'so' dear"
    assert page.text_content("[data-count=encoding]") == "GSM-7"
    assert page.is_hidden("[data-count=offending]")


def test_the_button_hides_when_nothing_can_be_replaced(page: Page) -> None:
    page.fill("textarea", "garçon")
    assert page.is_visible("[data-count=offending]")
    assert page.is_hidden("[data-replace-lookalikes]")


def test_the_counter_follows_a_reset(page: Page) -> None:
    page.fill("textarea", "x" * 161)
    page.evaluate("document.querySelector('form').reset()")
    page.wait_for_function("document.querySelector('[data-count=parts]').textContent === '1 part'")
