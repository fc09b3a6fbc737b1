"""What stands behind links: real servers that lie, trickle, lead astray and send bombs."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator

import pytest
from PIL import Image
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from messaging import media, thumbnails
from messaging.media import Away, Unfit
from providers import guard
from providers.models import AllowedHost

from .links import bomb, picture, serve

pytestmark = [pytest.mark.django_db, pytest.mark.once]

MOST = 50_000
JPEG = picture()
PDF = b"%PDF-1.7 and so on"
TYPES = {
    # what the server says, the bytes, what it is
    "jpeg": ("image/jpeg", JPEG, "image/jpeg"),
    "jpeg by another name": ("image/jpg; charset=utf-8", JPEG, "image/jpeg"),
    "nothing said": ("", JPEG, "image/jpeg"),
    "any bytes said": ("application/octet-stream", picture("PNG"), "image/png"),
    "another picture than said": ("image/png", picture("WEBP"), "image/webp"),
    "gif": ("image/gif", picture("GIF"), "image/gif"),
    "mp3": ("audio/mpeg", b"ID3\x04\x00", "audio/mpeg"),
    "mp3 without notes": ("", b"\xff\xfb\x90\x00", "audio/mpeg"),
    "sound in a box for films": ("audio/mp4", b"\x00\x00\x00\x18ftypM4A ", "audio/mp4"),
    "film": ("video/3gpp", b"\x00\x00\x00\x18ftyp3gp5", "video/3gpp"),
    "wav": ("audio/x-wav", b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
    "vcard": ("text/x-vcard", b"\xef\xbb\xbf\nBEGIN:VCARD\nVERSION:3.0", "text/vcard"),
    "vcard as text": ("text/plain", b"begin:vcard\n", "text/vcard"),
    "pdf": ("application/pdf", PDF, "application/pdf"),
    "text": ("text/plain; charset=utf-8", "Tere päevast\n".encode(), "text/plain"),
}
REFUSED = {
    "markup for a picture": ("image/jpeg", b"<html>", "says that it is image/jpeg"),
    "film for a picture": ("image/jpeg", b"\x00\x00\x00\x18ftypisom", "says that it is image/jpeg"),
    "picture for a document": ("application/pdf", JPEG, "says that it is application/pdf"),
    "document for a text": ("text/plain", PDF, "says that it is text/plain"),
    "markup for a text": ("text/plain", b" \n<svg xmlns='x'>", "says that it is text/plain"),
    "svg": ("image/svg+xml", b"<svg xmlns='x'>", "image/svg+xml does not go into an MMS."),
    "page": ("text/html", b"Hello", "text/html does not go into an MMS."),
    "svg, nothing said": ("", b"<svg xmlns='x'>", "nothing that goes into an MMS"),
    "program": ("application/octet-stream", b"MZ\x90\x00\x03", "nothing that goes into an MMS"),
    "program as such": ("application/x-msdownload", b"MZ\x90\x00\x03", "does not go into an MMS."),
    "heic": ("image/heic", b"\x00\x00\x00\x18ftypheic", "image/heic does not go into an MMS."),
    "heic, nothing said": ("", b"\x00\x00\x00\x18ftypheic", "nothing that goes into an MMS"),
}


@pytest.mark.parametrize("case", TYPES)
def test_the_type_is_what_the_bytes_bear_out(case: str) -> None:
    said, body, found = TYPES[case]
    assert media.type_of(body, said) == found


@pytest.mark.parametrize("case", REFUSED)
def test_whatever_is_not_what_it_says_is_refused(case: str) -> None:
    said, body, why = REFUSED[case]
    with pytest.raises(Unfit, match=why.replace("+", r"\+")):
        media.type_of(body, said)


# --- Servers -----------------------------------------------------------------------------------------


@pytest.fixture
def server(httpserver: HTTPServer) -> HTTPServer:
    AllowedHost.objects.create(name="localhost")
    return httpserver


def fetch(link: str) -> media.Media:
    with guard.session() as calls:
        return media.fetch(calls, link, MOST)


def endless(request: Request) -> Response:
    def chunks() -> Iterator[bytes]:
        yield JPEG
        while True:
            yield b"x" * 10_000

    return Response(chunks(), content_type="image/jpeg")


def trickle(request: Request) -> Response:
    def bytes_in_time() -> Iterator[bytes]:
        for _k in range(100):
            yield b"\xff"
            time.sleep(0.1)

    return Response(bytes_in_time(), content_type="image/jpeg")


def test_it_is_fetched_and_a_redirect_is_followed(server: HTTPServer) -> None:
    link = serve(server, "/b.jpg", JPEG)
    serve(server, "/a", b"", status=302, headers={"location": "/b.jpg"})
    assert fetch(link) == fetch(server.url_for("/a")) == media.Media("image/jpeg", JPEG)


ANSWERS: dict[str, tuple[Callable[[HTTPServer], object], type[Exception], str]] = {
    "too large": (lambda s: serve(s, "/x", JPEG + b"x" * MOST), Unfit, "It is larger than 48.8"),
    "endless": (lambda s: s.expect_request("/x").respond_with_handler(endless), Unfit, "It is larger than"),
    "empty": (lambda s: serve(s, "/x", b""), Unfit, "There is nothing behind the link."),
    "gone": (lambda s: serve(s, "/x", JPEG, status=404), Unfit, "answered with the status 404"),
    "broken": (lambda s: serve(s, "/x", JPEG, status=503), Away, "answered with the status 503"),
    "busy": (lambda s: serve(s, "/x", JPEG, status=429), Away, "answered with the status 429"),
    "packed": (lambda s: serve(s, "/x", b"\x1f\x8b\x08", headers={"content-encoding": "gzip"}), Unfit, "first bytes"),
    "round and round": (lambda s: serve(s, "/x", b"", status=302, headers={"location": "/x"}), Unfit, "leads on"),
    "into our network": (
        lambda s: serve(s, "/x", b"", status=301, headers={"location": "http://10.0.0.1/x"}),
        Unfit,
        "10.0.0.1 is an address in a private network",
    ),
    "to a file of ours": (
        lambda s: serve(s, "/x", b"", status=301, headers={"location": "file:///etc/passwd"}),
        Unfit,
        "Write the address as https://host/path.",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_a_server_may_do(case: str, server: HTTPServer) -> None:
    prepare, error, words = ANSWERS[case]
    prepare(server)
    with pytest.raises(error, match=words):
        fetch(server.url_for("/x"))


def test_a_server_that_trickles_is_left(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "LONGEST", 0.5)
    server.expect_request("/x").respond_with_handler(trickle)
    began = time.monotonic()
    with pytest.raises(Away, match="No answer came in time."):
        fetch(server.url_for("/x"))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("link", "error"),
    [
        ("http://127.0.0.1:9/x", Unfit),  # nobody allowed it
        ("http://[::1]/x", Unfit),
        ("ftp://example.com/x", Unfit),
        ("http://nowhere.invalid/x", Away),
    ],
)
def test_where_nobody_may_or_can_go(link: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        fetch(link)


def test_a_server_that_is_down_is_tried_again(server: HTTPServer) -> None:
    with pytest.raises(Away):
        fetch("http://localhost:9/x")


# --- Thumbnails --------------------------------------------------------------------------------------


def drawn(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(thumbnails.draw(body)), formats=["WEBP"])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_thumbnail_is_small_and_keeps_its_shape(kind: str) -> None:
    assert drawn(picture(kind, (1600, 400))).size == (320, 80)
    assert drawn(picture(kind, (60, 20))).size == (60, 20)


def test_a_thumbnail_stands_upright_and_tells_nothing_of_the_camera() -> None:
    notes = Image.Exif()
    notes[0x0112] = 6  # lies on its side
    notes[0x010F] = "Camera of Ada"
    body = picture(size=(600, 300), exif=notes, comment=b"Camera of Ada")
    small = thumbnails.draw(body)
    assert b"Camera" in body and b"Camera" not in small and b"EXIF" not in small
    assert drawn(body).size == (160, 320)


def test_what_is_clear_stays_clear() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(file, "PNG")
    assert drawn(file.getvalue()).convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (bomb(), "The picture has more than 25 million pixels."),
        (bomb(6_000), "The picture has more than 25 million pixels."),
        (JPEG[:200], "The picture is broken"),
        (b"\xff\xd8\xff", "The picture is broken"),
        (b"GIF89a", "The picture is broken"),
        (b"BM" + b"\0" * 60, "The picture is broken"),
    ],
)
def test_bombs_and_broken_pictures_are_refused(body: bytes, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        thumbnails.draw(body)
