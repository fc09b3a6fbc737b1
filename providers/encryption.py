"""Credentials at rest: a JSON object encrypted with Fernet, keys from ``settings.FIELD_KEYS``."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import FieldError
from django.db import models

if TYPE_CHECKING:
    _TextField = models.TextField[dict[str, str], dict[str, str]]
else:
    _TextField = models.TextField


class Locked(Exception):
    """The stored value cannot be read with the keys at hand. The ciphertext is never handed out instead."""


@cache
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _cipher() -> MultiFernet:
    return _fernet(tuple(settings.FIELD_KEYS))


class EncryptedJSONField(_TextField):
    """A dict of text to text, encrypted. It cannot be searched, and reading it without its key raises Locked."""

    def get_prep_value(self, value: Any) -> Any:
        if value is None:
            return None
        return _cipher().encrypt(json.dumps(value).encode()).decode()

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        if value is None:
            return None
        try:
            return json.loads(_cipher().decrypt(value.encode()))
        except InvalidToken:
            raise Locked("The credentials were encrypted with a key that is not in SMSDASH_FIELD_KEYS.") from None

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> str:
        raise FieldError("Encrypted fields are not exported.")

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name == "isnull":
            return super().get_lookup(lookup_name)
        raise FieldError("Encrypted fields cannot be searched.")
