"""The wire APIs of the providers, served: a program written for one of them works here with another host and key."""

from __future__ import annotations

import logging

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from providers import errors, registry, serving, web
from providers.base import Dialect
from providers.types import Credential, RateState, Reply, Request

from . import access, idempotency, recall
from .models import ApiKey
from .service import Service

log = logging.getLogger(__name__)

BUSY = "smsdash cannot reach its database for the moment, and nothing was done. Try again in a moment."
BROKEN = "smsdash failed to answer, and what was asked may have been done. Tell its administrator."


@csrf_exempt
@login_not_required
def wire(request: HttpRequest, kind: str) -> HttpResponse:
    return answer(kind, request, request.path_info.removeprefix(registry.adapter_class(kind).base_url_ends))


def answer(kind: str, request: HttpRequest, path: str) -> HttpResponse:
    """Answer as the API of ``kind`` does; ``path`` is below its base URL, as ``/messages``. Never raises, and never
    answers in another shape."""
    call = _Call(registry.dialect(kind), request)
    try:
        response = call.answered(web.read(request, path))
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
        """Raises ProviderError."""
        credential = self.dialect.credential(asked)
        key = self._found(credential)
        self.limits = access.admit(key, access.address_of(self.request))
        return idempotency.once(key, self.request, asked.body, lambda: self._done(key, asked))

    @staticmethod
    def _found(credential: Credential) -> ApiKey:
        """The first thing that the database is asked, so this is where it shows if the connection was lost meanwhile;
        to look at that beforehand would cost a question each time."""
        connection.health_check_done = True
        try:
            return recall.find(credential.key, credential.secret)
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or connection.is_usable():
                raise
            connection.close()
            return recall.find(credential.key, credential.secret)

    def _done(self, key: ApiKey, asked: Request) -> HttpResponse:
        service = Service(key)
        self.dialect.clock = service.clock
        op = self.dialect.operation(asked)
        return web.respond(self.dialect.write(op, serving.handle(service, op)))

    def refused(self, error: errors.ProviderError) -> HttpResponse:
        if isinstance(error, errors.RateLimited) and error.state:
            self.limits = error.state
        return web.respond(self.dialect.refuse(error))

    def with_limits(self, response: HttpResponse) -> HttpResponse:
        for name, value in self.dialect.with_limits(Reply(0), self.limits).headers.items():
            response[name] = value
        return response
