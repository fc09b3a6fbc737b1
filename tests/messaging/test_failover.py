"""A route at work: real drains, and providers at the other end of the wire that break down."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import timedelta

import pytest

from messaging import campaigns, clock, drain, rerouting, routes
from messaging.campaigns import Draft
from messaging.models import Message, Route, RouteMember
from providers import errors
from providers.models import ProviderAccount
from providers.transport import HttpTransport
from providers.types import Reply, Request
from tests.base import account

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = [f"+1555200{n:04d}" for n in range(30)]


class Providers:
    """smsprovider's wire behind several accounts. ``broken``: what the accounts named so answer or raise."""

    def __init__(self) -> None:
        self.taken: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.broken: dict[str, Reply | Exception] = {}

    def __call__(self, transport: HttpTransport, request: Request) -> Reply:
        name = transport.base_url.split("/")[-2]
        if isinstance(fault := self.broken.get(name), Exception):
            raise fault
        if fault:
            return fault
        to = json.loads(request.body)["to"]
        numbers = to if isinstance(to, list) else [to]
        self.taken[name].update(numbers)
        entries = [{"to": number, "message_id": f"{name}_{number}"} for number in numbers]
        return answer(200, {"success": True, "message_id": name, "status": "queued", "messages": entries})


def answer(status: int, body: object) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())


REFUSED = answer(401, {"success": False, "error": {"code": "invalid_api_key", "message": "Unknown key."}})
SPENT = answer(402, {"success": False, "error": {"code": "insufficient_credits", "message": "No credits are left."}})


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> Providers:
    found = Providers()
    clock._woken.clear()
    monkeypatch.setattr(HttpTransport, "__call__", lambda self, request: found(self, request))
    monkeypatch.setattr(drain, "LINGER", 0.0)
    monkeypatch.setattr(drain, "PATIENCE", 0.0)
    return found


@pytest.fixture
def route() -> Route:
    made = Route.objects.create(name="Everywhere")
    for place, name in enumerate("ABC"):
        row = account(name, base_url=f"http://127.0.0.1:9/{name}/v1", rates=["1000/second"])
        RouteMember.objects.create(route=made, account=row, position=place)
    return made


def send(route: Route) -> None:
    campaigns.submit(Draft(routes.first(route), NUMBERS, "Hello", route=route))


def work(name: str) -> None:
    drain.drain(ProviderAccount.objects.get(name=name).pk, lambda: None)


@pytest.mark.parametrize(
    "fault", [REFUSED, SPENT, errors.Unreachable()], ids=["key refused", "no credits", "unreachable"]
)
def test_what_the_first_cannot_send_leaves_through_the_next(
    route: Route, providers: Providers, monkeypatch: pytest.MonkeyPatch, fault: Reply | Exception
) -> None:
    monkeypatch.setattr(routes, "GRACE", timedelta(0))
    providers.broken["A"] = fault
    send(route)
    work("A")
    assert rerouting.due() == [route.pk]
    rerouting.balance(route.pk)
    work("B")
    assert providers.taken == {"B": Counter(NUMBERS)}
    assert set(Message.objects.values_list("account__name", "status")) == {("B", "sent")}


def test_what_the_first_may_have_taken_goes_out_no_second_time(route: Route, providers: Providers) -> None:
    providers.broken["A"] = errors.Uncertain()
    send(route)
    work("A")
    ProviderAccount.objects.filter(name="A").update(enabled=False)
    rerouting.balance(route.pk)
    work("B")
    assert providers.taken == {}
    assert set(Message.objects.values_list("account__name", "status")) == {("A", "uncertain")}


def test_a_new_campaign_passes_over_what_is_known_to_be_broken(route: Route, providers: Providers) -> None:
    ProviderAccount.objects.filter(name="A").update(paused_reason="The key was refused.")
    send(route)
    assert set(Message.objects.values_list("account__name", flat=True)) == {"B"}
