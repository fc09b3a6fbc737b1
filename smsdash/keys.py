"""Secrets that are made once and kept in the data directory, readable by its owner only."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet


def new_secret() -> str:
    return secrets.token_urlsafe(50)


def new_field_key() -> str:
    return Fernet.generate_key().decode()


def stored(path: Path, make: Callable[[], str]) -> str:
    """The content of ``path``, written first if it is not there. Two processes at once get the same value."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as draft:  # mode 0600
        draft.write(make())
        draft.flush()
        os.fsync(draft.fileno())
    try:
        os.link(draft.name, path)  # fails when another process was first
    except FileExistsError:
        pass
    finally:
        os.unlink(draft.name)
    return path.read_text().strip()
