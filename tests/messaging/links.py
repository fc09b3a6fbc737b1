"""A server of pictures and other things, for the tests of attachments."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image
from pytest_httpserver import HTTPServer

from messaging import attachments
from messaging.models import Attachment


def picture(kind: str = "JPEG", size: tuple[int, int] = (640, 400), **values: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, kind, **values)
    return file.getvalue()


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")


def serve(server: HTTPServer, path: str, body: bytes, type: str | None = "image/jpeg", **values: Any) -> str:
    server.expect_request(path).respond_with_data(body, content_type=type, **values)
    return server.url_for(path)


def look(*links: str) -> list[Attachment]:
    """Ask for the links, let a worker look, and tell what it found."""
    attachments.want(links)
    attachments.work()
    return [Attachment.objects.get(link=link) for link in links]
