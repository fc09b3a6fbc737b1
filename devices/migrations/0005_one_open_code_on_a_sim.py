from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0004_fill_the_state_of_codes'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='ussdrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ('queued', 'asked'))), fields=('account', 'device_id', 'sim'), name='one_open_ussd_on_a_sim'),
        ),
        migrations.AddConstraint(
            model_name='ussdrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('sim__isnull', True), ('state__in', ('queued', 'asked'))), fields=('account', 'device_id'), name='one_open_ussd_on_a_phone'),
        ),
    ]
