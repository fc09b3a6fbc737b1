"""smsdash as the provider of another smsdash, for every kind and over real connections.

One server plays both: the account near us has its own address as base URL and a key of it, and what that key sends
goes on through the far account, to the sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db.models import F
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from api import deliveries, keys, webhooks
from api.models import ApiKey, Webhook
from contacts.models import ContactList
from devices import inventory, ussd
from devices.models import Device, Sim, UssdRequest
from messaging import campaigns, drain, inbox_polling, polling, posted
from messaging.campaigns import Draft
from messaging.models import Message
from providers import errors, registry
from providers.base import Adapter
from providers.models import AllowedHost, ProviderAccount
from providers.types import (
    Devices,
    Feature,
    GetAccount,
    ListDevices,
    MessageType,
    Outgoing,
    ReadMessages,
    ReadUssd,
    RegisterWebhook,
    Resend,
    SaveContact,
    Send,
    SendUssd,
    Status,
    Target,
    Unsubscribe,
)
from sandbox import agent
from sandbox.accounts import SECRET, open_account
from sandbox.models import Message as Carried
from tests.base import account
from tests.devices.base import let_the_network_answer

pytestmark = pytest.mark.django_db(transaction=True)
KINDS = sorted(registry.kinds())
SANDBOX = "sandbox-far"
NUMBERS = [f"+1555010000{n}" for n in range(3)]
ANSWERS, REFUSED = "+15550100913", "+15550100908"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, live_server: LiveServer) -> Iterator[None]:
    monkeypatch.setattr(drain, "LINGER", 0.0)
    monkeypatch.setattr(drain, "PATIENCE", 0.0)
    monkeypatch.setattr(deliveries, "LINGER", 0.0)
    monkeypatch.setattr(settings, "SMSDASH_PUBLIC_URL", live_server.url)
    AllowedHost.objects.create(name="localhost")
    yield
    if agent._session.cache_info().currsize:
        agent._session().close()  # its thread at the server keeps a connection to the database


@dataclass(frozen=True)
class Hops:
    near: ProviderAccount
    far: ProviderAccount
    key: ApiKey

    @property
    def adapter(self) -> Adapter:
        return self.near.adapter()

    def can(self, feature: Feature) -> bool:
        return feature in self.adapter.supports

    def arrived(self) -> list[str]:
        """The numbers that the sandbox has messages to, as often as it has."""
        return sorted(Carried.objects.filter(received=False).values_list("number", flat=True))

    def send(self) -> None:
        """Everything that waits leaves, through both."""
        for row in (self.near, self.far):
            drain.drain(row.pk, lambda: None)

    def tell(self) -> None:
        """The sandbox tells the far account what became of it all, and that the near one."""
        moments = {name: F(name) - HOUR for name in ("starts_at", "sent_at", "ended_at", "next_at")}
        Carried.objects.update(**moments)
        while agent.tick():
            pass
        for row in (self.far, self.near):
            posted.work()
            Message.objects.filter(account=row, poll_at__isnull=False).update(poll_at=timezone.now())
            polling.poll(row.pk)
            while webhooks.pass_on():
                pass
            deliveries.run(lambda: None)
        posted.work()


def hops(kind: str, server: LiveServer, **settings: Any) -> Hops:
    """``settings``: of the key."""
    ends = registry.adapter_class(kind).base_url_ends
    fields = [field.name for field in registry.adapter_class(kind).fields]
    theirs = {"api_password": SECRET} | dict.fromkeys(("api_key", "webhook_secret"), SANDBOX)
    far = account("Far", kind, base_url=f"{server.url}/sandbox/{kind}{ends}", credentials=_only(theirs, fields))
    open_account(kind, SANDBOX)
    row, key, secret = keys.create("Near", far, accounts=[far], **settings)
    ours = {"api_key": key, "api_password": secret, "webhook_secret": ""}
    near = account("Near", kind, base_url=server.url + ends, credentials=_only(ours, fields))
    if Feature.DEVICES in registry.adapter_class(kind).supports:
        inventory.sync(far)
    return Hops(near, far, row)


def _only(values: dict[str, str], names: list[str]) -> dict[str, str]:
    return {name: values[name] for name in names if name in values}


def outgoing(*numbers: str, text: str = "Hello “there”, 100 % ✓") -> tuple[Outgoing, ...]:
    return tuple(Outgoing(number, text, ref=f"ref {number}") for number in numbers)


def ours(found: Hops) -> list[Message]:
    """What the key sent."""
    return list(Message.objects.filter(client=found.key.pk).order_by("pk"))


# --- Every operation of an Adapter, against our own server --------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_messages_go_over_the_wire_and_back(kind: str, live_server: LiveServer) -> None:
    found = hops(kind, live_server)
    adapter = found.adapter
    one = adapter.send(Send(outgoing(NUMBERS[0]))).outcomes[0]
    several = adapter.send(Send(outgoing(*NUMBERS[: adapter.max_batch]))).outcomes
    rows = ours(found)
    assert [m.number for m in rows] == [NUMBERS[0], *NUMBERS[: adapter.max_batch]]
    assert {(m.text, m.account_id, m.status) for m in rows} == {(outgoing("")[0].text, found.far.pk, "queued")}
    assert [o.provider_id for o in (one, *several)] == [str(m.pk) for m in rows]
    assert all(o.taken for o in (one, *several)) and several[-1].ref == f"ref {rows[-1].number}"
    if found.can(Feature.STATUS):
        (told,) = adapter.call(ReadMessages(id=one.provider_id))
        assert (told.number, told.text, told.status) == (NUMBERS[0], rows[0].text, Status.QUEUED)
        with pytest.raises(errors.NotFound):
            adapter.call(ReadMessages(id="999999999999"))


@pytest.mark.once
@pytest.mark.parametrize("kind", KINDS)
def test_errors_go_over_the_wire(kind: str, live_server: LiveServer) -> None:
    found = hops(kind, live_server)
    send, balance = found.adapter.send, found.can(Feature.CREDITS)
    if balance:
        assert found.adapter.call(GetAccount()).credits.unlimited
    ApiKey.objects.update(credits=2)
    if balance:
        assert found.adapter.call(GetAccount()).credits.amount == 2
    if found.adapter.max_batch > 1:
        outcomes = send(Send(outgoing(NUMBERS[0], "12", NUMBERS[1], text="Hi"))).outcomes
        assert [outcome.taken for outcome in outcomes] == [True, False, True]
    else:
        with pytest.raises(errors.InvalidNumber):
            send(Send(outgoing("nobody")))
        assert all(send(Send(outgoing(number, text="Hi"))).outcomes[0].taken for number in NUMBERS[:2])
    with pytest.raises(errors.NoCredits):
        send(Send(outgoing(NUMBERS[1], text="Hi")))
    keys.revoke(found.key)
    with pytest.raises(errors.KeyRefused):
        send(Send(outgoing(NUMBERS[2], text="Hi")))
    assert [m.number for m in ours(found)] == NUMBERS[:2]


@pytest.mark.once
def test_a_webhook_is_registered(live_server: LiveServer) -> None:
    found = hops("smsprovider", live_server)
    url = f"{live_server.url}/callbacks/{found.near.callback_token}/"
    told = found.adapter.call(RegisterWebhook(url, found.adapter.webhook_events))
    row = Webhook.objects.get()
    assert (row.url, row.key, told.id) == (url, found.key, str(row.pk))
    assert told.secret == row.sealed["secret"]


@pytest.mark.once
def test_what_phones_do_goes_over_the_wire(live_server: LiveServer) -> None:
    """Everything that the other kinds cannot."""
    found = hops("smsgateway", live_server)
    call = found.adapter.call
    theirs = {phone.name: str(phone.pk) for phone in Device.objects.filter(account=found.far)}
    listed = {info.name: info for info in call(ListDevices())}
    assert {name: info.id for name, info in listed.items()} == {n: pk for n, pk in theirs.items() if n != "Old phone"}
    first, second = theirs["Front desk"], theirs["Warehouse"]
    assert listed["Front desk"].primary and listed["Warehouse"].sims[1].number == "+15550100202"
    split = Devices(targets=(Target(first), Target(second, 0), Target(second, 1)))
    mixed = tuple(Outgoing(NUMBERS[n % 3], f"Text {n}") for n in range(6))
    sent = found.adapter.send(Send(mixed, devices=split, priority=True)).outcomes
    assert [(o.device, o.sim) for o in sent] == [(first, None), (second, 0), (second, 1)] * 2
    link = "https://example.com/a,b.png"
    later = timezone.now().replace(microsecond=0) + HOUR
    picture = Outgoing(NUMBERS[0], "Look", type=MessageType.MMS, attachments=(link,))
    (waits,) = found.adapter.send(Send((picture,), schedule=later)).outcomes
    (told,) = call(ReadMessages(id=waits.provider_id))
    assert (told.status, told.schedule, told.type) == (Status.SCHEDULED, later, MessageType.MMS)
    assert [info.id for info in call(ReadMessages(device=second, sim=0))] == [sent[4].provider_id, sent[1].provider_id]
    Message.objects.filter(pk=sent[0].provider_id).update(status="failed")
    (again,) = call(Resend(id=sent[0].provider_id))
    assert Message.objects.get(pk=again.id).resend_of_id == int(sent[0].provider_id)


@pytest.mark.once
def test_lists_go_over_the_wire(live_server: LiveServer) -> None:
    found = hops("smsgateway", live_server)
    call, to = found.adapter.call, str(ContactList.objects.create(name="News").pk)
    for op, subscribed in (
        (SaveContact(to, NUMBERS[0], "Ann"), True),
        (Unsubscribe(to, NUMBERS[0]), False),
        (SaveContact(to, NUMBERS[0]), False),
        (SaveContact(to, NUMBERS[0], resubscribe=True), True),
    ):
        told = call(op)
        assert (told.subscribed, told.name, told.list_id, told.number) == (subscribed, "Ann", to, NUMBERS[0])
    call(SaveContact(to, NUMBERS[1]))
    (outcome,) = found.adapter.send(Send((Outgoing("", "To all"),), list_id=to)).outcomes
    assert outcome.taken and [m.number for m in ours(found)] == NUMBERS[:2]


@pytest.mark.once
def test_codes_go_over_the_wire(live_server: LiveServer) -> None:
    found = hops("smsgateway", live_server)
    call, device = found.adapter.call, str(Device.objects.get(account=found.far, name="Warehouse").pk)
    asked = call(SendUssd("*100#", device, 1))
    assert (asked.code, asked.device, asked.sim, asked.response) == ("*100#", device, 1, None)
    with pytest.raises(errors.Rejected, match="still waits"):
        call(SendUssd("*150#", device, 1))
    with pytest.raises(errors.KeyRefused, match="admin"):
        call(SendUssd("**21*+15550100#", device, 0))
    assert call(ReadUssd(id=asked.id)) == call(ReadUssd(device=device, sim=1, code="*100#")) == (asked,)


# --- The whole way ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_takes_both_hops_once_and_its_status_comes_back(kind: str, live_server: LiveServer) -> None:
    found = hops(kind, live_server)
    campaigns.submit(Draft(found.near, [*NUMBERS, ANSWERS], "Hello"))
    found.send()
    found.send()  # nothing is left to be sent
    assert found.arrived() == sorted([*NUMBERS, ANSWERS])
    assert [m.number for m in ours(found)] == [*NUMBERS, ANSWERS]
    for _turn in range(2):
        found.tell()
    best = Status.DELIVERED if {Feature.STATUS, Feature.REPORTS} & found.adapter.supports else Status.SENT
    assert set(Message.objects.exclude(status="received").values_list("account__name", "number", "status")) == {
        (name, number, best) for name in ("Near", "Far") for number in (*NUMBERS, ANSWERS)
    }
    assert found.arrived() == sorted([*NUMBERS, ANSWERS])


def test_an_answer_comes_back_through_both_by_webhook_and_by_asking(live_server: LiveServer) -> None:
    found = hops("smsgateway", live_server)
    address = f"{live_server.url}/callbacks/{found.near.callback_token}/"
    told = Webhook(url=address, key=found.key, events=["message.received"], format=Webhook.Format.SMSGATEWAY)
    told.save()
    webhooks.keep_wanted()
    campaigns.submit(Draft(found.near, [ANSWERS], "Hello?"))
    found.send()
    found.tell()
    inbox_polling.poll(found.far.pk)
    found.tell()
    (heard,) = Message.objects.filter(account=found.near, status="received")
    assert (heard.number, heard.text) == (ANSWERS, "Thank you, that works for me.")
    original = Message.objects.get(account=found.far, status="received")
    assert heard.provider_id == str(original.pk)
    told.delete()
    inbox_polling.poll(found.near.pk)
    assert Message.objects.filter(account=found.near, status="received").count() == 1
    Message.objects.filter(pk=heard.pk).delete()
    inbox_polling.poll(found.near.pk)
    assert Message.objects.get(account=found.near, status="received").provider_id == heard.provider_id


def test_a_code_is_dialled_through_both_and_its_answer_comes_back(live_server: LiveServer) -> None:
    found = hops("smsgateway", live_server)
    inventory.sync(found.near)
    assert {sim.number for sim in Sim.objects.filter(device__account=found.near)} == {
        sim.number for sim in Sim.objects.filter(device__account=found.far, device__enabled=True)
    }
    sims = Sim.objects.select_related("device__account").filter(device__account=found.near, device__name="Warehouse")
    ussd.work(ussd.ask(sims[1], "*100#", None).pk)
    near, far = UssdRequest.objects.get(account=found.near), UssdRequest.objects.get(account=found.far)
    assert (far.device_id, far.sim, near.provider_id) == ("2", 1, str(far.pk))
    ussd.work(far.pk)
    let_the_network_answer()
    for request in (far, near):
        UssdRequest.objects.filter(pk=request.pk).update(poll_at=timezone.now())
        ussd.work(request.pk)
        request.refresh_from_db()
        assert request.response == "Your balance is 12.50 EUR. Valid until 31.12.2030."
