"""The reference of /v1 in Chromium: from our own host alone, and within the content security policy."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from api.v1.api import schema

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_it_is_drawn_without_a_login(page: Page, live_server: LiveServer) -> None:
    """The page fixture fails on any error in the console, and on any request to another host."""
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.goto(f"{live_server.url}/v1/docs")
    operations = sum(len(methods) for methods in schema()["paths"].values())
    expect(page.locator(".opblock")).to_have_count(operations)
    expect(page.locator("html")).to_have_class("dark-mode")
    page.get_by_role("button", name="post /v1/campaigns", exact=True).click()
    expect(page.get_by_text("Needs the scope send")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    told = page.request.get(f"{live_server.url}/v1/openapi.json")
    assert json.loads(told.text()) == json.loads(json.dumps(schema()))
