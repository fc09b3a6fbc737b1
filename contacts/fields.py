"""Free fields of a contact: texts by name, as merge fields and imports use them."""

from __future__ import annotations

import re

from django.utils.translation import gettext as _

NAME = re.compile(r"[^\W\d_]\w*(?:[ -]\w+)*")
LONGEST_NAME, LONGEST_VALUE, MOST = 40, 500, 50
RESERVED = frozenset({"name", "number", "language", "zone"})  # a contact has these anyway


def clean_name(text: str) -> str:
    """A field's name in its one spelling. Raises ValueError with a sentence."""
    name = " ".join(text.split())
    if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
        raise ValueError(
            _("“%s” cannot name a field. Begin with a letter; use letters, digits, spaces, - and _, 40 at most.")
            % name[:LONGEST_NAME]
        )
    if name.lower() in RESERVED:
        raise ValueError(_("Every contact has “%s” anyway. Choose another name for the field.") % name)
    return name


def clean_value(text: str) -> str:
    return text.replace("\x00", "\ufffd").strip()[:LONGEST_VALUE]
