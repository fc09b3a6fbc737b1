from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0008_fill_opt_out_texts"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="importchange",
            options={"verbose_name": "contact before an import", "verbose_name_plural": "contacts before imports"},
        ),
        migrations.AlterModelOptions(
            name="importchunk",
            options={"verbose_name": "piece of an import", "verbose_name_plural": "pieces of imports"},
        ),
        migrations.AlterModelOptions(
            name="importreject",
            options={"verbose_name": "rejected row", "verbose_name_plural": "rejected rows"},
        ),
    ]
