from django.db import migrations, models


def leave_room_in_pages(apps, schema_editor):
    """Each row is written again when it is sent: beside itself, if there is room, at half the cost."""
    if schema_editor.connection.vendor == 'postgresql':
        for table in ('messaging_message', 'messaging_tally', 'messaging_lease', 'providers_exchange', 'providers_pace'):
            schema_editor.execute(f'ALTER TABLE {table} SET (fillfactor = 50)')
        for index in ('messaging_message_pkey', 'message_by_campaign', 'message_by_number'):
            schema_editor.execute(f'ALTER INDEX {index} SET (fillfactor = 50)')


class Migration(migrations.Migration):

    dependencies = [
        ('messaging', '0007_campaigns_to_lists'),
        ('providers', '0002_hours_pace_and_exchanges'),
    ]

    operations = [
        # new ids come last, so that pages fill up instead of being split in two
        migrations.RemoveIndex(model_name='message', name='message_by_account_status'),
        migrations.RemoveIndex(model_name='message', name='message_by_campaign'),
        migrations.RemoveIndex(model_name='message', name='message_by_number'),
        migrations.RemoveIndex(model_name='message', name='message_polls'),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['account', 'status', 'id'], name='message_by_account_status'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['campaign', 'id'], name='message_by_campaign'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['number', 'id'], name='message_by_number', opclasses=['varchar_pattern_ops', '']),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('poll_at__isnull', False)), fields=['account', 'poll_at', 'id'], name='message_polls'),
        ),
        migrations.RunPython(leave_room_in_pages, migrations.RunPython.noop),
    ]
