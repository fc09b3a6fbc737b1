from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

WORDS = {
    ("stop", "en"): "STOP STOPALL UNSUBSCRIBE END QUIT CANCEL REVOKE OPTOUT OPT-OUT",
    ("start", "en"): "START UNSTOP YES",
    ("help", "en"): "HELP INFO",
    ("stop", "zh"): "退订 退訂",
    ("start", "zh"): "订阅 訂閱",
    ("help", "zh"): "帮助 幫助",
    ("stop", "de"): "ABMELDEN",
    ("start", "de"): "ANMELDEN",
    ("help", "de"): "HILFE",
    ("stop", "es"): "BAJA",
    ("start", "es"): "ALTA",
    ("help", "es"): "AYUDA",
    ("stop", "fr"): "ARRET ARRÊT",
    ("help", "fr"): "AIDE",
    ("stop", "nl"): "AFMELDEN",
    ("start", "nl"): "AANMELDEN",
    ("stop", "pt"): "SAIR",
    ("help", "pt"): "AJUDA",
}


def fill(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    words = apps.get_model("contacts", "OptOutWord").objects
    rows = [(word, *key) for key, line in WORDS.items() for word in line.split()]
    words.bulk_create(
        [words.model(word=word, kind=kind, language=language) for word, kind, language in rows], ignore_conflicts=True
    )


class Migration(migrations.Migration):
    dependencies = [("contacts", "0005_opt_out_words")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
