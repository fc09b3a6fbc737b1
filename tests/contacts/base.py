"""People and lists to test with."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps

from contacts import consent
from contacts.models import Contact, ContactList, How


def people(n: int, first: int = 0, **values: object) -> list[int]:
    """So many new contacts, as ids from old to new: +37255500000 and on."""
    rows = [Contact(number=f"+372555{first + k:05d}", name=f"Person {first + k}", **values) for k in range(n)]
    return [row.pk for row in Contact.objects.bulk_create(rows)]


def a_list(name: str = "Guests", members: list[int] | None = None, **values: object) -> ContactList:
    made = ContactList.objects.create(name=name, **values)
    consent.subscribe(made, members or [], How.OPERATOR, "alice")
    return fresh(made)


def fresh(of: ContactList) -> ContactList:
    return ContactList.with_deleted.get(pk=of.pk)


def counts(of: ContactList) -> tuple[int, int]:
    """The kept ones: members, subscribed."""
    row = fresh(of)
    return row.members, row.subscribed


def counted(of: ContactList) -> tuple[int, int]:
    places = of.subscriptions.all()
    return places.count(), places.filter(subscribed=True).count()


def fill_words() -> None:
    """Opt-out words and their answers as the migrations store them: a test that empties all tables takes them away."""
    for name in ("0006_fill_opt_out_words", "0008_fill_opt_out_texts"):
        import_module(f"contacts.migrations.{name}").fill(apps, None)
