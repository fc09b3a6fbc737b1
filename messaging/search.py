"""One search field for numbers and texts: which of the two is meant, and how a number begins in any spelling."""

from __future__ import annotations

import re

from django.conf import settings

from contacts.numbers import parse_number

_NOISE = re.compile(r"[\s\-./()\u00a0]+")
_LOOKS_LIKE_A_NUMBER = re.compile(r"[+0-9\s\-./()\u00a0]*[0-9][+0-9\s\-./()\u00a0]*", re.ASCII)
_LONGEST = 20  # characters of a number; no stored one is longer


def read(number: str, query: str) -> tuple[str, str]:
    """The number and the text looked for. Digits alone are a number; in double quotes they are a text."""
    if not number and _LOOKS_LIKE_A_NUMBER.fullmatch(query):
        return query, ""
    if len(query) > 2 and query[0] == query[-1] == '"':
        query = query[1:-1]
    return number, query


def write(text: str) -> str:
    """What ``read`` reads as this text."""
    return f'"{text}"' if _LOOKS_LIKE_A_NUMBER.fullmatch(text) else text


def prefixes(number: str) -> list[str]:
    """How stored numbers begin that are meant: international, as a short code, and as dialled inside the country."""
    bare = _NOISE.sub("", number)
    if bare.startswith("00"):
        bare = "+" + bare.removeprefix("00")
    if not bare.removeprefix("+").isascii() or not bare.removeprefix("+").isdigit():
        return [number[:_LONGEST]]
    if bare.startswith("+"):
        return [bare[:_LONGEST]]
    return list(dict.fromkeys(["+" + bare[:_LONGEST], bare[:_LONGEST], *_national(bare)]))


def _national(digits: str) -> list[str]:
    try:
        return [parse_number(digits, settings.SMSDASH_DEFAULT_REGION).number]
    except ValueError:
        return []
