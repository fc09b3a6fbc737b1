"""Bodies without a length, as some programs send them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from smsdash import chunked

pytestmark = pytest.mark.once


def told(headers: dict[str, str], body: bytes) -> tuple[str | None, bytes]:
    """The length and the body that the application gets."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return []

    environ = {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, **headers}
    chunked.with_length(application)(environ, None)
    return seen.get("CONTENT_LENGTH"), seen["wsgi.input"].read()


def test_a_chunked_body_gets_a_length() -> None:
    assert told({"HTTP_TRANSFER_ENCODING": "Chunked"}, b"abc") == ("3", b"abc")


def test_any_other_is_left_alone() -> None:
    assert told({"CONTENT_LENGTH": "2"}, b"abc") == ("2", b"abc")
    assert told({}, b"abc") == (None, b"abc")
    assert told({"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": ""}, b"abc") == (None, b"abc")


def test_one_that_is_too_long_is_read_no_further_than_it_takes_to_know(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2
    assert told({"HTTP_TRANSFER_ENCODING": "chunked"}, b"abcdef") == ("3", b"abc")
