"""Opting out of everything, and back in. An opt-out always wins over any list."""

from __future__ import annotations

from django.utils import timezone

from .models import Contact

STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "REVOKE", "OPTOUT", "退订"})
START_WORDS = frozenset({"START", "UNSTOP", "YES", "订阅"})


def hear(number: str, text: str, source: str) -> None:
    """Act on a received text if it is exactly one of the words, in any case of letters."""
    word = text.strip().upper()
    if word in STOP_WORDS:
        opt_out(number, source)
    elif word in START_WORDS:
        opt_in(number)


def opt_out(number: str, by: str) -> None:
    contact, _ = Contact.objects.get_or_create(number=number)
    if contact.opted_out_at is None:
        contact.opted_out_at, contact.opted_out_by = timezone.now(), by[:100]
        contact.save(update_fields=["opted_out_at", "opted_out_by"])


def opt_in(number: str) -> None:
    Contact.objects.filter(number=number).update(opted_out_at=None, opted_out_by="")
