"""Pictures of unknown origin, and what is left of them."""

from __future__ import annotations

import asyncio
import random
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from server.backends.pillow import Redrawer
from server.errors import BadInput
from server.model import File

ROOT = Path(__file__).parents[2]
PHP = b"<?php system($_GET['c']); ?>"
ORIENTATION, MAKER, GPS = 0x0112, 0x010F, 0x8825


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (8, 4), colour: Any = None, **options: Any) -> bytes:
    stream = BytesIO()
    Image.new(mode, size, colour).save(stream, kind, **options)
    return stream.getvalue()


def with_exif(kind: str) -> bytes:
    exif = Image.Exif()
    exif[MAKER] = "canary-camera"
    exif[ORIENTATION] = 6
    exif.get_ifd(GPS)[1] = "canary-north"
    return picture(kind, exif=exif)


def opened(file: File) -> Image.Image:
    image = Image.open(BytesIO(file.content))
    image.load()
    return image


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """Its head says that it is so large, whatever follows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_an_opaque_picture_becomes_a_jpeg(kind: str) -> None:
    file = await Redrawer()(picture(kind, colour="red"))
    image = opened(file)
    assert (file.content_type, image.format, image.size) == ("image/jpeg", "JPEG", (8, 4))
    red, green, blue = image.getpixel((4, 2))  # type: ignore[misc]
    assert red > 200
    assert max(green, blue) < 50


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_what_shines_through_goes_on_to(kind: str) -> None:
    file = await Redrawer()(
        picture(kind, "RGBA", (8, 4), (255, 0, 0, 128), **({"lossless": True} if kind == "WEBP" else {}))
    )
    assert (file.content_type, opened(file).mode) == ("image/png", "RGBA")
    assert opened(file).getpixel((1, 1)) == (255, 0, 0, 128)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
async def test_every_kind_of_pixels_is_taken(mode: str) -> None:
    kind = {"CMYK": "JPEG"}.get(mode, "PNG")
    content = picture("PNG", "RGBA", colour=(1, 2, 3, 255)) if mode == "F" else picture(kind, mode)
    assert opened(await Redrawer()(content)).size == (8, 4)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_who_took_it_and_where_is_gone_and_it_stands_upright(kind: str) -> None:
    content = with_exif(kind)
    assert b"canary" in content
    file = await Redrawer()(content)
    image = opened(file)
    assert b"canary" not in file.content
    assert not image.getexif()
    assert image.size == (4, 8)


async def test_comments_and_profiles_are_gone() -> None:
    for content in (
        picture("JPEG", comment=b"canary", icc_profile=b"canary-profile" * 20),
        picture("PNG", icc_profile=b"canary-profile" * 20),
        picture("PNG", "RGBA", colour=(0, 0, 0, 9), icc_profile=b"canary-profile" * 20),
    ):
        image = opened(await Redrawer()(content))
        assert not {"comment", "icc_profile", "exif"} & image.info.keys()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_what_was_appended_is_gone(kind: str) -> None:
    file = await Redrawer()(picture(kind) + PHP)
    assert b"<?php" not in file.content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a" + bytes(20),
        b"\xff\xd8\xff\xe0" + PHP,
        b"\x89PNG\r\n\x1a\n" + PHP,
        PHP,
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        picture("GIF"),
        picture("BMP"),
        picture("TIFF"),
        picture("PNG")[:40],
        png(8, 8, b"\x00"),
        b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(30),
    ],
)
async def test_what_is_no_picture_of_ours_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput):
        await Redrawer()(content)


@pytest.mark.parametrize("side", [7_000, 12_000, 30_000, 0x7FFFFFFF])
async def test_a_bomb_is_refused_by_its_head(side: int) -> None:
    """A hundred kilobytes that would fill gigabytes."""
    with pytest.raises(BadInput, match="million pixels"):
        await Redrawer()(png(side, side, bytes(10_000)))


async def test_a_bomb_of_words_is_refused() -> None:
    words = b"canary\x00\x00" + zlib.compress(bytes(20_000_000), 9)
    chunk = struct.pack(">I", len(words)) + b"zTXt" + words + struct.pack(">I", zlib.crc32(b"zTXt" + words))
    whole = picture("PNG")
    with pytest.raises(BadInput):
        await Redrawer()(whole[:33] + chunk + whole[33:])


async def test_what_is_too_long_is_not_even_looked_at() -> None:
    with pytest.raises(BadInput, match="at most 100 are taken"):
        await Redrawer(most_bytes=100)(bytes(101))


async def test_a_picture_of_noise_is_made_to_fit_a_phone() -> None:
    noise = Image.frombytes("RGB", (2_600, 2_600), random.Random(7).randbytes(2_600 * 2_600 * 3))
    stream = BytesIO()
    noise.save(stream, "PNG", compress_level=0)
    file = await Redrawer(most_bytes=64_000_000)(stream.getvalue())
    assert len(file.content) <= 5_000_000


async def test_the_loop_goes_on_while_pictures_are_drawn() -> None:
    large = picture("PNG", size=(4_000, 4_000))
    drawing = asyncio.gather(*(Redrawer()(large) for _ in range(2)))
    ticks = 0
    while not drawing.done():
        await asyncio.sleep(0.005)
        ticks += 1
    await drawing
    assert ticks > 5


PEAK = """
import re, sys
from pathlib import Path
from server.backends.pillow.redraw import redrawn

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

content = sys.stdin.buffer.read()
before = peak()
redrawn(content, 40_000_000)
print((peak() - before) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_a_picture_is_in_memory_twice_at_most() -> None:
    content, pixels = picture("PNG", size=(4_000, 5_000)), 20_000_000
    ran = subprocess.run([sys.executable, "-c", PEAK], input=content, capture_output=True, cwd=ROOT, check=True)
    assert int(ran.stdout) < 2.5 * 4 * pixels
