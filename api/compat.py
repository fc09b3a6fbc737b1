"""The wire APIs of the providers, served: a program written for one of them works here with another host and key."""

from __future__ import annotations

import logging
import threading
import time
from functools import cache

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from messaging import accepting
from providers import errors, registry, serving, web
from providers.base import Dialect
from providers.types import Operation, RateState, Reply, Request, Send

from . import access, idempotency, recall
from .models import ApiKey
from .service import Service

log = logging.getLogger(__name__)

FRESH = 1.0  # seconds
_used = threading.local()  # when this thread used its connection last

BUSY = "smsdash cannot reach its database for the moment, and nothing was done. Try again in a moment."
BROKEN = "smsdash failed to answer, and what was asked may have been done. Tell its administrator."


@csrf_exempt
@login_not_required
def wire(request: HttpRequest, kind: str) -> HttpResponse:
    return answer(kind, request, request.path_info.removeprefix(registry.adapter_class(kind).base_url_ends))


def answer(kind: str, request: HttpRequest, path: str) -> HttpResponse:
    """Answer as the API of ``kind`` does; ``path`` is below its base URL, as ``/messages``, with or without a slash at
    its end. Never raises, and never answers in another shape."""
    call = _Call(registry.dialect(kind), request)
    try:
        response = call.answered(web.read(request, path.rstrip("/") or "/"))
    except errors.ProviderError as error:
        response = call.refused(error)
    except web.Unreadable as error:
        response = call.refused(errors.InvalidRequest(str(error)))
    except (DatabaseError, InterfaceError):
        log.exception("The database failed an API request")
        response = call.refused(errors.Unavailable(BUSY, retry_after=1))
    except Exception:
        log.exception("An API request failed")
        response = call.refused(errors.Uncertain(BROKEN))
    return call.with_limits(response)


class _Call:
    """One request on its way. ``limits``: the window of its key; until that is known, what each key has at least."""

    def __init__(self, dialect: Dialect, request: HttpRequest) -> None:
        self.dialect, self.request = dialect, request
        rate = settings.SMSDASH_API_RATE
        self.limits = RateState(rate.limit, rate.limit, rate.seconds)

    def answered(self, asked: Request) -> HttpResponse:
        """Raises ProviderError. A key that is remembered serves as long as it is as it was."""
        credential = self.dialect.credential(asked)
        _spare_the_check()
        known = recall.remembered(credential.key, credential.secret)
        try:
            if known:
                return self._admit(known, asked)
        except accepting.Changed:
            pass
        except errors.ProviderError:
            if _holds(known):
                raise
        return self._admit(recall.find(credential.key, credential.secret), asked)

    def _admit(self, key: ApiKey, asked: Request) -> HttpResponse:
        self.limits = access.admit(key, access.address_of(self.request))
        service = Service(key)
        self.dialect.clock = service.clock
        op = cache(lambda: self.dialect.operation(asked))
        return idempotency.once(
            key, self.request, asked.body, lambda: self._done(service, op()), lambda: service.prepare(op())
        )

    def _done(self, service: Service, op: Operation) -> HttpResponse:
        key = service.key
        if not (isinstance(op, Send) and not op.list_id or _holds(key)):  # such messages are stored if it holds
            raise accepting.Changed
        return web.respond(self.dialect.write(op, serving.handle(service, op)))

    def refused(self, error: errors.ProviderError) -> HttpResponse:
        if isinstance(error, errors.RateLimited) and error.state:
            self.limits = error.state
        return web.respond(self.dialect.refuse(error))

    def with_limits(self, response: HttpResponse) -> HttpResponse:
        for name, value in self.dialect.with_limits(Reply(0), self.limits).headers.items():
            response[name] = value
        return response


def _holds(key: ApiKey | None) -> bool:
    """Whether a key that was remembered is as it was. One that was just found is."""
    return key is None or key.proof is None or key.proof in recall.still([key.proof])


def _spare_the_check() -> None:
    """A connection that worked a moment ago is not asked once more whether it does."""
    now = time.monotonic()
    if now - getattr(_used, "at", -FRESH) < FRESH:
        connection.health_check_done = True
    _used.at = now
