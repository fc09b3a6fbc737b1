"""/v1 does what its description says, whatever it is asked: never a 5xx, answers of the described shape and type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import hypothesis
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from api import keys
from api.models import Delivery, Webhook
from api.v1.api import schema
from contacts import import_files
from contacts.models import Contact, ContactList
from devices.models import UssdRequest
from messaging import bulk, wakeup
from messaging.log import Filters
from messaging.models import Campaign, Conversation, Route, Template
from providers.models import AllowedHost
from tests.api.gateways import message, phones, shelf

CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]
EXAMPLES = 8  # of each operation
CONFIG = schemathesis.Config.from_dict({"generation": {"with-security-parameters": False}})
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(schema(), config=CONFIG).get_all_operations()]
NAMES = [f"{operation.method.upper()} {operation.path}" for operation in OPERATIONS]
SENSIBLE = {
    "to": "+11234567890",
    "number": "+11234567891",
    "numbers": ["+11234567890", "+11234567892"],
    "route_id": None,
    "devices": None,
    "code": "*100#",
    "url": "http://127.0.0.1/hook",
    "hours": "",
    "time_zone": "UTC",
    "from": "",
    "attachments": [],
}  # members of bodies that are hardly guessed


@dataclass(frozen=True)
class There:
    """A key that may everything, and the ids of an installation in which there is one of most things, by name."""

    key: str
    ids: Mapping[str, str]

    def sensible(self, name: str, value: Any) -> Any:
        """Another value for a member of a body that is hardly guessed."""
        if name.endswith("_ids"):
            return [self.ids[name[:-1]]]
        return self.ids.get(name, SENSIBLE.get(name, value))


@pytest.fixture
def application() -> Iterator[Any]:
    """It leaves the connection alone, which is the test's."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield get_wsgi_application()
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def there(db: None, monkeypatch: pytest.MonkeyPatch) -> There:
    monkeypatch.setattr(wakeup, "async_task", lambda *arguments: None)
    monkeypatch.setattr("devices.wakeup.async_task", lambda *arguments: None)
    account = shelf()
    row, key, _secret = keys.create("Shop", account, scopes=["admin", "send", "read", "contacts", "ussd"])
    AllowedHost.objects.create(name="127.0.0.1")
    campaign = Campaign.objects.create(account=account, text="Hello", name="Sale", client=row.pk)
    webhook = Webhook.objects.create(key=row, url="http://127.0.0.1/hook", events=["message.sent"])
    person = Contact.objects.create(number="+11234567801", name="Ann", fields={"city": "Tartu"})
    phone = phones(account)[0]
    sent = message(account, row, status="failed", campaign=campaign)
    rows = {
        "account_id": account,
        "bulk_id": bulk.start("cancel", Filters(), {"key": row.pk}, None, "one"),
        "import_id": import_files.receive("people.csv", BytesIO(b"number\n+11234567801\n")),
        "campaign_id": campaign,
        "contact": person,
        "conversation_id": Conversation.objects.create(number=person.number, account=account, last=1, heard=1),
        "delivery_id": Delivery.objects.create(webhook=webhook, event="message.sent", body="{}", state="done"),
        "device_id": phone,
        "list_id": ContactList.objects.create(name="Customers"),
        "message_id": sent,
        "route_id": Route.objects.create(name="Everywhere"),
        "template_id": Template.objects.create(name="Hello", text="Hello {name}"),
        "ussd_id": UssdRequest.objects.create(account=account, device_id=phone.device_id, sim=1, code="*1#"),
        "webhook_id": webhook,
    }
    return There(key, {name: str(one.pk) for name, one in rows.items()} | {"slot": "0"})


@schemathesis.serializer("text/csv")
def csv(context: Any, value: Any) -> bytes:
    return str(value).encode(errors="replace")


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_it_answers_as_it_is_described(operation: Any, there: There, application: Any) -> None:
    headers = {"Authorization": f"Bearer {there.key}"}
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @hypothesis.settings(
        max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(case=cases, sensible=st.booleans())
    def ask(case: Any, sensible: bool) -> None:
        if sensible:
            case.path_parameters = {
                name: there.ids.get(name, value) for name, value in (case.path_parameters or {}).items()
            }
        if sensible and isinstance(case.body, dict):
            case.body = {name: there.sensible(name, value) for name, value in case.body.items()}
        answer = case.call(app=application, base_url="http://localhost", headers=headers)
        case.validate_response(answer, checks=CHECKS)

    ask()
