from django.db import migrations


def fill(apps, schema_editor):
    rows = apps.get_model('devices', 'UssdRequest').objects.filter(state='queued')
    rows.filter(response__isnull=False).update(state='answered')
    rows.filter(response__isnull=True).update(state='silent')


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0003_phones_and_codes'),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
