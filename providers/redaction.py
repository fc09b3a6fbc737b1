"""What of an exchange a person may read: the secrets cut out, the bodies cut to a readable length."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from urllib.parse import quote, quote_plus

BODY_KEPT = 20_000  # characters of a body that a trace keeps


def spellings(secrets: Iterable[str]) -> list[str]:
    """Each form in which the secrets can stand in a request, longest first."""
    found = set()
    for value in filter(None, secrets):
        quoted = {json.dumps(value, ensure_ascii=ascii)[1:-1] for ascii in (False, True)}
        found |= {value, quote(value), quote(value, safe=""), quote_plus(value), *quoted}
    return sorted(found, key=len, reverse=True)


class Redactor:
    """Cuts secrets out of whatever a person may read. ``secrets``: longest first."""

    HEADERS = frozenset({"authorization", "cookie", "set-cookie", "x-sg-signature", "x-smsprovider-signature"})

    def __init__(self, secrets: Sequence[str]) -> None:
        self.secrets = secrets

    def __call__(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "•••")
        return text

    def body(self, body: bytes) -> str:
        """Cut to a readable length after the secrets are out: a cut could leave half of one."""
        return _cut(self(readable(body)))

    def header(self, name: str, value: str) -> str:
        return "•••" if name.lower() in self.HEADERS else self(value.replace("\x00", "\ufffd"))


def readable(body: bytes) -> str:
    return body.decode(errors="replace").replace("\x00", "\ufffd")


def _cut(text: str) -> str:
    return text if len(text) <= BODY_KEPT else text[:BODY_KEPT] + f"… ({len(text)} characters)"
