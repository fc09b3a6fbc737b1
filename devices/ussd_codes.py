"""What a code does, told from its form: does it ask the network something, or change something?

The form is that of 3GPP TS 22.030, clause 6.5.2: after ``*``, ``#``, ``**`` or ``##`` stand the two or three digits of
a service, and the code switches it on, off, registers or erases it; ``*#`` only asks how it is set. Its annex B lists
the services, clause 6.5.4 the code that changes the password of call barring (03), and clause 6.6 those that change the
PINs (04, 042, 05, 052). Every other number between ``*`` or ``#`` and the closing ``#`` is the network's own, as
``*100#`` and ``#123#``, and what it does only the network knows: those are dialled without a question.
https://www.etsi.org/deliver/etsi_ts/122000_122099/122030/
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

WRITABLE = re.compile(r"[0-9*#+]{1,182}", re.ASCII)

_DIVERTS = gettext_lazy("It changes where calls to this SIM are diverted.")
_BARS = gettext_lazy("It changes which calls this SIM may make or take.")
_SHOWS = gettext_lazy("It changes whether numbers are shown to callers and people called.")
_CALLS = gettext_lazy("It changes how the network treats calls of this SIM.")
_SECRETS = gettext_lazy("It changes a PIN or a password of this SIM. A few wrong tries lock it.")
_SERVICES: tuple[tuple[str, Promise], ...] = (
    ("21 61 62 67 002 004 66 214", _DIVERTS),
    ("33 330 331 332 333 35 351 353", _BARS),
    ("30 31 76 77 300", _SHOWS),
    ("03 04 042 05 052", _SECRETS),
    ("43 96 37 371 372 373 374 375 360 361 362 363 88", _CALLS),
    ("75 750 751 752 753 754 59 591 592 593 594", _CALLS),
)
SERVICES: Mapping[str, Promise] = {digits: text for group, text in _SERVICES for digits in group.split()}

_ASKS = re.compile(r"\*#[0-9]+(\*[0-9*+]*)?#")
_CHANGES = re.compile(r"(?:\*\*?|##?)([0-9]+)")
_OWN = re.compile(r"[*#]([0-9]+)(\*[0-9*+]*)?#")


def wrong(code: str) -> str:
    """Why nobody can dial this, in a sentence; empty: it can be dialled."""
    if not code:
        return _("Type a code, such as *100#.")
    if not WRITABLE.fullmatch(code):
        return _("A code has digits, *, # and + only, no spaces, and at most 182 of them.")
    return ""


def danger(code: str) -> str:
    """What this code may change, in a sentence; empty: it only asks, or is the network's own."""
    typed = re.sub(r"[^0-9*#+]", "", unicodedata.normalize("NFKC", code))
    if _ASKS.fullmatch(typed):
        return ""
    own = _OWN.fullmatch(typed)
    if own and own[1] not in SERVICES:
        return ""
    if (found := _CHANGES.match(typed)) and found[1] in SERVICES:
        return str(SERVICES[found[1]])
    if typed.startswith(("**", "##")):
        return _("It registers or erases a service of the network.")
    if not typed.endswith("#"):
        return _("It does not end in #, so the phone may call somebody instead of asking the network.")
    return _("It has not the form of a question to the network: it may be a command to the phone itself.")
