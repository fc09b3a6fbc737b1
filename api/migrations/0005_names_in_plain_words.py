from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0004_hold_webhooks_that_fail"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="addressed",
            options={"verbose_name": "webhook of a campaign", "verbose_name_plural": "webhooks of campaigns"},
        ),
        migrations.AlterModelOptions(
            name="answered",
            options={"verbose_name": "remembered answer", "verbose_name_plural": "remembered answers"},
        ),
        migrations.AlterModelOptions(
            name="deliverytry",
            options={"verbose_name": "delivery try", "verbose_name_plural": "delivery tries"},
        ),
    ]
