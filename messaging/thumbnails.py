"""Small pictures of strangers' big ones, drawn anew: nothing of the file itself reaches an operator's browser."""

from __future__ import annotations

import io
import logging
import warnings

from django.utils.translation import gettext as _
from PIL import Image, ImageOps

from .media import Unfit

log = logging.getLogger(__name__)

SIDE = 320  # pixels at most, both ways
PIXELS = 25_000_000  # that a picture may have: a file of a few bytes can claim any number
FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
TYPE = "image/webp"

Image.MAX_IMAGE_PIXELS = PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)  # no picture above, not even a bit


def draw(body: bytes) -> bytes:
    """A WebP of at most SIDE by SIDE, without the notes that cameras write into pictures. Raises Unfit."""
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as picture:
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG need not be read whole
            return _written(ImageOps.exif_transpose(picture))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unfit(_("The picture has more than %d million pixels.") % (PIXELS // 1_000_000)) from error
    except Exception as error:  # a broken picture makes its reader fail in any way there is
        log.info("A picture could not be read: %r", error)
        raise Unfit(_("The picture is broken: it cannot be read.")) from error


def _written(picture: Image.Image) -> bytes:
    small = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    small.thumbnail((SIDE, SIDE))
    small.info.clear()
    file = io.BytesIO()
    small.save(file, "WEBP", quality=75)
    return file.getvalue()
