"""What the tests of the served APIs share."""

from __future__ import annotations

import pytest

from messaging import wakeup


@pytest.fixture
def no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is woken."""
    monkeypatch.setattr(wakeup, "async_task", lambda *arguments: None)
