"""Numbers in the answers of a network, found by patterns that people write.

A pattern can take for ever on the wrong text. So it runs in a process of its own that is stopped in time, and has
little text and little memory.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from decimal import Decimal, InvalidOperation

from django.utils.translation import gettext as _

from .models import SavedCode

LONGEST = 500  # characters of an answer that are looked at; the network's have at most 182
SECONDS = 3.0  # most of which is the start of the process
GROUP = "balance"
LARGEST = Decimal(10) ** 13  # what a column holds

_SEARCH = f"""
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
pattern, text = json.load(sys.stdin)
try:
    compiled = re.compile(pattern)
    group = "{GROUP}" if "{GROUP}" in compiled.groupindex else 1
    found = compiled.search(text) if compiled.groups else None
    print(json.dumps({{"groups": compiled.groups, "found": found[group] if found else None}}))
except (re.error, OverflowError, RecursionError, MemoryError) as error:
    print(json.dumps({{"wrong": str(error)}}))
"""


class WrongPattern(ValueError):
    """Says what is wrong with a pattern, in a sentence."""


def find(pattern: str, text: str) -> str | None:
    """The text of the pattern's group ``balance``, or else of its first; None: it is not in there.

    Raises WrongPattern.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SEARCH],
            input=json.dumps([pattern, text[:LONGEST]]),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise WrongPattern(_("The pattern takes too long. Write it without repeats inside of repeats.")) from error
    except ValueError as error:
        raise WrongPattern(_("The pattern takes too much memory. Write a shorter one.")) from error
    if "wrong" in answer:
        raise WrongPattern(_("This is no regular expression: %s.") % answer["wrong"])
    if not answer["groups"]:
        raise WrongPattern(_("Put the number in brackets, as in “balance is ([0-9.]+)”."))
    found: str | None = answer["found"]
    return found


def value(pattern: str, text: str, decimal: str = SavedCode.AS_IT_LOOKS) -> Decimal | None:
    """The number that the pattern finds. None: there is none. Raises WrongPattern."""
    found = find(pattern, text)
    return None if found is None else number(found, decimal)


def number(text: str, decimal: str = SavedCode.AS_IT_LOOKS) -> Decimal | None:
    """``1.234,56``, ``1 234.5``, ``-3`` as a number. ``decimal``: the sign before the decimals; empty: the last sign
    that stands once, unless exactly three digits follow it, as in ``25.000``. None: this is no number."""
    bare = re.sub(r"[\s'’_\u00a0\u202f]", "", text).replace("\u2212", "-")
    if not re.fullmatch(r"[-+]?[0-9.,]*[0-9][0-9.,]*", bare, re.ASCII):
        return None
    sign = decimal or _decimal_sign(bare)
    whole, _sign, part = bare.rpartition(sign) if sign and sign in bare else (bare, "", "")
    try:
        found = Decimal(f"{re.sub('[.,]', '', whole) or 0}.{re.sub('[.,]', '', part) or 0}")
    except InvalidOperation:
        return None
    return round(found, 4) if abs(found) < LARGEST else None


def _decimal_sign(bare: str) -> str:
    signs = re.findall("[.,]", bare)
    if not signs or (len(signs) > 1 and len(set(signs)) == 1):
        return ""
    if len(set(signs)) > 1:
        return str(signs[-1]) if signs.count(signs[-1]) == 1 else ""
    whole, _sign, part = bare.rpartition(signs[0])
    return "" if len(part) == 3 and whole.strip("+-0") else str(signs[0])
