"""10,000 events at once, over real HTTP: mixed kinds, doubled, early, out of order, and two workers at it."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from contacts.models import Contact
from messaging import ledger, posted, reports
from messaging.ledger import Change
from messaging.models import Conversation, DeliveryReport, Message, Posted
from providers.models import ProviderAccount
from providers.types import Inbound, Report, Request, Status
from tests import posting
from tests.base import account

from . import counts
from .conversations import phones

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "secret-1234"
GATEWAY, SINGLE, EARLY, PEOPLE = 4_500, 120, 40, 60  # messages; of the single ones, those reported too early
AT_ONCE = 100  # events in an array
CLIENTS = 6
ENDS = (Status.SENT, Status.EXPIRED, Status.FAILED, Status.DELIVERED)  # a message ends as the last of its reports here

Said = dict[str, set[Status]]
Post = tuple[ProviderAccount, Request]


def number(n: int) -> str:
    return f"+1555{n:07d}"


def messages(at: ProviderAccount, prefix: str, count: int, known: int) -> list[Message]:
    """Sent ones; of those from ``known`` on the provider's ID has not come yet."""
    rows = [Message(account=at, number=number(n), text="x", status="sent") for n in range(count)]
    for n, row in enumerate(rows):
        if n < known:
            row.provider_id = f"{prefix}{n}"
        else:
            row.status = "sending"
    return ledger.insert(rows)


def gateway_posts(main: ProviderAccount, said: Said, dice: random.Random) -> list[Post]:
    """Arrays with all that happened to the messages, and what people wrote, in no order; some arrays come twice."""
    events = []
    for n in range(GATEWAY):
        for word in ("Sent", dice.choice(("Delivered", "Delivered", "Failed"))):
            events.append(posting.gateway_message(f"g{n}", number(n), word))
            said[f"g{n}"].add(Status(word.lower()))
    for n in range(PEOPLE):
        text = "STOP" if n % 10 == 0 else f"Hello {n}"
        events += [posting.gateway_message(f"in{n}", number(n), "Received", text)] * 2
    dice.shuffle(events)
    arrays = [events[start : start + AT_ONCE] for start in range(0, len(events), AT_ONCE)]
    return [(main, posting.gateway(SECRET, *array)) for array in (*arrays, *arrays[:5])]


def single_posts(shop: ProviderAccount, said: Said, dice: random.Random) -> list[Post]:
    found = []
    for n in range(SINGLE):
        for status in (Status.SENT, dice.choice(ENDS), dice.choice(ENDS)):
            said[f"s{n}"].add(status)
            found.append((shop, posting.written(shop, Report(f"s{n}", status, number(n), status.value), SECRET)))
    return found * 2


def replies(voip: ProviderAccount) -> list[Post]:
    events = [Inbound(f"v{n}", number(n), f"Yes {n}", to="+17134567890") for n in range(PEOPLE)]
    return [(voip, posting.written(voip, event, "")) for event in events] * 2


def deliver(server: str, posts: Iterable[Post]) -> list[int]:
    with requests.Session() as session:
        return [
            session.post(
                f"{server}/callbacks/{to.callback_token}/", data=post.body, headers=dict(post.headers), timeout=60
            ).status_code
            for to, post in posts
        ]


def works_until(over: threading.Event) -> None:
    try:
        while not over.is_set() or Posted.objects.exists():
            posted.work()
    finally:
        connection.close()


def flood(server: str, posts: Sequence[Post]) -> Counter[int]:
    """Everything at once, and two workers that begin before the end. How often each status was answered."""
    over = threading.Event()
    with ThreadPoolExecutor(CLIENTS + 2) as pool:
        workers = [pool.submit(works_until, over) for _ in range(2)]
        answers = [pool.submit(deliver, server, posts[n::CLIENTS]) for n in range(CLIENTS)]
        found = Counter(status for answer in answers for status in answer.result(120))
        over.set()
        for worker in workers:
            worker.result(120)
    return found


def answer_late(shop: ProviderAccount, rows: Sequence[Message]) -> None:
    """The answers to the requests that sent these come only now, with their IDs."""
    ids = {row.pk: f"s{SINGLE - EARLY + n}" for n, row in enumerate(rows)}
    ledger.apply(Change(pk, Status.SENT, {"provider_id": name}) for pk, name in ids.items())
    reports.replay(shop, list(ids.values()))


def test_ten_thousand_events_at_once_end_exactly(live_server: LiveServer) -> None:
    dice, said = random.Random(6), defaultdict[str, set[Status]](set)
    main, shop, voip = phones(), account("Shop"), account("Overseas", kind="voipcommunications")
    messages(main, "g", GATEWAY, GATEWAY)
    early = messages(shop, "s", SINGLE, SINGLE - EARLY)[-EARLY:]
    posts = [*gateway_posts(main, said, dice), *single_posts(shop, said, dice), *replies(voip)]
    dice.shuffle(posts)

    assert flood(live_server.url, posts) == {200: len(posts)}
    answer_late(shop, early)

    rows = Message.objects.exclude(status="received").filter(campaign=None).values_list("provider_id", "status")
    assert dict(rows) == {name: max(statuses, key=ENDS.index) for name, statuses in said.items()}
    told = Counter(DeliveryReport.objects.values_list("provider_id", "status"))
    assert told == {(name, status.value): 1 for name, statuses in said.items() for status in statuses}
    assert not DeliveryReport.objects.filter(message=None).exists()
    heard = Counter(Message.objects.filter(status="received").values_list("provider_id", flat=True))
    assert heard == {f"{prefix}{n}": 1 for prefix in ("in", "v") for n in range(PEOPLE)}
    assert Conversation.objects.count() == PEOPLE
    stopped = Contact.objects.filter(opted_out_at__isnull=False).values_list("number", flat=True)
    assert set(stopped) == {number(n) for n in range(0, PEOPLE, 10)}
    assert counts.kept() == counts.recounted()
    assert not Posted.objects.exists()
