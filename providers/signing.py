"""Signatures of webhooks as seed 002 checks them: hex HMAC-SHA256 over ``JSON.stringify`` of the parsed body."""

from __future__ import annotations

import hashlib
import hmac

from . import wire


def sign(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Over the raw bytes, or else over the parsed body written compactly. Never raises, whatever is given."""
    given = signature.strip().lower().encode(errors="replace")
    if hmac.compare_digest(sign(body, secret).encode(), given):
        return True
    try:
        compact = wire.dump_json(wire.load_json(body))
    except ValueError:
        return False
    return hmac.compare_digest(sign(compact, secret).encode(), given)
