"""What the tests of phones leave behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox import agent


@pytest.fixture(autouse=True)
def no_connection_stays_open() -> Iterator[None]:
    """The sandbox's agent keeps its connections to a test's server, whose thread then keeps one to the database."""
    yield
    if agent._session.cache_info().currsize:
        agent._session().close()
