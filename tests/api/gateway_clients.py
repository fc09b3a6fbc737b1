"""The seed's clients, restated: what their PHP and C# put on the wire, and what they make of the answer."""

from __future__ import annotations

import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import requests
from django.test import Client
from requests.adapters import BaseAdapter

SERVER = "http://testserver"
USE_SPECIFIED, USE_ALL_DEVICES, USE_ALL_SIMS = 0, 1, 2
EMPTY = "Missing data in request. Please provide all the required information to send messages."

Values = Mapping[str, Any]


class InProcess(BaseAdapter):
    """Carries what requests would send to a server to the test client, byte for byte."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        body = request.body or b""
        headers = dict(request.headers)
        reply = Client().generic(
            request.method or "GET",
            request.path_url,
            body.encode() if isinstance(body, str) else body,
            content_type=headers.pop("Content-Type", ""),
            headers=headers,
        )
        answer = requests.Response()
        answer.status_code, answer.headers = reply.status_code, requests.structures.CaseInsensitiveDict(reply.headers)
        answer.raw, answer.url = io.BytesIO(reply.content), str(request.url)
        return answer

    def close(self) -> None:
        pass


def session() -> requests.Session:
    found = requests.Session()
    found.trust_env = False
    found.mount(SERVER, InProcess())
    return found


class Failed(Exception):
    """What the seed's clients throw: all that their users see."""


class SeedClient(ABC):
    """The functions of both clients; they differ in how values are written."""

    def __init__(self, key: str) -> None:
        self.key, self.session = key, session()

    @abstractmethod
    def written(self, values: Values) -> str: ...

    @abstractmethod
    def as_devices(self, devices: Any) -> Any:
        """The value of ``devices`` where the seed takes several."""

    def ask(self, service: str, values: Values) -> Any:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        url = f"{SERVER}/services/{service}.php"
        reply = self.session.post(url, data=self.written(values).encode(), headers=headers)
        if reply.status_code != 200:
            raise Failed(f"HTTP Error Code : {reply.status_code}")
        if not reply.content:
            raise Failed(EMPTY)
        body = reply.json()
        if not body["success"]:
            raise Failed(body["error"]["message"])
        return body["data"]

    def send_single_message(
        self, number: str, message: str, device: Any = 0, schedule: int | None = None, is_mms: bool = False,
        attachments: str | None = None, prioritize: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        values = {
            "number": number,
            "message": message,
            "schedule": schedule,
            "key": self.key,
            "devices": device,
            "type": "mms" if is_mms else "sms",
            "attachments": attachments,
            "prioritize": 1 if prioritize else 0,
        }
        return dict(self.ask("send", values)["messages"][0])

    def send_messages(
        self, messages: Any, option: int | None = USE_SPECIFIED, devices: Any = (), schedule: int | None = None,
        use_random_device: bool = False,
    ) -> list[dict[str, Any]]:  # fmt: skip
        values = {
            "messages": self.json(messages),
            "schedule": schedule,
            "key": self.key,
            "devices": self.as_devices(devices),
            "option": option,
            "useRandomDevice": use_random_device,
        }
        return list(self.ask("send", values)["messages"])

    def send_message_to_contacts_list(
        self, list_id: int, message: str, option: int | None = USE_SPECIFIED, devices: Any = (),
        schedule: int | None = None, is_mms: bool = False, attachments: str | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        values = {
            "listID": list_id,
            "message": message,
            "schedule": schedule,
            "key": self.key,
            "devices": self.as_devices(devices),
            "option": option,
            "type": "mms" if is_mms else "sms",
            "attachments": attachments,
        }
        return list(self.ask("send", values)["messages"])

    def get_message_by_id(self, id: Any) -> dict[str, Any]:
        return dict(self.ask("read-messages", {"key": self.key, "id": id})["messages"][0])

    def get_messages_by_group_id(self, group_id: str) -> list[dict[str, Any]]:
        return list(self.ask("read-messages", {"key": self.key, "groupId": group_id})["messages"])

    def get_messages_by_status(self, status: str, *where: int | None) -> list[dict[str, Any]]:
        return list(self.ask("read-messages", self._by_status(status, *where))["messages"])

    def resend_message_by_id(self, id: Any) -> dict[str, Any]:
        return dict(self.ask("resend", {"key": self.key, "id": id})["messages"][0])

    def resend_messages_by_group_id(self, group_id: str, status: str | None = None) -> list[dict[str, Any]]:
        return list(self.ask("resend", {"key": self.key, "groupId": group_id, "status": status})["messages"])

    def resend_messages_by_status(self, status: str, *where: int | None) -> list[dict[str, Any]]:
        return list(self.ask("resend", self._by_status(status, *where))["messages"])

    def _by_status(self, status: str, *where: int | None) -> dict[str, Any]:
        """``where``: device, slot, start and end."""
        names = ("deviceID", "simSlot", "startTimestamp", "endTimestamp")
        return {"key": self.key, "status": status, **dict(zip(names, where, strict=False))}

    def add_contact(self, list_id: int, number: str, name: str | None = None, resubscribe: Any = False) -> Any:
        values = {"key": self.key, "listID": list_id, "number": number, "name": name, "resubscribe": resubscribe}
        return self.ask("manage-contacts", values)["contact"]

    def unsubscribe_contact(self, list_id: int, number: str) -> Any:
        values = {"key": self.key, "listID": list_id, "number": number, "unsubscribe": True}
        return self.ask("manage-contacts", values)["contact"]

    def get_balance(self) -> Any:
        credits = self.ask("send", {"key": self.key})["credits"]
        return "Unlimited" if credits is None else credits

    def send_ussd_request(self, request: str, device: int, sim_slot: int | None = None) -> Any:
        values = {"key": self.key, "request": request, "device": device, "sim": sim_slot}
        return self.ask("send-ussd-request", values)["request"]

    def get_ussd_request_by_id(self, id: Any) -> Any:
        return self.ask("read-ussd-requests", {"key": self.key, "id": id})["requests"][0]

    def get_ussd_requests(self, request: str, *where: int | None) -> list[Any]:
        names = ("deviceID", "simSlot", "startTimestamp", "endTimestamp")
        values = {"key": self.key, "request": request, **dict(zip(names, where, strict=False))}
        return list(self.ask("read-ussd-requests", values)["requests"])

    def get_devices(self) -> list[Any]:
        return list(self.ask("get-devices", {"key": self.key})["devices"])

    @abstractmethod
    def json(self, value: Any) -> str: ...


class Php(SeedClient):
    """http_build_query leaves null out and writes 1 and 0; json_encode escapes slashes and what is not ASCII."""

    def written(self, values: Values) -> str:
        given = {name: value for name, value in values.items() if value is not None}
        return "&".join(f"{quote_plus(name)}={quote_plus(self._text(value))}" for name, value in given.items())

    def _text(self, value: Any) -> str:
        return str(int(value)) if isinstance(value, bool) else str(value)

    def as_devices(self, devices: Any) -> str:
        return self.json(devices)

    def json(self, value: Any) -> str:
        return json.dumps(value, separators=(",", ":")).replace("/", "\\/")


class CSharp(SeedClient):
    """ToString writes True and False; HttpUtility.UrlEncode writes small hex digits; an array becomes JSON."""

    def written(self, values: Values) -> str:
        given = {name: value for name, value in values.items() if value is not None}
        return "&".join(f"{self._encoded(name)}={self._encoded(str(value))}" for name, value in given.items())

    def _encoded(self, text: str) -> str:
        return re.sub("%..", lambda found: found[0].lower(), quote_plus(text, safe="!*()-_."))

    def as_devices(self, devices: Any) -> str | None:
        """``string[] devices = null``."""
        return self.json([str(device) for device in devices]) if devices else None

    def json(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def ask(service: str, key: str = "", how: str = "form", **values: Any) -> dict[str, Any]:
    """As other programs do; the whole answer."""
    given = ({"key": key} if key else {}) | values
    address = f"{SERVER}/services/{service}.php"
    match how:
        case "form":
            reply = session().post(address, data=given)
        case "multipart":
            reply = session().post(address, files={name: (None, str(value)) for name, value in given.items()})
        case "url":
            reply = session().post(address, params=given)
        case "get":
            reply = session().get(address, params=given)
        case _:
            raise AssertionError(how)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("application/json")
    body: dict[str, Any] = reply.json()
    assert list(body) == ["success", "data", "error"]
    assert (body["error"] is None) is (body["data"] is not None) is body["success"]
    return body
