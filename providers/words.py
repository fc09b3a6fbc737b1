"""A wire's error codes, both ways: one table per provider, from its code to our class and the HTTP status."""

from __future__ import annotations

import math
from collections.abc import Mapping

from . import base, errors
from .types import RateState, Reply

ALSO: Mapping[type[errors.ProviderError], type[errors.ProviderError]] = {
    errors.Unsupported: errors.InvalidRequest,
    errors.Unreachable: errors.Unavailable,
    errors.ProviderError: errors.Uncertain,
}
"""Errors that no wire has a word for, and the one whose word they go out with."""


class Words:
    """``codes``: {their code: (class, HTTP status)}. The first code of a class is the one that is written.

    Has to name KeyRefused, NoCredits, RateLimited, InvalidNumber, TextTooLong, InvalidRequest, NotFound,
    Rejected, Unavailable and Uncertain.
    """

    def __init__(self, codes: Mapping[str, tuple[type[errors.ProviderError], int]]) -> None:
        self._codes = codes
        self._classes = {code.lower(): kind for code, (kind, _) in codes.items()}
        self._words: dict[type[errors.ProviderError], str] = {
            kind: code for code, (kind, _) in reversed(list(codes.items()))
        }
        self._words |= {kind: self._words[stand_in] for kind, stand_in in ALSO.items()}

    def read(self, code: str, text: str, reply: Reply) -> errors.ProviderError:
        """The error of their code; of an unknown one what the HTTP status says, else Rejected."""
        error = self._class(code, reply)(text, code=code)
        error.quoted = bool(text.strip())
        return error

    def _class(self, code: str, reply: Reply) -> type[errors.ProviderError]:
        if kind := self._classes.get(code.lower()):
            return kind
        by_status = base.status_error(reply)
        if isinstance(by_status, errors.WrongAddress):  # the API is there: it spoke
            return errors.NotFound
        return type(by_status) if by_status else errors.Rejected

    def code(self, error: errors.ProviderError) -> str:
        """Their code for an error: its own where it is one of this wire, else that of its class."""
        if error.code in self._codes:
            return error.code
        return next(word for kind in type(error).__mro__ if (word := self._words.get(kind)))

    def problem_code(self, code: str) -> str:
        """Their code for one of ours in a Problem; any other stays."""
        return next((word for kind, word in self._words.items() if kind.default_code == code), code)

    def status(self, error: errors.ProviderError) -> int:
        return self._codes[self.code(error)][1]


def retry_header(error: errors.ProviderError) -> dict[str, str]:
    return {} if error.retry_after is None else {"retry-after": str(math.ceil(error.retry_after))}


def limit_headers(state: RateState) -> dict[str, str]:
    """What ``base.rate_state`` reads."""
    window = {"limit": state.limit, "remaining": state.remaining, "reset": state.reset}
    return {f"x-ratelimit-{name}": str(value) for name, value in window.items()}
