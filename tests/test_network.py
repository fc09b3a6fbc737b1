from __future__ import annotations

import socket

import pytest
import requests

from tests.network import NetworkRefused


@pytest.mark.parametrize("url", ["http://192.0.2.1/", "http://[2001:db8::1]/", "http://example.com/"])
def test_another_machine_cannot_be_reached(url: str) -> None:
    with pytest.raises(NetworkRefused):
        requests.get(url, timeout=1)


def test_a_name_that_cannot_exist_is_not_found() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("provider.invalid", 443)


def test_this_machine_can_be_reached() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(("localhost", server.getsockname()[1]), timeout=5):
            pass
