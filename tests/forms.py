"""Filling in the forms of a page as a browser does: what it came with stays, what is typed is added."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class Forms(HTMLParser):
    """The forms of a page: for each, the fields with the values they came with."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.actions: list[str] = []
        self.select = self.textarea = ""
        self.first = True  # the next option is the first of its select
        self.feed(page)

    def with_field(self, name: str) -> dict[str, str]:
        """The form that has a field of that name. Fails when none has."""
        for form in self.forms:
            if name in form:
                return dict(form)
        raise AssertionError(f"No form has “{name}”; there are {self.forms}")

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "form":
            self.forms.append({})
            self.actions.append(found.get("action") or "")
        elif self.forms and tag in ("input", "textarea", "select", "option"):
            getattr(self, f"_{tag}")(found)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("select", "textarea"):
            self.select = self.textarea = ""

    def handle_data(self, data: str) -> None:
        if self.textarea:
            self.forms[-1][self.textarea] += data

    def _input(self, found: dict[str, Any]) -> None:
        kind, name = found.get("type", "text"), found.get("name")
        if not name or kind in ("submit", "button", "file") or "disabled" in found:
            return
        if kind not in ("checkbox", "radio") or "checked" in found:
            self.forms[-1][name] = found.get("value") or ""

    def _textarea(self, found: dict[str, Any]) -> None:
        self.textarea = found["name"]
        self.forms[-1][found["name"]] = ""

    def _select(self, found: dict[str, Any]) -> None:
        self.select, self.first = found.get("name", ""), True
        if self.select:
            self.forms[-1].setdefault(self.select, "")

    def _option(self, found: dict[str, Any]) -> None:
        if self.select and ("selected" in found or self.first):
            self.forms[-1][self.select], self.first = found.get("value") or "", False
