"""``python -m tests.feeding``, with an installation's environment: accounts at a sandbox, and campaigns for them.

A plan comes in as JSON: ``accounts`` (name, kind, base_url, key, rates); ``routes`` (name, accounts: their names);
``campaigns`` (account, numbers, text, and perhaps route, priority, ``alone``: one message a request, ``at``: seconds
from now until it is submitted, ``later``: seconds more until it is due).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import django

from tests.server import ROOT, Server

Facts = Mapping[str, Any]


def start(server: Server, plan: Facts) -> subprocess.Popen[str]:
    environment = {**server.environment, "DJANGO_SETTINGS_MODULE": "smsdash.settings"}
    command = [sys.executable, "-m", "tests.feeding"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan))
    process.stdin.close()
    return process


def feed(server: Server, plan: Facts) -> None:
    """Until it is done."""
    assert start(server, plan).wait(300) == 0


if __name__ == "__main__":
    django.setup()

    from django.db import InterfaceError, OperationalError, connection, transaction
    from django.utils import timezone

    from messaging import campaigns
    from messaging.models import Message, Route, RouteMember
    from providers.models import ProviderAccount

    def add(facts: Facts) -> None:
        account = ProviderAccount(
            name=facts["name"], kind=facts["kind"], base_url=facts["base_url"], rates=facts["rates"]
        )
        secrets = {"api_password": "sandbox-secret"}
        fields = account.kind_class.fields
        account.set_credentials(
            {f.name: secrets.get(f.name, facts["key"]) if f.secret else f.default or "" for f in fields}
        )
        account.save()

    def connect(facts: Facts) -> None:
        route = Route.objects.create(name=facts["name"], strategy=Route.WEIGHTED)
        for place, name in enumerate(facts["accounts"]):
            RouteMember.objects.create(route=route, account=ProviderAccount.objects.get(name=name), position=place)

    def submit(facts: Facts) -> None:
        """As a form that is sent until it was heard: its token makes one campaign of it."""
        token, due_at = uuid.uuid4(), timezone.now() + timedelta(seconds=facts.get("later", 0))
        end = time.monotonic() + 60
        while True:
            try:
                draft = campaigns.Draft(
                    ProviderAccount.objects.get(name=facts["account"]),
                    facts["numbers"],
                    facts["text"],
                    route=Route.objects.filter(name=facts.get("route")).first(),
                    due_at=due_at,
                    priority=facts.get("priority", 0),
                    token=token,
                )
                with transaction.atomic():
                    campaign = campaigns.submit(draft)
                    if facts.get("alone"):
                        Message.objects.filter(campaign=campaign).update(batch_limit=1)
                return
            except (OperationalError, InterfaceError):
                if time.monotonic() > end:
                    raise
                connection.close()
                time.sleep(0.1)

    plan, begun = json.load(sys.stdin), time.monotonic()
    for facts in plan.get("accounts", ()):
        add(facts)
    for facts in plan.get("routes", ()):
        connect(facts)
    for facts in plan.get("campaigns", ()):
        time.sleep(max(0.0, begun + facts.get("at", 0) - time.monotonic()))
        submit(facts)
