"""What is done with a campaign on its page, and by whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from messaging import expanding
from messaging.models import BulkAction, Campaign, Message
from providers.models import ProviderAccount
from tests.base import administrator, person, signed_in

from .campaign_rows import URL, at, campaign, text_of

pytestmark = pytest.mark.django_db
VIEW, CHANGE, APPROVE = "messaging.view_campaign", "messaging.change_campaign", "messaging.approve_campaign"


def act(client: Client, of: Campaign, action: str, **values: str) -> str:
    """What the page says afterwards."""
    reply = client.post(f"{at(of)}act/", {"action": action, **values})
    assert reply["Location"] == at(of)
    of.refresh_from_db()
    return text_of(client, at(of))


def test_it_is_paused_for_a_reason_resumed_and_canceled(main: ProviderAccount) -> None:
    one = campaign(main, {"queued": 2, "sent": 1})
    client = signed_in()
    page = act(client, one, "pause", reason="Wrong link")
    assert (one.state, one.state_by, one.state_reason) == ("paused", "admin", "Wrong link")
    assert "Wrong link" in page and 'value="resume"' in page and 'value="pause"' not in page
    page = act(client, one, "resume")
    assert one.state == "sending" and 'value="pause"' in page and 'value="resume"' not in page
    assert "2 recipients still wait and get nothing then." in page
    page = act(client, one, "cancel")
    assert one.state == "canceled" and "Canceled by admin." in page and 'name="action"' not in page


def test_a_click_that_comes_too_late_says_so(main: ProviderAccount) -> None:
    one = campaign(main, {"sent": 1})
    assert "Nothing was done: the campaign’s state had changed by then." in act(signed_in(), one, "pause")
    assert one.state == "sending"


@pytest.mark.usefixtures("still")
def test_the_time_to_undo_runs_down_by_polling(main: ProviderAccount) -> None:
    one = campaign(main, {}, complete=False, total=5, cursor=expanding.FIRST)
    client = signed_in()
    versions = set()
    for seconds in (20, 17):
        Campaign.objects.filter(pk=one.pk).update(due_at=timezone.now() + timedelta(seconds=seconds))
        versions.add(client.get(at(one)).context["version"])
    assert len(versions) == 2


def test_it_can_be_undone_until_the_moment_that_the_page_names(main: ProviderAccount) -> None:
    due = timezone.now() + timedelta(seconds=20)
    one = campaign(main, {}, complete=False, total=5, due_at=due, cursor=expanding.FIRST)
    client = signed_in()
    page = text_of(client, at(one))
    assert f'datetime="{timezone.localtime(due).isoformat()}"' in page and "seconds from now" in page
    assert 'value="cancel"' not in page
    assert "It is undone: nothing was sent." in act(client, one, "undo")
    assert one.state == "canceled"


def test_a_second_person_approves_or_rejects(main: ProviderAccount) -> None:
    author = administrator("author")
    one, other = (campaign(main, {}, state="approval", total=3, complete=False, created_by=author) for _ in "ab")
    assert 'value="approve"' not in text_of(signed_in(author), at(one))
    assert signed_in(author).post(f"{at(one)}act/", {"action": "approve"}).status_code == 403
    boss = signed_in(person("boss", VIEW, APPROVE))
    assert 'value="approve"' in text_of(boss, at(one))
    assert "The campaign is approved." in act(boss, one, "approve")
    assert "The campaign is rejected, and nothing is sent." in act(boss, other, "reject")
    assert (one.state, other.state) == ("sending", "canceled")


def test_what_failed_is_sent_once_more_after_saying_how_many(main: ProviderAccount) -> None:
    one = campaign(main, {"failed": 2, "expired": 1, "delivered": 4})
    client = signed_in()
    assert "2 messages failed." in text_of(client, at(one))
    act(client, one, "resend")
    act(client, one, "resend")
    assert BulkAction.objects.count() == 1
    assert Message.objects.exclude(resend_of=None).count() == 2
    assert 'value="resend"' not in text_of(client, at(campaign(main)))


def test_a_campaign_has_another_name(main: ProviderAccount) -> None:
    one = campaign(main)
    client = signed_in()
    client.post(f"{at(one)}rename/", {"name": "Summer sale"})
    assert "<h1>Summer sale</h1>" in text_of(client, at(one))
    client.post(f"{at(one)}rename/", {"name": "x" * 101})
    assert "at most 100 characters" in text_of(client, at(one))
    one.refresh_from_db()
    assert one.name == "Summer sale"


@pytest.mark.parametrize(
    ("action", "values", "permission"),
    [("pause", {}, CHANGE), ("resume", {"state": "paused"}, CHANGE), ("cancel", {}, CHANGE), ("resend", {}, CHANGE),
     ("approve", {"state": "approval"}, APPROVE), ("reject", {"state": "approval"}, APPROVE)],
)  # fmt: skip
def test_each_takes_its_permission_and_a_post(
    main: ProviderAccount, action: str, values: dict[str, Any], permission: str
) -> None:
    one = campaign(main, {"queued": 1, "failed": 1}, **values)
    before = one.state
    others = {CHANGE, APPROVE, "messaging.add_message"} - {permission}
    viewer = signed_in(person("viewer", VIEW, *others))
    assert f'value="{action}"' not in text_of(viewer, at(one))
    assert viewer.post(f"{at(one)}act/", {"action": action}).status_code == 403
    assert signed_in(person("able", permission)).post(f"{at(one)}act/", {"action": action}).status_code == 403
    assert viewer.get(f"{at(one)}act/").status_code == 405
    one.refresh_from_db()
    assert one.state == before and not BulkAction.objects.exists()


def test_looking_and_renaming_take_permissions(main: ProviderAccount) -> None:
    one = campaign(main)
    assert signed_in(person("alice", "messaging.view_message")).get(URL).status_code == 403
    viewer = signed_in(person("viewer", VIEW))
    assert viewer.get(URL).status_code == viewer.get(at(one)).status_code == 200
    assert viewer.post(f"{at(one)}rename/", {"name": "x"}).status_code == 403
    assert viewer.get(f"{URL}999999999999/").status_code == 404
