from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0017_what_people_write_comes_first"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="attempt",
            options={"verbose_name": "attempt", "verbose_name_plural": "attempts"},
        ),
        migrations.AlterModelOptions(
            name="lease",
            options={"verbose_name": "lease", "verbose_name_plural": "leases"},
        ),
        migrations.AlterModelOptions(
            name="tally",
            options={"verbose_name": "kept count", "verbose_name_plural": "kept counts"},
        ),
        migrations.AlterModelOptions(
            name="worker",
            options={"verbose_name": "worker", "verbose_name_plural": "workers"},
        ),
    ]
