"""Reading and writing what all the wires are made of: JSON, forms, truth values, times, numbers.

Standard library only. Readers raise ValueError for what they cannot read; callers say what it means.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl, urlencode

from .types import Credits, Request

FORM = "application/x-www-form-urlencoded"
MAX_RECIPIENTS = 5_000  # of one request to a served wire

_NOISE = re.compile(r"[\s\-.()\u00ad\u200b-\u200f\u2010-\u2015\u202a-\u202e\u2060-\u2069\ufeff]+")
_E164 = re.compile(r"\+?[0-9]{7,15}", re.ASCII)
_CLEAN = re.compile(r"\+[0-9]{7,15}|(?!00)[0-9]{3,6}", re.ASCII)
_SHORT_CODE = re.compile(r"[0-9]{3,6}", re.ASCII)
_ARRAY = re.compile(r"([^\[]+)\[[0-9]*\]")
_FALSE = {"", "0", "false", "null", "none", "off", "no"}


def load_json(body: bytes) -> Any:
    """Parse a JSON body in UTF-8 (with or without BOM). NaN, Infinity and lone surrogates are refused."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate cannot be stored or sent on
    except RecursionError as error:
        raise ValueError("The JSON is nested too deeply.") from error
    return value


def load_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON body that has to be an object. Raises ValueError with a sentence."""
    try:
        value = load_json(body)
    except ValueError as error:
        raise ValueError("The body is not valid JSON in UTF-8.") from error
    if not isinstance(value, dict):
        raise ValueError("The body must be a JSON object.")
    return value


def plain_text(value: object, name: str) -> str:
    """A parameter that has to be text; absent (None) is empty. Raises ValueError with a sentence."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"“{name}” must be a string.")
    if "\x00" in value:
        raise ValueError(f"“{name}” holds a NUL character.")
    return value


def plain_value(value: object, name: str) -> str:
    """An id, a number or a word out of JSON, where some write an integer for it. As ``plain_text`` else."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return plain_text(str(value) if whole else value, name)


def recipients(value: object, name: str) -> list[str]:
    """Numbers out of one string or integer, a comma list or an array of these; each cleaned where it can be.

    What has not the shape of a number stays as it was written, so that it can be refused alone
    (see ``base.handle``). Raises ValueError with a sentence for anything else, for none and for too many.
    """
    items = value if isinstance(value, list) else [value]
    if len(items) > MAX_RECIPIENTS:
        raise ValueError(f"At most {MAX_RECIPIENTS:,} recipients fit in one request.")
    found = [part.strip() for item in items for part in plain_value(item, name).split(",") if part.strip()]
    if not found:
        raise ValueError(f"“{name}” is missing: give at least one phone number.")
    if len(found) > MAX_RECIPIENTS:
        raise ValueError(f"At most {MAX_RECIPIENTS:,} recipients fit in one request.")
    return [number_or_name(number) for number in found]


def dump_json(value: Any) -> bytes:
    """Write JSON as JavaScript's ``JSON.stringify`` does: compact, keys in order, non-ASCII raw, ``/`` bare."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def dump_form(pairs: Iterable[tuple[str, str]]) -> bytes:
    return urlencode(list(pairs)).encode()


def read_form(request: Request) -> dict[str, str]:
    """All named values of a request: query, then an urlencoded or multipart body; the last of a name wins. What PHP
    writes as an array, ``to[]`` or ``to[0]``, ``to[1]``, is joined by commas."""
    found: dict[str, str] = {}
    for name, value in [*request.query, *_body_pairs(request)]:
        array = _ARRAY.fullmatch(name)
        name = array[1] if array else name
        found[name] = f"{found[name]},{value}" if array and found.get(name) else value
    return found


def _body_pairs(request: Request) -> list[tuple[str, str]]:
    content_type = request.headers.get("content-type", "")
    if not request.body:
        return []
    try:
        if content_type.lower().startswith("multipart/form-data"):
            return _multipart(content_type, request.body)
        return parse_qsl(request.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except UnicodeDecodeError as error:
        raise ValueError("The body is not in UTF-8.") from error


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    try:
        message = BytesParser(policy=HTTP).parsebytes(head + body)
        return _parts(message)
    except (LookupError, TypeError, AttributeError) as error:  # what the parser trips over in broken headers
        raise ValueError("The multipart body could not be read.") from error


def _parts(message: EmailMessage) -> list[tuple[str, str]]:
    if not message.is_multipart():
        raise ValueError("The multipart body has no parts.")
    pairs = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            pairs.append((name, payload.decode()))
    return pairs


def truth(value: object) -> bool:
    """0, false, empty and null are false, in any case of letters; everything else is true (seed 004)."""
    return str(value if value is not None else "").strip().lower() not in _FALSE


def clean_number(text: str) -> str:
    """A number of the shape of E.164 with its ``+``, or a short code, from any spelling of it.

    Spaces, dashes, dots, brackets and signs that nobody sees, which come along when a number is copied out of another
    program, are dropped and a leading 00 is read as +. Bare digits (7 to 15) get a +.
    Whether the number can exist is not asked here. Raises ValueError with a sentence.
    """
    if _CLEAN.fullmatch(text):
        return text
    bare = _NOISE.sub("", text)
    if bare.startswith("00"):
        bare = "+" + bare[2:]
    if _SHORT_CODE.fullmatch(bare):
        return bare
    if not _E164.fullmatch(bare):
        raise ValueError(f"“{text[:40]}” is not a phone number: write + and 7 to 15 digits.")
    return "+" + bare.removeprefix("+")


def number_or_name(text: str) -> str:
    """A clean number where the text has that shape, else the text as it is: ``Amazon`` sends messages too."""
    try:
        return clean_number(text)
    except ValueError:
        return text.strip()


def fingerprint(*parts: str) -> str:
    """The same id for the same content, for messages that come without one."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def parse_time(text: str, zone: tzinfo = UTC) -> datetime:
    """ISO 8601 with or without a zone (``+02:00``, ``+0600``, ``Z``); without one it is in ``zone``."""
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def from_timestamp(seconds: object) -> datetime:
    """Unix seconds. Raises ValueError when they are not a time that can be."""
    try:
        return datetime.fromtimestamp(float(str(seconds)), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"“{seconds}” is not a Unix time in seconds.") from error


def optional_time(value: object, name: str, clock: Callable[[], tzinfo] = lambda: UTC) -> datetime | None:
    """A parameter that is ISO 8601 or absent, in UTC; without a zone it is by ``clock``, which is asked only then.

    Raises ValueError with a sentence.
    """
    text = plain_text(value, name).strip()
    try:
        moment = datetime.fromisoformat(text) if text else None
        return moment and (moment if moment.tzinfo else moment.replace(tzinfo=clock())).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"“{name}” must be an ISO 8601 time, such as 2023-12-01T15:23:45Z.") from error


def optional_url(value: object, name: str) -> str:
    """A parameter that is a web address or absent. Whether it may be called is not asked here."""
    text = plain_text(value, name)
    if text and not text.lower().startswith(("http://", "https://")):
        raise ValueError(f"“{name}” must be a URL that starts with https:// or http://.")
    return text


def write_time(moment: datetime) -> str:
    """ISO 8601 in UTC as seed 002 writes it, ``2023-12-01T15:23:45Z``: whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def amount(value: object) -> Decimal | None:
    """A count or a price out of JSON (number or text); None when it is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def json_number(value: Decimal) -> int | float:
    """98 and not 98.0: programs that count credits expect an integer where it is one."""
    return int(value) if value == value.to_integral_value() else float(value)


def read_credits(body: dict[str, Any], *names: str) -> Credits | None:
    """The balance under the first of ``names`` that is there. Absent or nonsense: unknown; null: unlimited."""
    name = next((name for name in names if name in body), None)
    if name is None:
        return None
    left = amount(body[name])
    return None if left is None and body[name] is not None else Credits(left)


def write_credits(name: str, left: Credits | None) -> dict[str, int | float | None]:
    """The member to add to an answer: nothing when unknown, null when unlimited."""
    if left is None:
        return {}
    return {name: None if left.amount is None else json_number(left.amount)}
