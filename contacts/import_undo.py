"""Taking an import back, slice by slice, until all is as it was before: the values that it changed, the opt-outs that
it brought, the subscriptions that it ended, the contacts and lists that it made, the places on lists that it gave.

What others did later stays: who was changed, put on a list, unsubscribed or opted out since then is not touched there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from . import consent, import_memory
from .import_memory import OPTED_OUT
from .import_write import said_by
from .models import ConsentEvent, Contact, ContactList, How, Import, ImportChange, Subscription

SLICE = 5_000  # contacts of one transaction
VALUES = ("name", "language", "zone", "fields")

State = Import.State


def step(run: Import) -> bool:
    """The next slice, in the caller's transaction; ``run`` keeps the place and has to be saved. True: there is more."""
    stages = (_changes, _contacts, _subscriptions, _lists)
    stage, after = run.cursor.get("stage", 0), run.cursor.get("after", 0)
    last = stages[stage](run, after)
    if last is None:
        stage, last = stage + 1, 0
    run.cursor = {**run.cursor, "stage": stage, "after": last}
    return stage < len(stages)


# --- Those who were there before -----------------------------------------------------------------------


def _changes(run: Import, after: int) -> int | None:
    """The last row that was looked at, None at the end; as in all stages."""
    changes = list(run.changes.filter(pk__gt=after).select_related("contact").order_by("pk")[:SLICE])
    _give_values_back(changes)
    _opt_in(run, changes)
    _give_subscriptions_back(run, changes)
    run.changes.filter(pk__in=[change.pk for change in changes]).delete()
    return changes[-1].pk if len(changes) == SLICE else None


def _give_values_back(changes: Sequence[ImportChange]) -> None:
    """Those that are still as this import left them."""
    contacts = [change.contact for change in changes if not set(VALUES).isdisjoint(change.before)]
    for change in changes:
        for name in change.before.keys() & set(VALUES):
            before, became = change.before[name]
            if getattr(change.contact, name) == became:
                setattr(change.contact, name, before)
    Contact.objects.bulk_update(contacts, VALUES, batch_size=500)


def _opt_in(run: Import, changes: Sequence[ImportChange]) -> None:
    """Whom nobody but this import opted out."""
    ids = [
        change.contact_id
        for change in changes
        if (at := change.contact.opted_out_at) and change.before.get(OPTED_OUT) == at.isoformat()
    ]
    consent.opt_in(ids, How.IMPORT, said_by(run), _reason(run))


def _give_subscriptions_back(run: Import, changes: Sequence[ImportChange]) -> None:
    ended: dict[int, dict[int, consent.Ended]] = defaultdict(dict)
    for change in changes:
        for of, one in import_memory.ended_by(change).items():
            ended[of][change.contact_id] = one
    for to in ContactList.objects.filter(pk__in=ended).order_by("pk"):
        consent.give_back(to, ended[to.pk], How.IMPORT, said_by(run), _reason(run))


def _reason(run: Import) -> str:
    return _("The import of “%s” was undone.") % run.name


# --- What it made --------------------------------------------------------------------------------------


def _contacts(run: Import, after: int) -> int | None:
    """Delete those that only this import knows."""
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
    """Take people off the lists that this import put them on, unless others changed their place there since."""
    given = Subscription.objects.filter(made_by_import=run, pk__gt=after).select_related("list").order_by("pk")
    rows = list(given[:SLICE])
    ended = _ended_by_others([row.contact_id for row in rows if not row.subscribed])
    members = defaultdict(list)
    for row in rows:
        if row.how == How.IMPORT and (row.contact_id, row.list_id) not in ended:
            members[row.list].append(row.contact_id)
    for of in sorted(members, key=lambda of: of.pk):
        if of.deleted_at is None:
            consent.remove(of, members[of], How.IMPORT, said_by(run))
    return rows[-1].pk if len(rows) == SLICE else None


def _ended_by_others(contacts: Sequence[int]) -> set[tuple[int, int]]:
    """Contacts and lists, of which another import ended the subscription."""
    changes = ImportChange.objects.filter(contact__in=contacts)
    return {(change.contact_id, of) for change in changes for of in import_memory.ended_by(change)}


def _lists(run: Import, _after: int) -> None:
    """Away with the lists that it made, where nobody is on them and no other import is to fill them."""
    others = Import.objects.filter(state__in=(State.WAITING, State.RUNNING, State.STOPPED, State.FAILED))
    wanted = {pk for options in others.values_list("options", flat=True) for pk in options.get("lists", ())}
    made = set(run.options.get("made_lists", ())) - wanted
    ContactList.objects.filter(pk__in=made, members=0, account=None).update(deleted_at=timezone.now())
