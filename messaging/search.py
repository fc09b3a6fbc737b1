"""One search field for numbers and texts: which of the two is meant."""

from __future__ import annotations

from contacts.search import LOOKS_LIKE_A_NUMBER, prefixes

__all__ = ["prefixes", "read", "write"]


def read(number: str, query: str) -> tuple[str, str]:
    """The number and the text looked for. Digits alone are a number; in double quotes they are a text."""
    if not number and LOOKS_LIKE_A_NUMBER.fullmatch(query):
        return query, ""
    if len(query) > 2 and query[0] == query[-1] == '"':
        query = query[1:-1]
    return number, query


def write(text: str) -> str:
    """What ``read`` reads as this text."""
    return f'"{text}"' if LOOKS_LIKE_A_NUMBER.fullmatch(text) else text
