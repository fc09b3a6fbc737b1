from django.db import migrations

TABLES = ('messaging_message', 'messaging_deliveryreport')


def look_at_wire_ids(apps, schema_editor):
    """PostgreSQL takes no statistics from an index with a condition: it would read the table for a few hundred ids."""
    if schema_editor.connection.vendor == 'postgresql':
        for table in TABLES:
            expression = "ltrim(rtrim(lower(provider_id)), ' +0')"
            schema_editor.execute(f'CREATE STATISTICS {table}_wire_id ON ({expression}) FROM {table}')


def forget_wire_ids(apps, schema_editor):
    if schema_editor.connection.vendor == 'postgresql':
        for table in TABLES:
            schema_editor.execute(f'DROP STATISTICS {table}_wire_id')


class Migration(migrations.Migration):

    dependencies = [
        ('messaging', '0005_routes_keep_their_accounts'),
    ]

    operations = [
        migrations.RunPython(look_at_wire_ids, forget_wire_ids),
    ]
