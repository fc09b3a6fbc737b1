from django.db import migrations
from django.db.models import Q

CODES = ("no_answer", "bad_answer", "left_out", "worker_lost", "internal_error", "INTERNAL_ERROR", "")


def fill(apps, schema_editor):
    """So far only their codes told which attempts left it open whether the provider took the message."""
    attempts = apps.get_model("messaging", "Attempt").objects
    attempts.filter(Q(error_code__in=CODES) | Q(error_code__regex=r"^5\d\d$")).update(maybe_taken=True)


class Migration(migrations.Migration):

    dependencies = [
        ("messaging", "0010_attempts_maybe_taken"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
