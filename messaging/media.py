"""What stands behind a link: fetched by the server, and its type told by its first bytes.

Nobody's word is taken for it: the server of the link says a type, and the bytes must bear that out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from providers import guard

LONGEST = 15.0  # seconds that fetching a link may take, however its server trickles
FOLLOWED = 3  # redirects, each of them an address that is checked anew
MOVED = frozenset({301, 302, 303, 307, 308})
LATER = frozenset({408, 425, 429})  # and whatever begins with 5: the server may answer better in a while

SOUND, FILM, PICTURE = "audio", "video", "image"
PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
SIGNS: Sequence[tuple[re.Pattern[bytes], str]] = tuple(
    (re.compile(sign, re.DOTALL), type)
    for sign, type in (
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF.{4}WEBP", "image/webp"),
        (rb"RIFF.{4}WAVE", "audio/wav"),
        (rb"ID3|\xff[\xf2\xf3\xfa\xfb]", "audio/mpeg"),
        (rb"\xff[\xf1\xf9]", "audio/aac"),
        (rb"#!AMR", "audio/amr"),
        (rb"fLaC", "audio/flac"),
        (rb"MThd", "audio/midi"),
        (rb"OggS", "audio/ogg"),
        (rb"RIFF.{4}AVI ", "video/x-msvideo"),
        (rb".{4}ftyp(?!heic|heix|mif1|msf1|avif|avis)", "video/mp4"),  # but for pictures in the same box
        (rb"\x1a\x45\xdf\xa3", "video/webm"),
        (rb"\x00\x00\x01[\xb3\xba]", "video/mpeg"),
        (rb"%PDF-", "application/pdf"),
        (rb"(\xef\xbb\xbf)?\s*(?i:BEGIN:VCARD)", "text/vcard"),
    )
)
EITHER = frozenset({"video/mp4", "video/webm", "audio/ogg"})  # boxes that hold sound, film or both
NAMELESS = frozenset({"", "application/octet-stream", "binary/octet-stream"})
SAME: Mapping[str, str] = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "text/x-vcard": "text/vcard",
    "text/directory": "text/vcard",
    "application/ogg": "audio/ogg",
    "application/x-pdf": "application/pdf",
}
BEFORE = b"\xef\xbb\xbf \t\r\n"  # what may stand before the first word of a text


class Unfit(Exception):
    """It is not for a phone; says why, in a sentence."""


class Away(Exception):
    """Nobody can tell just now; says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Media:
    type: str
    body: bytes


def fetch(calls: guard.Session, link: str, most: int) -> Media:
    """What the link holds, ``most`` bytes of it at most. Raises Unfit, or Away where another try may help."""
    try:
        answer = _follow(calls, link, most + 1)
    except guard.UnknownHost as error:
        raise Away(str(error)) from error
    except guard.Refused as error:
        raise Unfit(str(error)) from error
    except guard.Failed as error:
        raise Away(str(error)) from error
    if answer.status >= 500 or answer.status in LATER:
        raise Away(_("The server of the link answered with the status %d.") % answer.status)
    if not 200 <= answer.status < 300:
        raise Unfit(_("The server of the link answered with the status %d.") % answer.status)
    if len(answer.body) > most:
        raise Unfit(_("It is larger than %s.") % filesizeformat(most))
    if not answer.body:
        raise Unfit(_("There is nothing behind the link."))
    return Media(type_of(answer.body, answer.headers.get("content-type", "")), answer.body)


def _follow(calls: guard.Session, link: str, limit: int) -> guard.Answer:
    for _step in range(FOLLOWED + 1):
        answer = guard.exchange(calls, "GET", link, limit=limit, longest=LONGEST)
        if answer.status not in MOVED or "location" not in answer.headers:
            return answer
        link = urljoin(link, answer.headers["location"])
    raise Unfit(_("The link leads on and on. Write the address of the file itself."))


# --- Types -------------------------------------------------------------------------------------------


def type_of(body: bytes, said: str) -> str:
    """The type that the bytes bear out, where the server ``said`` that one, its like, or none. Raises Unfit."""
    told = said.partition(";")[0].strip().lower()
    told = SAME.get(told, told)
    found = _seen(body)
    if not found:
        raise Unfit(_unknown(told) if told in NAMELESS or not _possible(told) else _lie(told))
    if told in NAMELESS:
        return found
    if not _possible(told):
        raise Unfit(_unknown(told))
    if found in EITHER and told.startswith((f"{SOUND}/", f"{FILM}/")):
        return told[:100]
    if (told, found) == ("text/plain", "text/vcard"):
        return found
    if _family(told) != _family(found):
        raise Unfit(_lie(told))
    return found


def _seen(body: bytes) -> str:
    """By the first bytes; empty: nothing that goes into an MMS."""
    for sign, type in SIGNS:
        if sign.match(body):
            return type
    return "text/plain" if _is_text(body) else ""


def _is_text(body: bytes) -> bool:
    """Neither a binary file nor markup, which a program may run."""
    return not body.lstrip(BEFORE).startswith(b"<") and not any(c < 32 and c not in b"\t\n\r\f" for c in body[:4096])


def _possible(told: str) -> bool:
    return told in PICTURES or told.startswith((f"{SOUND}/", f"{FILM}/")) or told in (*SAME.values(), "text/plain")


def _family(type: str) -> str:
    """Documents are no family: each is a kind of its own."""
    family = type.partition("/")[0]
    return family if family in (SOUND, FILM, PICTURE) else type


def _unknown(told: str) -> str:
    kinds = _("Take a picture (JPEG, PNG, GIF, WebP), a sound, a film, a vCard, a PDF or plain text.")
    if told in NAMELESS:
        return f"{_('It is nothing that goes into an MMS.')} {kinds}"
    return f"{_('%s does not go into an MMS.') % told[:60]} {kinds}"


def _lie(told: str) -> str:
    return _("Its server says that it is %s, but its first bytes say otherwise.") % told[:60]
