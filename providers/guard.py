"""Requests to addresses that strangers name, webhooks and links: never into our own network.

A name is looked up once, every address that it has must be public, and the connection goes to the one that was
checked, so a name that changes between look and connect gains nothing. Redirects are answers like any other. A host
that an administrator allowed (AllowedHost) may be anywhere. The base URLs of accounts are no business of this file.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from django.utils.translation import gettext as _
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util import Url, parse_url

from . import watchdog
from .models import AllowedHost
from .transport import reason

TIMEOUT = (5.0, 15.0)  # seconds: to connect, between bytes of the answer
LONGEST = 30.0  # seconds of one exchange, however the answer trickles
ADDRESSES = 4  # of a name, that are tried
CHUNK = 65_536

PUBLIC_6 = ipaddress.ip_network("2000::/3")
NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.88.99.0/24",  # relays to and from 6to4
        "2001::/23",  # Teredo and other tunnels
        "2001:db8::/32",
        "2002::/16",  # 6to4: holds an IPv4 address, perhaps a private one
        "3fff::/20",
    )
)


class Refused(Exception):
    """An address that is not called; says why, in a sentence."""


class UnknownHost(Refused):
    """The host's name is not found, at least now."""


class PrivateHost(Refused):
    """``host`` lies in a private network, and nobody allowed it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            _("%s is an address in a private network. An administrator can allow the host if it is meant.") % host
        )
        self.host = host


class Failed(Exception):
    """A call that brought nothing; says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers`` in lower case, ``body`` as it came, at most as long as was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes


# --- Addresses -----------------------------------------------------------------------------------------


def check(url: str) -> None:
    """Look the host up and see that it may be called. Raises Refused."""
    parts = _parts(url)
    host = str(parts.host)
    try:
        _addresses(host, parts.port or 443, _allowed())
    except OSError as error:
        raise UnknownHost(_("There is no host named %s. Look for a slip in the address.") % host) from error


def check_spelling(url: str) -> None:
    """See that it is an address at all, whatever stands behind it. Raises Refused."""
    _parts(url)


def host_name(text: str) -> str:
    """A host as it is compared: lower case, without brackets and the dot at the end."""
    return text.strip().lower().strip("[]").rstrip(".")


def host_of(url: str) -> str:
    """The host of an address as it is compared; empty if it has none."""
    try:
        return host_name(str(_parts(url).host))
    except Refused:
        return ""


def is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return ip in PUBLIC_6 and not any(ip in network for network in NOT_PUBLIC)
        ip = ip.ipv4_mapped
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in NOT_PUBLIC)


def _parts(url: str) -> Url:
    """Read as the connection will read it."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        parts = Url()
    if parts.scheme not in ("http", "https") or not parts.host:
        raise Refused(_("Write the address as https://host/path."))
    if parts.auth is not None:
        raise Refused(_("Leave the name and the password out of the address."))
    return parts


def _allowed() -> frozenset[str]:
    return frozenset(host_name(name) for name in AllowedHost.objects.values_list("name", flat=True))


def _addresses(host: str, port: int, allowed: frozenset[str]) -> list[str]:
    """All addresses of a name. Raises PrivateHost if one of them may not be called, OSError if there is none."""
    name = host_name(host)
    try:
        found = list(dict.fromkeys(str(each[4][0]) for each in _look_up(name, port)))
    except UnicodeError as error:
        raise OSError(str(error)) from error
    if not found:
        raise OSError("no address")
    if name not in allowed and not all(map(is_public, found)):
        raise PrivateHost(name)
    return found[:ADDRESSES]


def _look_up(name: str, port: int) -> list[tuple[Any, ...]]:
    return list(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))


# --- Connections ---------------------------------------------------------------------------------------


class _Guarded(watchdog.Watched):
    """Connects to addresses that were checked. ``self.host``, and so Host, SNI and the certificate, stays the name."""

    def __init__(self, *args: Any, allowed: frozenset[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allowed = allowed

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        try:
            addresses = _addresses(name, self.port or 443, self.allowed)
        except OSError as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        try:
            return self._first(addresses)
        finally:
            self._dns_host = name

    def _first(self, addresses: list[str]) -> socket.socket:
        for address in addresses[:-1]:
            if watchdog.is_late():
                break
            self._dns_host = address
            with suppress(NewConnectionError, ConnectTimeoutError):
                return super()._new_conn()
        self._dns_host = addresses[-1]
        return super()._new_conn()


class _GuardedTLS(_Guarded, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    def __init__(self, allowed: frozenset[str], pool: int) -> None:
        self.allowed = allowed
        super().__init__(pool_maxsize=pool, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(self._pool, HTTPConnectionPool, _Guarded),
            "https": partial(self._pool, HTTPSConnectionPool, _GuardedTLS),
        }

    def _pool(self, kind: type[HTTPConnectionPool], of: type[_Guarded], *args: Any, **kwargs: Any) -> Any:
        pool = kind(*args, **kwargs)
        pool.ConnectionCls = partial(of, allowed=self.allowed)  # type: ignore[assignment]
        return pool


class Session(requests.Session):
    """Calls public addresses and allowed hosts only (those that are allowed now). Raises Refused for any other."""

    def __init__(self, pool: int = 8) -> None:
        super().__init__()
        self.trust_env = False  # no proxy: it would look names up itself
        self.headers["accept-encoding"] = "identity"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(_allowed(), pool)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        _parts(request.url or "")
        kwargs |= {"allow_redirects": False, "proxies": {}, "timeout": kwargs.get("timeout") or TIMEOUT}
        return super().send(request, **kwargs)

    def get_redirect_target(self, response: requests.Response) -> None:
        return None


def session(pool: int = 8) -> Session:
    """``pool``: connections that are kept to one host. Safe to share between threads."""
    return Session(pool)


# --- Exchanges with an end -----------------------------------------------------------------------------


def fetch(url: str, limit: int) -> tuple[dict[str, str], bytes]:
    """GET it: the headers, in lower case, and the body. Raises Refused; Failed for anything but a whole answer with a
    status of success and at most ``limit`` bytes."""
    with session() as calls:
        answer = exchange(calls, "GET", url, limit=limit + 1)
    if not 200 <= answer.status < 300:
        raise Failed(_("The server answered with the status %d.") % answer.status)
    if len(answer.body) > limit:
        raise Failed(_("It is longer than %d bytes.") % limit)
    return dict(answer.headers), answer.body


def exchange(
    calls: Session,
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    limit: int = CHUNK,
    longest: float = LONGEST,
) -> Answer:
    """One request and its answer, the first ``limit`` bytes of it, within ``longest`` seconds. Raises Refused, or
    Failed when no answer came."""
    _parts(url)
    try:
        with (
            watchdog.watched(longest),
            calls.request(method, url, data=body, headers=dict(headers or {}), stream=True) as response,
        ):
            found = b"".join(_read(response.raw, limit))
            return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, found)
    except requests.Timeout as error:
        raise Failed(_("No answer came in time.")) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
        raise Failed(_("No answer came: %s.") % reason(error)) from error


def _read(raw: Any, limit: int) -> Iterator[bytes]:
    while limit > 0 and (some := raw.read1(min(CHUNK, limit))):
        yield some
        limit -= len(some)
