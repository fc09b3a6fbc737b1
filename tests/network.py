"""Tests talk to this machine only: any other address is refused with an error that no code of ours catches."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest


class NetworkRefused(Exception):
    """Not an OSError, so that no retry or 'unreachable' swallows it."""


def is_local(host: str) -> bool:
    if host in ("", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_others(patch: pytest.MonkeyPatch) -> None:
    """Names under ``.invalid`` are not found, as in nature; every other foreign name or address is refused."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def checked(own: socket.socket, address: Any) -> None:
        if own.family in (socket.AF_INET, socket.AF_INET6) and not is_local(address[0]):
            own.close()  # callers clean up after an OSError only
            raise NetworkRefused(f"A test tried to reach {address[0]}:{address[1]}.")

    def local_connect(own: socket.socket, address: Any) -> None:
        checked(own, address)
        connect(own, address)

    def local_connect_ex(own: socket.socket, address: Any) -> int:
        checked(own, address)
        return connect_ex(own, address)

    def local_names(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host or ""
        if name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not is_local(name) and not _is_address(name):
            raise NetworkRefused(f"A test tried to look up {name}.")
        return getaddrinfo(host, *args, **kwargs)

    patch.setattr(socket.socket, "connect", local_connect)
    patch.setattr(socket.socket, "connect_ex", local_connect_ex)
    patch.setattr(socket, "getaddrinfo", local_names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
