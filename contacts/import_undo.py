"""Taking an import back, slice by slice: the contacts that it made and that nothing else has to do with since, the
places on lists that it gave, the values that it changed.

What others did later stays: who was changed, put on a list, unsubscribed or opted out since then is not touched there.
"""

from __future__ import annotations

from collections import defaultdict

from django.db.models import Exists, OuterRef

from . import consent
from .import_write import said_by
from .models import ConsentEvent, Contact, How, Import, ImportChange, Subscription

SLICE = 5_000  # contacts of one transaction
VALUES = ("name", "language", "zone", "fields")


def step(run: Import) -> bool:
    """The next slice, in the caller's transaction; ``run`` keeps the place and has to be saved. True: there is more."""
    stages = (_contacts, _subscriptions, _changes)
    stage, after = run.cursor.get("stage", 0), run.cursor.get("after", 0)
    last = stages[stage](run, after)
    if last is None:
        stage, last = stage + 1, 0
    run.cursor = {**run.cursor, "stage": stage, "after": last}
    return stage < len(stages)


def _contacts(run: Import, after: int) -> int | None:
    """Delete those that only this import knows; the last id that was looked at, None at the end."""
    made = Contact.objects.filter(made_by_import=run, pk__gt=after)
    ids = list(made.order_by("pk").values_list("pk", flat=True)[:SLICE])
    if not ids:
        return None
    elsewhere = Subscription.objects.filter(contact=OuterRef("pk")).exclude(made_by_import=run)
    told = ConsentEvent.objects.filter(contact=OuterRef("pk"), at__gt=run.started_at).exclude(how=How.IMPORT)
    changed = ImportChange.objects.filter(contact=OuterRef("pk"))
    others = Exists(elsewhere) | Exists(told) | Exists(changed)
    alone = made.filter(pk__lte=ids[-1], opted_out_at=None).exclude(others)
    consent.forget(list(alone.values_list("pk", flat=True)))
    return ids[-1]


def _subscriptions(run: Import, after: int) -> int | None:
    """Take people off the lists that this import put them on, unless they are unsubscribed by now."""
    given = Subscription.objects.filter(made_by_import=run, pk__gt=after).select_related("list").order_by("pk")
    rows = list(given[:SLICE])
    members = defaultdict(list)
    for row in rows:
        if row.subscribed and row.how == How.IMPORT:
            members[row.list].append(row.contact_id)
    for of in sorted(members, key=lambda of: of.pk):
        if of.deleted_at is None:
            consent.remove(of, members[of], How.IMPORT, said_by(run))
    return rows[-1].pk if len(rows) == SLICE else None


def _changes(run: Import, after: int) -> int | None:
    """Give values back that are still as this import left them."""
    changes = list(run.changes.filter(pk__gt=after).select_related("contact").order_by("pk")[:SLICE])
    contacts = []
    for change in changes:
        for name, (before, became) in change.before.items():
            if getattr(change.contact, name) == became:
                setattr(change.contact, name, before)
        contacts.append(change.contact)
    Contact.objects.bulk_update(contacts, VALUES, batch_size=500)
    return changes[-1].pk if len(changes) == SLICE else None
