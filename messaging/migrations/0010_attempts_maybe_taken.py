from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("messaging", "0009_campaign_shown"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="maybe_taken",
            field=models.BooleanField(default=False),
        ),
    ]
