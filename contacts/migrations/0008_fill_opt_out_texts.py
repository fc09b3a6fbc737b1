from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TEXTS = {
    ("stop", "zh"): "您已退订,不会再收到我们的短信。回复“订阅”可重新接收。",
    ("start", "zh"): "您将重新收到我们的短信。回复“退订”可停止接收。",
    ("help", "zh"): "回复“退订”停止接收短信,回复“订阅”重新接收。",
    ("stop", "de"): "Sie sind abgemeldet und erhalten keine Nachrichten mehr. Mit ANMELDEN erhalten Sie sie wieder.",
    ("start", "de"): "Sie erhalten unsere Nachrichten wieder. Mit ABMELDEN melden Sie sich ab.",
    ("help", "de"): "Mit ABMELDEN erhalten Sie keine Nachrichten mehr, mit ANMELDEN wieder welche.",
    ("stop", "es"): "Baja confirmada: no le enviaremos mensajes. Responda ALTA para volver a recibirlos.",
    ("start", "es"): "Le enviaremos mensajes de nuevo. Responda BAJA para darse de baja.",
    ("help", "es"): "Responda BAJA para no recibir mensajes, ALTA para volver a recibirlos.",
    ("stop", "fr"): "Vous ne recevrez plus de messages. Répondez START pour les recevoir à nouveau.",
    ("help", "fr"): "Répondez ARRET pour ne plus recevoir de messages, START pour les recevoir à nouveau.",
    ("stop", "nl"): "U bent afgemeld en krijgt geen berichten meer. Antwoord AANMELDEN om ze weer te krijgen.",
    ("start", "nl"): "U krijgt onze berichten weer. Antwoord AFMELDEN om u af te melden.",
    ("stop", "pt"): "Pronto: paramos de enviar mensagens. Responda START para receber de novo.",
    ("help", "pt"): "Responda SAIR para parar de receber mensagens, START para receber de novo.",
}


def fill(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    texts = apps.get_model("contacts", "OptOutText").objects
    rows = [texts.model(kind=kind, language=language, text=text) for (kind, language), text in TEXTS.items()]
    texts.bulk_create(rows, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("contacts", "0007_opt_out_texts")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
