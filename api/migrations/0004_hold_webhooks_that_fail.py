from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0003_scopes_limits_and_webhooks"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="delivery",
            name="delivery_due",
        ),
        migrations.AddField(
            model_name="webhook",
            name="hold_until",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state", "waiting")), fields=["webhook", "next_at", "id"], name="delivery_due"
            ),
        ),
    ]
