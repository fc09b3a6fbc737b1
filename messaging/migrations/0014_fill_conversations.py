from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def fill(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """A conversation of each number that ever wrote, from its newest message."""
    schema_editor.execute(
        "INSERT INTO messaging_conversation (number, last, last_at, preview, outgoing, heard, account_id, device, sim, "
        '"to", state, flag, answered, version) '
        "SELECT m.number, m.id, m.created_at, substr(m.text, 1, 160), %s, m.id, m.account_id, m.device, m.sim, "
        "m.sender, 'open', '', '', 0 FROM messaging_message m WHERE m.id IN "
        "(SELECT MAX(id) FROM messaging_message WHERE status = 'received' AND number <> '' GROUP BY number) "
        "ON CONFLICT (number) DO NOTHING",
        [False],
    )


class Migration(migrations.Migration):
    dependencies = [("messaging", "0013_conversations_and_auto_replies")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
