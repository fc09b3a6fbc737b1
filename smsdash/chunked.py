"""Bodies that come in chunks, without a length: Django reads only what has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def with_length(application: Application) -> Application:
    """Have a chunked body read before the application is called. One that is too long is cut, but tells so: it is a
    byte longer than what the views take."""

    def answer(asked: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        chunked = "chunked" in asked.get("HTTP_TRANSFER_ENCODING", "").lower()
        if chunked and asked.get("wsgi.input_terminated"):
            body = asked["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
            asked |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return application(asked, start_response)

    return answer
