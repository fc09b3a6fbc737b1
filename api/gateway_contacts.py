"""Contacts and their places on lists, changed by programs. A STOP is never undone by one."""

from __future__ import annotations

from django.db import transaction

from contacts import consent
from contacts.models import Contact, ContactList, How, Subscription
from messaging import log
from providers import errors
from providers.types import ContactInfo, SaveContact, Unsubscribe

from . import access
from .models import ApiKey, Scope


def save_contact(key: ApiKey, op: SaveContact) -> ContactInfo:
    """Put a number on a list, as a new contact if nobody has it. Who is on the list stays as they are, unless
    ``resubscribe`` brings them back; who opted out is not brought back. ``subscribed`` of the answer says so.

    Raises NotFound for an unknown list.
    """
    to = _list(key, op.list_id)
    with transaction.atomic():
        person, _new = Contact.objects.get_or_create(number=op.number, defaults={"name": op.name[:100]})
        try:
            consent.subscribe(to, [person.pk], How.API, key.name, op.resubscribe)
        except ContactList.DoesNotExist as error:  # deleted a moment ago
            raise errors.NotFound(NO_LIST % op.list_id) from error
    return _info(to, person)


def unsubscribe(key: ApiKey, op: Unsubscribe) -> ContactInfo:
    """Raises NotFound for an unknown list, and for a number that is not on it."""
    of = _list(key, op.list_id)
    person = Contact.objects.filter(number=op.number, subscriptions__list=of).first()
    if person is None:
        raise errors.NotFound(f"{op.number} is not on the contact list {op.list_id}.")
    try:
        consent.unsubscribe(of, [person.pk], How.API, key.name)
    except ContactList.DoesNotExist as error:
        raise errors.NotFound(NO_LIST % op.list_id) from error
    return _info(of, person)


NO_LIST = "There is no contact list with the ID %s."


def _list(key: ApiKey, text: str) -> ContactList:
    access.need(key, Scope.CONTACTS)
    found = ContactList.objects.filter(pk=log.read_id(text) or 0).first()
    if found is None:
        raise errors.NotFound(NO_LIST % text)
    return found


def _info(of: ContactList, person: Contact) -> ContactInfo:
    place = Subscription.objects.filter(contact=person, list=of, subscribed=True, contact__opted_out_at=None)
    return ContactInfo(str(person.pk), person.number, person.name, str(of.pk), place.exists())
