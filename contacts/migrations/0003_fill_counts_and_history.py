from django.db import migrations
from django.db.models import Count, Q


def fill(apps, schema_editor):
    """Subscriptions by status, the counts of their lists, and an event for each opt-out."""
    model = lambda name: apps.get_model("contacts", name).objects.using(schema_editor.connection.alias)  # noqa: E731
    for row in model("Subscription").exclude(unsubscribed_at=None).iterator():
        model("Subscription").filter(pk=row.pk).update(subscribed=False, at=row.unsubscribed_at)
    subscribed = Count("subscriptions", filter=Q(subscriptions__subscribed=True))
    for row in model("ContactList").annotate(n=Count("subscriptions"), yes=subscribed):
        model("ContactList").filter(pk=row.pk).update(members=row.n, subscribed=row.yes)
    event = apps.get_model("contacts", "ConsentEvent")
    events = (
        event(contact_id=row.pk, what="opted_out", how=_how(row.opted_out_by), by=row.opted_out_by, at=row.opted_out_at)
        for row in model("Contact").exclude(opted_out_at=None).iterator()
    )
    model("ConsentEvent").bulk_create(events, batch_size=2000)


def _how(by):
    return "stop" if by.startswith("message ") else "operator"


class Migration(migrations.Migration):
    dependencies = [("contacts", "0002_lists_and_consent")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
