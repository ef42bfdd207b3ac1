"""Pictures of every mode and damage Pillow knows, against values worked out by hand."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tunesmith.backbones._pictures import square
from tunesmith.core import registry
from tunesmith.core.errors import RowError
from tunesmith.core.pictures import read_picture


def _bytes(picture: Any, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def _noise(side: int = 48) -> Any:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("picture", "format", "expected"),
    [
        (Image.new("RGB", (4, 4), (10, 20, 30)), "PNG", (10, 20, 30)),
        (Image.new("L", (4, 4), 77), "BMP", (77, 77, 77)),
        (Image.new("1", (4, 4), 1), "PNG", (255, 255, 255)),
        (Image.new("CMYK", (4, 4), (0, 255, 0, 0)), "TIFF", (255, 0, 255)),
        (Image.new("RGBA", (4, 4), (200, 0, 0, 0)), "PNG", (255, 255, 255)),  # fully transparent: the white ground
        (Image.new("LA", (4, 4), (0, 255)), "PNG", (0, 0, 0)),
        (Image.fromarray(np.full((4, 4), 40_000, np.uint16)), "PNG", (155, 155, 155)),  # 40000 / 65535 * 255
        (Image.fromarray(np.full((4, 4), -5, np.int32)), "TIFF", (0, 0, 0)),
        (Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF", (127, 127, 127)),
        (Image.fromarray(np.full((4, 4), 128.0, np.float32)), "TIFF", (128, 128, 128)),
        (Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF", (0, 0, 0)),
    ],
)
def test_modes(picture: Any, format: str, expected: tuple[int, int, int]) -> None:
    read = read_picture(_bytes(picture, format), "image")
    assert (read.mode, read.size, read.getpixel((2, 2))) == ("RGB", (4, 4), expected)


def test_picture_is_turned_upright() -> None:
    picture = Image.new("RGB", (4, 2))
    exif = picture.getexif()
    exif[0x112] = 6
    assert read_picture(_bytes(picture, "JPEG", exif=exif), "image").size == (2, 4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "the picture is missing"),
        ("gone.png", "gone.png does not exist"),
        ("/tmp", "does not exist"),
        ("a text that is no path " * 400, "damaged: .*too long|does not exist"),
        (b"<svg/>", "no picture that can be read"),
        (_bytes(_noise())[:2000], "damaged"),
        (_bytes(_noise(), "JPEG")[:800], "damaged"),
        (_bytes(_noise(), "WEBP")[:800], "damaged"),
        (_bytes(Image.new("1", (14_000, 14_000))), "too large"),
    ],
)
def test_damage_is_named(value: Any, message: str) -> None:
    with pytest.raises(RowError, match=f"column 'image': .*({message})"):
        read_picture(value, "image")


def test_path_with_any_letters(tmp_path: Path) -> None:
    path = tmp_path / "ü 漢 #1.png"
    path.write_bytes(_bytes(Image.new("RGB", (3, 5))))
    assert read_picture(str(path), "image").size == (3, 5)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (31, 17)])
@pytest.mark.parametrize("rng", [None, Random(0)])
def test_square_of_any_shape(size: tuple[int, int], rng: Random | None) -> None:
    picture = square(Image.new("RGB", size, (9, 8, 7)), 16, 0.9, rng)
    assert (picture.size, picture.getpixel((8, 8))) == ((16, 16), (9, 8, 7))


def test_pixels_reach_the_network_plane_by_plane(checkpoints: Path) -> None:
    backbone = registry.create("backbones", "image", {"source": str(checkpoints / "resnet")})
    rows = [backbone.sample(number, Random(number)) for number in range(3)]
    pixels = backbone.collate([backbone.encode(row) for row in rows])["pixels"]
    assert pixels.is_contiguous(), "in another layout than the weights convolutions are slower"
    assert pixels.shape[:2] == (3, 3)
