from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from smsdash import demo, setup
from smsdash.supervisor import Supervisor


class Command(BaseCommand):
    help = "Run everything: web server, background workers and, with the demo, the sandbox."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.SMSDASH_WEB and _taken(settings.HOST, settings.PORT):
            raise CommandError(f"Port {settings.PORT} is taken. Stop what uses it, or set PORT to another number.")
        setup.prepare(self.say)
        threading.Thread(target=self.announce, daemon=True).start()
        Supervisor().run()

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def announce(self) -> None:
        """Say where smsdash is, once it answers."""
        if not settings.SMSDASH_WEB:
            self.say("smsdash workers are running. (Ctrl-C stops them)")
            return
        host = "127.0.0.1" if settings.HOST in ("0.0.0.0", "::") else settings.HOST
        url = f"http://{host}:{settings.PORT}/"
        while not _answers(url + "healthz"):
            time.sleep(0.1)
        self.say(f"smsdash is ready: {url}  (Ctrl-C stops it)")
        if settings.SMSDASH_DEMO:
            demo.sync_devices()
            connection.close()


def _taken(host: str, port: int) -> bool:
    """Whether somebody still listens there after a moment: what ran before may be on its way out."""
    for _ in range(20):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return False
            except OSError:
                time.sleep(0.1)
    return True


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
