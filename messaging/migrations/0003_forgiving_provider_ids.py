from django.db import migrations, models

import messaging.wire_ids


class Migration(migrations.Migration):

    dependencies = [
        ('messaging', '0002_routes_attempts_and_bulk_actions'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='deliveryreport',
            name='report_unmatched',
        ),
        migrations.RemoveIndex(
            model_name='message',
            name='message_by_provider_id',
        ),
        migrations.AddIndex(
            model_name='deliveryreport',
            index=models.Index(models.F('account'), messaging.wire_ids.WireId('provider_id'), condition=models.Q(('message__isnull', True)), name='report_by_wire_id'),
        ),
        migrations.AddIndex(
            model_name='deliveryreport',
            index=models.Index(condition=models.Q(('message__isnull', True)), fields=['-id'], name='report_unmatched'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(models.F('account'), messaging.wire_ids.WireId('provider_id'), condition=models.Q(('provider_id', ''), _negated=True), name='message_by_wire_id'),
        ),
    ]
