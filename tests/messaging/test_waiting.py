"""Why a message waits: a sentence for every case, and the time at which it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Device, Sim
from messaging import ledger, waiting
from messaging.models import Campaign, Message, Worker
from messaging.waiting import Waiting
from providers import pacing
from providers.models import Exchange, Pace, ProviderAccount
from providers.pacing import Log
from providers.types import Rate, Status
from tests.base import account

pytestmark = pytest.mark.django_db
SOON = timedelta(minutes=30)
Values = dict[str, Any]


@pytest.fixture(autouse=True)
def worker() -> Worker:
    return Worker.objects.create(name="w", progress_at=timezone.now())


def message(main: ProviderAccount, **values: Any) -> Message:
    return ledger.insert([Message(account=main, **{"number": "+37255512345", "text": "Hello", **values})])[0]


def why(row: Message) -> Waiting:
    """As the page asks: with everything fetched at once, and few queries after that."""
    found = Message.objects.select_related("account__pace", "campaign").get(pk=row.pk)
    with CaptureQueriesContext(connection) as asked:
        answer = waiting.why(found)
    assert len(asked) <= 6
    assert answer is not None
    return answer


def now() -> datetime:
    return timezone.now()


CASES: Mapping[str, tuple[Values, Values, str, bool]] = {
    # the message, its account, the words, does it need a person?
    "scheduled": ({"status": "scheduled", "due_at": SOON}, {}, "It waits for its time:", False),
    "next": ({}, {}, "It is next in line and goes in a moment.", False),
    "retried": ({"due_at": SOON, "error_text": "No route."}, {}, "It is tried again at ", False),
    "retried, why": ({"due_at": SOON, "error_text": "No route."}, {}, "No route.", False),
    "put off": ({"due_at": SOON}, {}, "It goes out at ", False),
    "given back": ({"error_text": "The limit is reached."}, {}, "The last attempt: The limit is reached.", False),
    "paused by a person": ({}, {"paused_reason": "By alice."}, "is paused: By alice. Resume it to send.", True),
    "paused by an error": (
        {},
        {"paused_reason": "Bad key.", "paused_code": "401", "probe_at": SOON},
        "The account Main is paused: Bad key. smsdash tries again at ",
        True,
    ),
    "scheduled, paused": ({"status": "scheduled", "due_at": SOON}, {"paused_reason": "Broke."}, "is paused:", True),
    "disabled": ({}, {"enabled": False}, "The account Main is switched off.", True),
    "down": ({}, {"down_since": -SOON, "down_reason": "No answer."}, "keeps trying. No answer.", False),
    "no credits": ({}, {"credits": 0, "credits_seen_at": -SOON}, "has no credits left", True),
    "sending": ({"status": "sending"}, {}, "The request is on its way to the provider.", False),
    "reported": ({"status": "sent"}, {}, "It waits for the delivery report.", False),
    "asked for": ({"status": "sent", "poll_at": SOON}, {}, "smsdash asks for it at ", False),
    "nothing to come": ({"status": "sent"}, {"kind": "customersms"}, "“Sent” is the last thing", False),
    "uncertain": ({"status": "uncertain"}, {}, "count the message as sent or send it again", True),
    "asked about": ({"status": "uncertain", "poll_at": SOON}, {}, "smsdash asks the provider at ", False),
    "asked in vain": (
        {"status": "uncertain", "error_code": "not_clear", "error_text": "The provider was asked."},
        {},
        "The provider was asked.",
        True,
    ),
    "never reported": (
        {"status": "sent", "error_code": "no_report", "error_text": "No report."},
        {},
        "No report.",
        False,
    ),
    "expires first": ({"due_at": SOON, "expires_at": SOON / 2}, {}, "It does not go any more after ", True),
    "expires later": ({"due_at": SOON / 2, "expires_at": SOON}, {}, "It goes out at ", False),
}


def moved(values: Values) -> Values:
    """Spans of time from now on."""
    return {name: now() + value if isinstance(value, timedelta) else value for name, value in values.items()}


@pytest.mark.parametrize("case", list(CASES))
def test_it_says_why_in_words(case: str) -> None:
    values, state, words, attention = CASES[case]
    values = moved(values)
    answer = why(message(account(**moved(state)), **values))
    assert words in answer.text
    assert answer.attention is attention
    if words.endswith((" at ", ":")) and not state:
        assert answer.expected == values.get("poll_at", values.get("due_at"))


@pytest.mark.parametrize("status", sorted(ledger.FINAL))
def test_what_is_over_waits_for_nothing(status: str) -> None:
    assert waiting.why(message(account(), status=status)) is None


def test_an_account_of_a_kind_that_is_gone_is_told() -> None:
    row = message(account())
    ProviderAccount.objects.update(kind="gone")
    assert "There is no adapter" in why(row).text


def test_without_a_worker_it_says_so(worker: Worker) -> None:
    row = message(account())
    Worker.objects.update(progress_at=now() - timedelta(seconds=61))
    assert (why(row).attention, "No background worker is running" in why(row).text) == (True, True)


def test_a_message_in_an_open_request_is_on_its_way() -> None:
    main = account(paused_reason="By alice.")
    rows = [message(main), message(main)]
    Exchange.objects.create(account=main, verb="send", open=True, refs=[rows[0].pk])
    assert "is on its way" in why(rows[0]).text and "is paused" in why(rows[1]).text


# --- Times -------------------------------------------------------------------------------------------


def next_hours() -> tuple[str, datetime]:
    """Sending hours that begin one or two hours from now, and when."""
    start = timezone.localtime(now() + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    return f"{start:%H}:00-{start + timedelta(hours=1):%H}:00", start


def test_outside_the_sending_hours_it_says_when_they_begin() -> None:
    hours, start = next_hours()
    answer = why(message(account(hours=hours)))
    assert "It is outside the sending hours now." in answer.text
    assert answer.expected == start


@pytest.mark.parametrize(
    ("values", "words"),
    [({}, "It waits for its time:"), ({"finish_by": SOON * 3}, "its campaign is spread over the time it has")],
)
def test_what_a_campaign_put_off_says_why(values: Values, words: str) -> None:
    main = account()
    campaign = Campaign.objects.create(account=main, text="x", **moved(values))
    assert words in why(message(main, campaign=campaign, status="scheduled", due_at=now() + SOON)).text


def test_a_campaign_that_waits_for_its_hours_says_so() -> None:
    main, (hours, start) = account(), next_hours()
    campaign = Campaign.objects.create(account=main, text="x", hours=hours)
    row = message(main, campaign=campaign, status="scheduled", due_at=start)
    assert "It waits for the sending hours." in why(row).text


def test_it_says_while_its_campaign_is_still_being_put_in_the_queue() -> None:
    main = account()
    campaign = Campaign.objects.create(account=main, text="x", total=9000, expanded=1000)
    assert "1,000 of 9,000 messages are" in why(message(main, campaign=campaign)).text


def test_it_says_until_when_the_provider_asked_to_wait() -> None:
    main = account()
    pacing.hold(main, 300)
    answer = why(message(main))
    assert "asked smsdash to wait" in answer.text
    assert answer.expected and abs(answer.expected - now() - timedelta(seconds=300)) < timedelta(minutes=1)


# --- In line -----------------------------------------------------------------------------------------


def test_it_tells_its_place_behind_the_urgent_and_the_older() -> None:
    main, other, due = account(), account("Other"), now() - SOON
    rows = [message(main, due_at=due) for _ in range(3)]
    message(main, due_at=due - SOON)
    message(main, priority=1)
    message(main, priority=1, due_at=now() + SOON)
    message(main, due_at=due, status="failed")
    message(other, due_at=due - SOON)
    assert [why(row).place for row in rows] == [3, 4, 5]
    assert why(message(main, priority=1)).place == 2


def test_without_a_limit_it_tells_the_place_and_no_time() -> None:
    main = account(kind="smsgateway")
    answer = why([message(main), message(main)][-1])
    assert (answer.place, answer.expected, "which has no rate limit" in answer.text) == (2, None, True)


def test_the_place_is_counted_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "COUNTED", 3)
    main = account()
    last = [message(main) for _ in range(6)][-1]
    answer = why(last)
    assert (answer.place, "More than 3 messages are before it" in answer.text) == (None, True)


@pytest.mark.usefixtures("still")
def test_the_time_is_that_of_the_limit_which_holds_it_longest() -> None:
    main = account(kind="customersms", rates=["100/minute", "120/hour"])
    pace = Log(main.windows)
    pace.add(now().timestamp() - 600, 110)
    Pace.objects.create(account=main, log=pace.text())
    for _ in range(900):
        row = Message(account=main, number="+37255512345", text="x")
        ledger.insert([row])
    answer = why(row)
    # nine requests of a hundred; seven fit in the hour with two kept for urgent ones, the next when the old ones end
    assert answer.place == 900
    assert "120/hour" in answer.text
    assert answer.expected and abs(answer.expected - now() - timedelta(minutes=50)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("request_n", "seconds"), [(1, 0), (4, 0), (5, 4), (10, 4), (11, 10), (15, 14), (25, 24), (101, 100)]
)
def test_the_nth_request_leaves_when_the_window_frees_a_place(request_n: int, seconds: float) -> None:
    log = Log([Rate(10, 10)], even=False)
    log.add(94, 6)  # free again at 104; four places are left at 100
    assert waiting.wait_of(log, Rate(10, 10), request_n, 100.0) == pytest.approx(seconds)


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_the_forecast_is_when_the_real_limit_lets_it_go(n: int) -> None:
    rate = Rate(10, 10)
    forecast = waiting.wait_of(Log([rate]), rate, n, 100.0)
    log, clock = Log([rate]), 100.0
    for _ in range(n):
        clock += log.wait(clock)
        log.add(clock)
    assert forecast == pytest.approx(clock - 100.0, abs=0.1)


# --- Phones ------------------------------------------------------------------------------------------


def used_up(sim: Sim) -> None:
    log = Log([Rate(2, 3600)], even=False)
    log.add(now().timestamp() - 1800, 2)
    sim.per_hour, sim.log = 2, log.text()


def shut(sim: Sim) -> None:
    sim.per_day = 0


PHONES: Mapping[str, tuple[Values, Callable[[Sim], None] | None, str, bool]] = {
    "fine": ({}, None, "It is next in line", False),
    "off": ({"enabled": False}, None, "The phone Desk is switched off", True),
    "offline": ({"online": False}, None, "The phone Desk is offline", True),
    "limit reached": ({}, used_up, "reached its limit. It may send again at", False),
    "limit of nothing": ({}, shut, "its limit is 0", True),
}


@pytest.mark.parametrize("case", list(PHONES))
def test_it_tells_what_is_the_matter_with_its_phone(case: str) -> None:
    values, change, words, attention = PHONES[case]
    main = account(kind="smsgateway")
    sim = Sim.objects.create(
        device=Device.objects.create(account=main, device_id="7", name="Desk", **values), slot=1, label="Red"
    )
    if change:
        change(sim)
        sim.save()
    answer = why(message(main, device="7", sim=1, status=Status.QUEUED))
    assert (words in answer.text, answer.attention) == (True, attention)
    if change is used_up:
        assert answer.expected and abs(answer.expected - now() - SOON) < timedelta(minutes=1)


# --- Counts ------------------------------------------------------------------------------------------


def test_the_messages_that_wait_are_told_by_account_from_the_kept_counts() -> None:
    main, other = account(), account("Other")
    for status in ("queued", "scheduled", "sending", "sent", "failed"):
        message(main, status=status)
    message(other, status="delivered")
    assert waiting.by_account() == {main.pk: 3}
