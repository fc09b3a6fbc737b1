"""A fifth kind of provider is one file: it is found, offered, set up, sent through and served."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from providers import adapters, registry
from providers.errors import Unsupported
from providers.models import ProviderAccount
from providers.types import GetAccount, Outgoing, Send

KIND = """
from providers import base, errors, wire
from providers.types import Credential, Feature, Field, Outcome, Outgoing, Reply, Request, Send, SendResult, Status


class Adapter(base.Adapter):
    kind = "pigeon"
    label = "Pigeon post"
    base_url_example = "https://pigeons.example"
    supports = frozenset({Feature.SEND})
    fields = (Field("ring", "Ring number"),)

    def write_send(self, op):
        body = {"ring": self.account.credentials["ring"], "to": op.messages[0].number, "note": op.messages[0].text}
        return Request("POST", "/fly", body=wire.dump_json(body))

    def read_send(self, op, reply):
        return SendResult((Outcome(Status.SENT, op.messages[0].ref, provider_id=wire.load_json(reply.body)["bird"]),))


class Dialect(base.Dialect):
    kind = "pigeon"

    def credential(self, request):
        return Credential(wire.load_json(request.body)["ring"])

    def operation(self, request):
        body = wire.load_json(request.body)
        return Send((Outgoing(body["to"], body["note"]),))

    def write_send(self, op, result):
        body = {"bird": result.outcomes[0].provider_id}
        return Reply(200, {"content-type": "application/json"}, wire.dump_json(body))

    def refuse(self, error):
        return Reply(400, {}, wire.dump_json({"coo": str(error)}))
"""


@pytest.fixture
def pigeon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "pigeon.py").write_text(KIND)
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(tmp_path)])
    registry.kinds.cache_clear()
    yield
    registry.kinds.cache_clear()
    sys.modules.pop("providers.adapters.pigeon", None)


def account() -> ProviderAccount:
    account = ProviderAccount(name="Loft", kind="pigeon", base_url="http://127.0.0.1:9")
    account.set_credentials({"ring": "ring-12345678"})
    return account


def test_it_is_found(pigeon: None) -> None:
    assert registry.kinds()["pigeon"].adapter.label == "Pigeon post"


@pytest.mark.django_db
def test_an_account_of_it_can_be_kept(pigeon: None) -> None:
    row = account()
    row.full_clean()
    row.save()
    assert ProviderAccount.objects.get().kind_class.label == "Pigeon post"


def test_both_halves_speak_the_same_wire(pigeon: None) -> None:
    op = Send((Outgoing("+11234567890", "Hello"),))
    assert registry.dialect("pigeon").operation(account().adapter().write(op)) == op


def test_what_it_does_not_declare_is_refused(pigeon: None) -> None:
    with pytest.raises(Unsupported, match="credits"):
        account().adapter().write(GetAccount())


@pytest.mark.django_db
def test_the_sandbox_serves_it(pigeon: None) -> None:
    loft = account()
    loft.set_credentials({"ring": "sandbox-loft-1"})
    request = loft.adapter().write(Send((Outgoing("+15550100001", "Hello"),)))
    reply = Client().post(f"/sandbox/pigeon{request.path}", request.body, content_type="application/json")
    assert reply.status_code == 200
    assert reply.json()["bird"]
