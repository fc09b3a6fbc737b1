from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("providers", "0003_outbox_and_allowed_hosts"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="occurrence",
            options={"verbose_name": "event to pass on", "verbose_name_plural": "events to pass on"},
        ),
        migrations.AlterModelOptions(
            name="pace",
            options={"verbose_name": "pace of an account", "verbose_name_plural": "paces of accounts"},
        ),
        migrations.AlterModelOptions(
            name="wanted",
            options={"verbose_name": "wanted event", "verbose_name_plural": "wanted events"},
        ),
    ]
