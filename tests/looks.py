"""A page as everybody sees it: in light and dark, wide and on a phone."""

from __future__ import annotations

from functools import cache
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

WIDE, PHONE = {"width": 1280, "height": 850}, {"width": 390, "height": 844}
# what each look can show that the one before did not: in the dark other colours, on a phone another order
LOOKS: tuple[tuple[Any, Any, dict[str, Any]], ...] = (
    (WIDE, "light", {}),
    (WIDE, "dark", {"runOnly": ["color-contrast"]}),
    (PHONE, "light", {"rules": {"color-contrast": {"enabled": False}}}),
)


def fits(page: Page) -> None:
    """Fails if the page, as it stands, has a serious violation (axe) or is wider than the screen in any look."""
    for size, scheme, options in LOOKS:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        assert serious(page, options) == [], (page.url, size, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], (page.url, size)
    page.set_viewport_size(WIDE)


def serious(page: Page, options: dict[str, Any] | None = None) -> list[tuple[str, list[object]]]:
    """The rules that are broken, and by what. ``options``: axe's own."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_script())
    found = page.evaluate("options => axe.run(document, {resultTypes: ['violations'], ...options})", options or {})
    return [
        (each["id"], [node["target"] for node in each["nodes"]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@cache
def _script() -> str:
    return str(Axe().axe_script)
