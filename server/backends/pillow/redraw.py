"""A picture of unknown origin to one that holds pixels and nothing else."""

from __future__ import annotations

import asyncio
from io import BytesIO

from PIL import Image, ImageOps

from server.errors import BadInput
from server.model import MOST_FILE_BYTES, File

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 40_000_000
# A decoded picture takes four bytes a pixel, several times over.
AT_ONCE = 2
# WhatsApp takes no picture above 5 MB, and WebP as a sticker only.
QUALITIES = (90, 80, 65, 50)
FITTING_BYTES = 5_000_000


class Redrawer:
    """Implements the port Redraw. Opaque pictures become JPEG, others PNG, upright, their first frame.

    What is not of the picture is gone: EXIF with its places and times, profiles, comments, whatever was appended.
    """

    def __init__(self, *, most_bytes: int = MOST_FILE_BYTES, most_pixels: int = MOST_PIXELS) -> None:
        self._most_bytes = most_bytes
        self._most_pixels = most_pixels
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, content: bytes) -> File:
        if len(content) > self._most_bytes:
            raise BadInput(f"The picture has {len(content)} bytes, at most {self._most_bytes} are taken.")
        async with self._turns:
            file = await asyncio.to_thread(redrawn, content, self._most_pixels)
        if len(file.content) > self._most_bytes:
            raise BadInput(f"The picture is too detailed to be kept in {self._most_bytes} bytes.")
        return file


def redrawn(content: bytes, most_pixels: int) -> File:
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            check_size(image, most_pixels)
            return encoded(only_pixels(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_large(most_pixels) from None
    except BadInput:
        raise
    except Exception:  # noqa: BLE001  decoders raise all sorts of things at what was made to upset them
        raise BadInput("This is no picture in PNG, JPEG or WebP that can be read.") from None


def check_size(image: Image.Image, most_pixels: int) -> None:
    """Its head says it; nothing is decoded yet."""
    if image.width * image.height > most_pixels:
        raise too_large(most_pixels)


def too_large(most_pixels: int) -> BadInput:
    return BadInput(f"The picture is larger than {most_pixels // 1_000_000} million pixels.")


def only_pixels(image: Image.Image) -> Image.Image:
    """Upright, in RGB, or in RGBA where something shines through. A new one: the old one's `info` has its secrets."""
    ImageOps.exif_transpose(image, in_place=True)
    mode = "RGBA" if shines_through(image) else "RGB"
    clean = Image.new(mode, image.size)
    # Converted only where it must be: each copy of a large one is a hundred megabytes.
    clean.paste(image if image.mode == mode else image.convert(mode))
    return clean


def shines_through(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    seen = image if "A" in image.getbands() else image.convert("RGBA")
    return seen.getchannel("A").getextrema() != (255, 255)


def encoded(image: Image.Image) -> File:
    """The best quality that phones take; a transparent one as it is."""
    if image.mode == "RGBA":
        return File(saved(image, "PNG"), "image/png")
    for quality in QUALITIES:
        content = saved(image, "JPEG", quality=quality, subsampling=0 if quality > 80 else 2)
        if len(content) <= FITTING_BYTES:
            break
    return File(content, "image/jpeg")


def saved(image: Image.Image, kind: str, **options: int) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
