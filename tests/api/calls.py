"""A program that calls /v1."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from api import keys
from api.models import ApiKey
from providers.models import ProviderAccount

NUMBER, OTHER = "+11234567890", "+1234567890"


class Program:
    """``row``: its key. Each call gives the status and the parsed body."""

    def __init__(self, account: ProviderAccount | None = None, **settings: Any) -> None:
        self.row, self.key, _secret = keys.create("Shop", account, **settings)
        self.client = Client(headers={"authorization": f"Bearer {self.key}"})

    def get(self, path: str, **query: Any) -> tuple[int, Any]:
        reply = self.client.get(f"/v1/{path}", query)
        return reply.status_code, reply.json()

    def post(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> tuple[int, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        reply = self.client.generic(method, f"/v1/{path}", raw, "application/json", headers=headers)
        return reply.status_code, reply.json()

    def ids(self, path: str, **query: Any) -> list[str]:
        """The ids of all entries of a list, page by page."""
        found: list[str] = []
        cursor = ""
        while True:
            status, page = self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            assert status == 200, page
            (entries,) = (value for value in page.values() if isinstance(value, list))
            found += [next(value for name, value in entry.items() if name.endswith("_id")) for entry in entries]
            if page["next"] is None:
                return found
            cursor = page["next"]


def key_of(program: Program) -> ApiKey:
    return ApiKey.objects.get(pk=program.row.pk)
