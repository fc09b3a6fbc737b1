"""An MMS waits until its links are good, and fails when one is refused; pictures are shown small."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_httpserver import HTTPServer

from messaging import attachment_pages, attachments, campaigns, clock, conduct, inbox_pages, leases, waiting
from messaging.campaigns import Draft
from messaging.models import Attachment, Campaign, Message, Worker
from providers.models import AllowedHost, ProviderAccount
from providers.transport import HttpTransport
from tests.base import account as new_account
from tests.base import person, signed_in

from .carrier import Carrier
from .carrier import Worker as Sender
from .conversations import ADA, conversation, phones, write
from .links import bomb, look, picture, serve

pytestmark = pytest.mark.django_db

JPEG = picture()
GOOD, WAITING, REFUSED = Attachment.State.GOOD, Attachment.State.WAITING, Attachment.State.REFUSED
DOWN = "http://localhost:9/x.jpg"
PEOPLE = ["+37255512345", "+37255512346"]


@pytest.fixture
def server(httpserver: HTTPServer) -> HTTPServer:
    AllowedHost.objects.create(name="localhost")
    return httpserver


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> Carrier:
    found = Carrier()
    monkeypatch.setattr(HttpTransport, "__call__", lambda transport, request: found.answer(transport, request))
    return found


@pytest.fixture
def account(carrier: Carrier) -> ProviderAccount:
    row = new_account("Phones", "smsgateway")
    row.base_url = f"http://127.0.0.1:9/{row.pk}"
    row.save()
    return row


def send(account: ProviderAccount, *links: str) -> Campaign:
    return campaigns.submit(Draft(account, PEOPLE, "Look", attachments=links))


def drain(account: ProviderAccount, carrier: Carrier) -> list[str]:
    """Whatever may leave leaves. The statuses after that."""
    Message.objects.filter(due_at__lte=timezone.now() + timedelta(seconds=1)).update(due_at=timezone.now())
    worker = Sender(account)
    worker.leave()
    worker.finish(carrier)
    leases.release(account.pk, worker.holder)
    return list(Message.objects.order_by("pk").values_list("status", flat=True))


# --- Before it leaves --------------------------------------------------------------------------------


def test_nothing_leaves_before_the_link_is_good(server: HTTPServer, account: ProviderAccount, carrier: Carrier) -> None:
    link = serve(server, "/a.jpg", JPEG)
    campaign = send(account, link)
    assert Attachment.objects.get(link=link).state == WAITING  # from the moment on that it is accepted
    assert drain(account, carrier) == ["queued", "queued"]
    attachments.work()
    assert drain(account, carrier) == ["sent", "sent"]
    assert conduct.balance(campaign).sent == 2
    assert Message.objects.filter(error_code="", error_text="").count() == 2


REASONS = {
    "type": (lambda s: serve(s, "/x", b"<svg/>", "image/svg+xml"), "image/svg+xml does not go into an MMS."),
    "lie": (lambda s: serve(s, "/x", b"MZ"), "says that it is image/jpeg"),
    "private": (lambda s: "http://192.168.1.4/x.jpg", "192.168.1.4 is an address in a private network."),
    "bomb": (lambda s: serve(s, "/x", bomb(), "image/png"), "more than 25 million pixels"),
    "size": (lambda s: serve(s, "/x", JPEG * 100), "larger than"),
}


@pytest.mark.parametrize("case", REASONS)
def test_it_fails_with_the_reason_and_is_counted(
    case: str, server: HTTPServer, account: ProviderAccount, carrier: Carrier, settings: Any
) -> None:
    settings.SMSDASH_MMS_MAX_BYTES = 50_000
    prepare, words = REASONS[case]
    campaign = send(account, serve(server, "/good", JPEG), prepare(server))
    attachments.work()
    assert drain(account, carrier) == ["failed", "failed"]
    balance = conduct.balance(campaign)
    assert (balance.failed, balance.waiting, carrier.taken) == (2, 0, {})
    row = Message.objects.all()[0]
    assert row.error_code == "attachment" and row.error_text.startswith("An attachment was refused. ")
    assert words in row.error_text and row.done_at and row.attempts == 0


def test_a_server_that_is_down_is_tried_again_for_a_while(account: ProviderAccount, carrier: Carrier) -> None:
    AllowedHost.objects.create(name="localhost")
    send(account, DOWN)
    for tries in range(1, len(attachments.AGAIN) + 1):
        attachments.work()
        row = Attachment.objects.get()
        assert (row.state, row.tries) == (WAITING, tries) and "No answer came" in row.reason
        assert row.next_at > timezone.now() + timedelta(seconds=attachments.AGAIN[tries - 1] - 2)
        Message.objects.update(due_at=timezone.now())
        assert drain(account, carrier) == ["queued", "queued"]
        assert Message.objects.all()[0].due_at > row.next_at
        Attachment.objects.update(next_at=timezone.now())
    attachments.work()
    Message.objects.update(due_at=timezone.now())
    assert drain(account, carrier) == ["failed", "failed"]


def test_one_who_mends_the_file_sends_it_again(server: HTTPServer, account: ProviderAccount, carrier: Carrier) -> None:
    link = serve(server, "/a.jpg", b"MZ")
    assert look(link)[0].state == REFUSED
    server.clear()
    serve(server, "/a.jpg", JPEG)
    assert attachments.want([link])[link].state == REFUSED  # not at every message of a campaign
    Attachment.objects.update(checked_at=timezone.now() - timedelta(minutes=2))
    send(account, link)
    attachments.work()
    assert drain(account, carrier) == ["sent", "sent"]


def test_what_was_good_is_believed_for_a_day(server: HTTPServer) -> None:
    (row,) = look(link := serve(server, "/a.jpg", JPEG))
    look(link)
    assert len(server.log) == 1
    Attachment.objects.update(checked_at=row.checked_at - timedelta(days=2))
    look(link)
    assert len(server.log) == 2


def test_one_looks_at_a_link_at_a_time(server: HTTPServer) -> None:
    attachments.want([serve(server, "/a.jpg", JPEG)])
    assert clock.attachments.due() == [Attachment.objects.get().pk]
    first, second = attachments._claim(), attachments._claim()
    assert first and not second and not clock.attachments.due()
    cache.add(attachments.LOCK, True, 60)
    Attachment.objects.update(next_at=timezone.now())
    attachments.work()  # another worker is at it
    assert not server.log
    cache.delete(attachments.LOCK)
    attachments.work()
    assert len(server.log) == 1


def test_a_text_asks_for_no_link(
    account: ProviderAccount, carrier: Carrier, django_assert_max_num_queries: Any
) -> None:
    campaigns.submit(Draft(account, PEOPLE, "Hello"))
    assert drain(account, carrier) == ["sent", "sent"] and not Attachment.objects.exists()


def test_the_page_says_that_it_is_checked(account: ProviderAccount) -> None:
    Worker.objects.create(name="w", progress_at=timezone.now())
    send(account, DOWN)
    row = Message.objects.select_related("account__pace", "campaign").all()[0]

    def why() -> str:
        found = waiting.why(row)
        assert found is not None
        return found.text

    assert why() == "Its attachment is being checked."
    AllowedHost.objects.create(name="localhost")
    attachments.work()
    assert why().startswith("Its attachment could not be checked yet: No answer came")
    Attachment.objects.update(state=GOOD)
    assert why() == "It is next in line and goes in a moment."
    row.due_at = timezone.now() + timedelta(hours=1)
    assert why().startswith("It goes out at")


# --- At the form -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("https://example.com/a.jpg", False),
        ("https://93.184.215.14/a.jpg", False),
        ("http://localhost/a.jpg", True),
        ("http://127.0.0.1:8000/a.jpg", True),
        ("http://[::1]/a.jpg", True),
        ("http://[fd00::1]/a.jpg", True),
        ("http://169.254.169.254/latest/", True),
        ("https://me:secret@example.com/a.jpg", True),
    ],
)
def test_a_link_that_is_plainly_wrong_is_told_at_once(link: str, wrong: bool) -> None:
    assert bool(attachments.plainly_wrong(link)) is wrong


def test_the_form_tells_it_unless_the_host_is_allowed() -> None:
    account, client = new_account("Phones", "smsgateway"), signed_in()
    typed = {"account": account.pk, "numbers": PEOPLE[0], "attachments": "http://10.1.2.3/a.jpg"}
    assert "10.1.2.3 is an address in a private network." in client.post("/compose/", typed).text
    AllowedHost.objects.create(name="10.1.2.3")
    assert "private network" not in client.post("/compose/", typed).text


# --- What people see ---------------------------------------------------------------------------------


def test_what_people_send_is_fetched_and_shown_small(server: HTTPServer) -> None:
    main = phones()
    links = serve(server, "/a.jpg", JPEG), serve(server, "/b.vcf", b"BEGIN:VCARD", "text/vcard"), "javascript:alert(1)"
    write(main, "See", attachments=links)
    client, at = signed_in(), f"/inbox/{conversation().pk}/"
    before = client.get(at).text
    assert before.count("It is being looked at.") == 2 and "/thumbnail" not in before
    version = inbox_pages.thread_version(conversation(), None)
    attachments.work()
    assert inbox_pages.thread_version(conversation(), None) != version
    row = Attachment.objects.get(link=links[0])
    for page in (client.get(at).text, client.get(f"/messages/{Message.objects.get().pk}/").text):
        assert f'src="/attachments/{row.pk}/thumbnail"' in page and page.count("/thumbnail") == 1
        assert f'href="{links[0]}" rel="noopener noreferrer nofollow" target="_blank"' in page
        assert "image/jpeg, " in page and "text/vcard, 11" in page
        assert 'href="javascript' not in page


def test_a_thumbnail_is_served_as_a_picture_to_those_who_may_see_messages(server: HTTPServer) -> None:
    picture, card = look(serve(server, "/a", JPEG), serve(server, "/b", b"BEGIN:VCARD", "text/vcard"))
    url = f"/attachments/{picture.pk}/thumbnail"
    answer = signed_in(person("ann", "messaging.view_message")).get(url)
    assert answer.content[:4] == b"RIFF" and answer["content-type"] == "image/webp"
    assert answer["x-content-type-options"] == "nosniff" and "private" in answer["cache-control"]
    assert signed_in(person("bob", "messaging.view_conversation")).get(url).status_code == 403
    assert Client().get(url).status_code == 302
    assert signed_in().get(f"/attachments/{card.pk}/thumbnail").status_code == 404
    assert signed_in(person("cyd", "messaging.view_message")).post(url).status_code == 405


@pytest.mark.parametrize(
    ("state", "type", "icon", "about"),
    [
        (GOOD, "image/png", "image", "image/png, 2.0 KB"),
        (GOOD, "audio/amr", "music", "audio/amr, 2.0 KB"),
        (GOOD, "video/3gpp", "video", "video/3gpp, 2.0 KB"),
        (GOOD, "text/vcard", "contact", "text/vcard, 2.0 KB"),
        (GOOD, "application/pdf", "file-text", "application/pdf, 2.0 KB"),
        (REFUSED, "", "paperclip", "Too large."),
        (WAITING, "", "paperclip", "It is being looked at."),
    ],
)
def test_each_kind_has_its_icon_and_says_what_it_is(state: str, type: str, icon: str, about: str) -> None:
    row = Attachment(link="http://x.example/", state=state, type=type, size=2048)
    row.reason = "Too large." if state == REFUSED else ""
    shown = attachment_pages.Shown(row.link, True, row)
    assert (shown.icon, shown.about) == (icon, about)


@pytest.mark.parametrize("link", ["http://x.example/\x00", "http://x.example/" + "a" * 9000])
def test_whatever_a_stranger_calls_a_link_is_stored(link: str) -> None:
    write(phones(), "See", attachments=(link,), number=ADA)
    assert Attachment.objects.count() == 1
