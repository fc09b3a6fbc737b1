"""The only place that makes HTTP requests to providers: kept connections, time-outs, and what a broken one means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import urlencode

import requests
import urllib3.exceptions

from . import errors, watchdog
from .types import Reply, Request

TIMEOUT = (3.05, 20.0)  # seconds: to connect, between bytes of the answer
LONGEST = 25.0  # seconds of one exchange, however the answer trickles
REPLY_LIMIT = 16 * 1024 * 1024  # bytes of an answer that we are willing to read

Transport = Callable[[Request], Reply]

_BAD_URL = (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema)
_NO_CONNECTION = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ClosedPoolError,
)
_NO_HANDSHAKE = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "HANDSHAKE_FAILURE", "PROTOCOL_VERSION")
"""TLS failures of the first words. Any other can come after the request went out, so it is Uncertain."""

_NOISE = re.compile(r"^\[[^]]*\] ?|\(_ssl\.c:\d+\)|^.*?object at 0x\w+>: ?")


class HttpTransport:
    """Makes requests to one base URL over kept connections. Safe to share between threads."""

    def __init__(self, base_url: str, pool: int = 48) -> None:
        self.base_url = base_url.rstrip("/")
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy or netrc by accident, and a third less CPU
        adapter = watchdog.Adapter(pool_maxsize=pool, max_retries=0)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)

    def __call__(self, request: Request) -> Reply:
        """Raises Unreachable when nothing can have left, Uncertain when something may have.

        WrongAddress and KeyRefused: the base URL or the credentials cannot even be written as a request.
        """
        try:
            return self._exchange(request)
        except _BAD_URL as error:
            raise errors.WrongAddress("The base URL is not written as https://host/path.") from error
        except (requests.exceptions.InvalidHeader, UnicodeError) as error:
            raise errors.KeyRefused("The credentials hold characters that cannot be sent.") from error
        except requests.ConnectTimeout as error:
            raise errors.Unreachable(f"The provider could not be reached within {TIMEOUT[0]:.0f} seconds.") from error
        except requests.ConnectionError as error:
            if _never_connected(error):
                raise errors.Unreachable(f"The provider could not be reached ({reason(error)}).") from error
            raise errors.Uncertain(f"The connection broke before an answer came ({reason(error)}).") from error
        except requests.Timeout as error:
            if isinstance(error, requests.ReadTimeout):
                raise errors.Uncertain(f"No answer came within {TIMEOUT[1]:.0f} seconds.") from error
            raise errors.Uncertain(f"The answer had no end after {LONGEST:.0f} seconds.") from error
        except requests.RequestException as error:
            raise errors.Uncertain("The answer broke off before its end.") from error

    def _exchange(self, request: Request) -> Reply:
        with (
            watchdog.watched(LONGEST),
            self.session.request(
                request.method,
                url_of(self.base_url, request),
                data=request.body or None,
                headers={"user-agent": "smsdash", **request.headers},
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            body = b"".join(_bounded(response.iter_content(65536)))
            return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)


def url_of(base_url: str, request: Request) -> str:
    return base_url.rstrip("/") + request.path + (f"?{urlencode(request.query)}" if request.query else "")


def _bounded(chunks: Iterable[bytes]) -> Iterable[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > REPLY_LIMIT:
            raise errors.BadAnswer("The provider's answer is far too long to be one.")
        yield chunk


def _never_connected(error: requests.ConnectionError) -> bool:
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if isinstance(error, requests.exceptions.SSLError):
        return any(word in str(reason) for word in _NO_HANDSHAKE)
    return isinstance(reason, _NO_CONNECTION)


def reason(error: BaseException) -> str:
    """The innermost words of a nested connection error: 'Connection refused', not three object addresses."""
    found, inner = error, _inside(error)
    while inner:
        found, inner = inner, _inside(inner)
    words = getattr(found, "strerror", None) or str(found)
    return _NOISE.sub("", words).strip(" .")[:200] or type(found).__name__


def _inside(error: BaseException) -> BaseException | None:
    parts = (*error.args, error.__cause__, error.__context__)
    return next((part for part in parts if isinstance(part, BaseException)), None)
