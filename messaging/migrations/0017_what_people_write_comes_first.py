from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('messaging', '0016_posts_of_an_account'),
        ('providers', '0003_outbox_and_allowed_hosts'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='posted',
            name='posted_by_account',
        ),
        migrations.AddField(
            model_name='posted',
            name='urgent',
            field=models.BooleanField(default=False),
        ),
        migrations.AddIndex(
            model_name='posted',
            index=models.Index(fields=['account', 'urgent', 'id'], name='posted_in_order'),
        ),
    ]
