from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("contacts", "0003_fill_counts_and_history")]

    operations = [
        migrations.RemoveField(model_name="contact", name="opted_out_by"),
        migrations.RemoveField(model_name="subscription", name="unsubscribed_at"),
    ]
