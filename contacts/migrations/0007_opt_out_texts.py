from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contacts', '0006_fill_opt_out_words'),
    ]

    operations = [
        migrations.AlterField(
            model_name='optoutword',
            name='language',
            field=models.CharField(blank=True, help_text='Whoever writes it is answered in this language.', max_length=20, verbose_name='language'),
        ),
        migrations.CreateModel(
            name='OptOutText',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('stop', 'Opt out'), ('start', 'Opt in'), ('help', 'Help')], max_length=5, verbose_name='meaning')),
                ('language', models.CharField(help_text='As it stands with the words that are answered so.', max_length=20, verbose_name='language')),
                ('text', models.TextField(blank=True, help_text='Empty: these words are not answered.', verbose_name='answer')),
            ],
            options={
                'verbose_name': 'answer to opt-out words',
                'verbose_name_plural': 'answers to opt-out words',
                'ordering': ['language', 'kind'],
                'constraints': [models.UniqueConstraint(fields=('kind', 'language'), name='one_answer_to_words')],
            },
        ),
    ]
