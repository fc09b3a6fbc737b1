"""A picture that somebody sent, in Chromium: small, live, and fetched by nobody but the server."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer
from pytest_httpserver import HTTPServer

from messaging import attachments
from providers.models import AllowedHost
from tests.looks import fits

from .conversations import conversation, phones, write
from .links import picture, serve

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_picture_appears_in_the_thread_by_itself(
    admin_page: Page, live_server: LiveServer, httpserver: HTTPServer
) -> None:
    AllowedHost.objects.create(name="localhost")
    links = (
        serve(httpserver, "/a.jpg", picture(size=(900, 600))),
        serve(httpserver, "/me.vcf", b"BEGIN:VCARD", "text/vcard"),
        serve(httpserver, "/b.svg", b"<svg/>", "image/svg+xml"),
    )
    write(phones(), "See", attachments=links)
    page, asked = admin_page, []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{live_server.url}/inbox/{conversation().pk}/")
    expect(page.get_by_text("It is being looked at.")).to_have_count(3)
    attachments.work()
    small = page.get_by_role("img", name="Picture")
    expect(small).to_be_visible()
    assert small.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [320, 213]
    expect(page.get_by_text("text/vcard, 11")).to_be_visible()
    expect(page.get_by_text("image/svg+xml does not go into an MMS.")).to_be_visible()
    assert len(httpserver.log) == 3 and all(url.startswith(live_server.url) for url in asked)
    fits(page)
