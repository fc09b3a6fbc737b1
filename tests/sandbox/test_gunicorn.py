"""The sandbox under the server that operators run."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from providers import errors
from sandbox.outcomes import HANG
from tests.server import until

from .base import KEY, adapter, to

pytestmark = pytest.mark.server
ROOT = Path(__file__).resolve().parents[2]


class Gunicorn:
    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.url = f"http://127.0.0.1:{environment['PORT']}"
        Path(environment["SMSDASH_DATA_DIR"]).mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
        command = ["-m", "gunicorn", "smsdash.wsgi", "--bind", self.url.removeprefix("http://")]
        command += ["--worker-class", "gthread", "--threads", "4", "--log-level", "warning"]
        self.process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment)
        until("gunicorn to answer", self.answers)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/sandbox/smsprovider/v1/account", timeout=30).status_code == 401
        except requests.RequestException:
            return False

    def taken(self) -> list[str]:
        asked = f"{self.url}/sandbox/control/messages/?kind=smsprovider"
        answer = requests.get(asked, headers={"Authorization": f"Bearer {KEY}"}, timeout=60).json()
        return [message["number"] for message in answer["messages"]]


@pytest.fixture
def gunicorn(installation: dict[str, str]) -> Iterator[Gunicorn]:
    server = Gunicorn(installation)
    yield server
    server.process.terminate()
    server.process.wait(90)


def test_connections_break_and_hangs_end_with_the_server(gunicorn: Gunicorn) -> None:
    made = adapter("smsprovider", gunicorn.url)
    with pytest.raises(errors.Uncertain, match="broke"):
        made.call(to("+15550100907"))
    assert gunicorn.taken() == ["+15550100907"]
    assert made.call(to("+15550100001")).outcomes[0].taken

    waiting = threading.Thread(target=_ask, args=(gunicorn.url,))
    waiting.start()
    until("the message to be taken", lambda: "+15550100914" in gunicorn.taken())
    begun = time.monotonic()
    gunicorn.process.send_signal(signal.SIGTERM)
    assert gunicorn.process.wait(2 * HANG) == 0
    assert time.monotonic() - begun < HANG / 2
    waiting.join(HANG)


def _ask(url: str) -> None:
    adapter("smsprovider", url).call(to("+15550100914"))
