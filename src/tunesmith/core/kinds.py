"""Kinds of input columns, and which modality reads each by default.

price: number, region: category, opened: date  ->  tabular        review: text  ->  text        review and price  ->  fusion
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tunesmith.core.cells import is_missing

MODALITY: Mapping[str, str] = {
    "text": "text",
    "image": "image",
    "audio": "audio",
    "series": "series",
    "dna": "dna",
    "number": "tabular",
    "category": "tabular",
    "date": "tabular",
}
"""Kind of a column -> the backbone that reads it where nothing else was asked for."""

TOGETHER = ("text", "tabular")
"""Modalities whose backbone makes one vector of several columns; of the others each column has a vector of its own."""

PATHS = ("image", "audio")
"""Kinds whose cells name files, or hold their bytes."""

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".opus")
ENDINGS: Mapping[str, tuple[str, ...]] = {"image": PICTURES, "audio": SOUNDS}
"""How names of files of these kinds end."""

FILE: Mapping[str, str] = {"image": "picture", "audio": "sound"}
"""What one of their files is called."""

SHOWN: Mapping[str, str] = {
    "text": "texts",
    "image": "pictures",
    "audio": "sounds",
    "series": "series of numbers",
    "dna": "DNA",
    "number": "numbers",
    "category": "categories",
    "date": "dates",
}
"""What a column of each kind holds, for people."""

EXAMPLE: Mapping[str, str] = {
    "text": '"..."',
    "image": '"picture.png"',
    "audio": '"sound.wav"',
    "series": "[0.1, 0.4, 0.2]",
    "dna": '"ACGTTGCA"',
    "number": "1.5",
    "category": '"red"',
    "date": '"2026-01-31"',
}
"""A cell of each kind as JSON has it."""


def modality_of(kinds: Collection[str]) -> str:
    """The modality that reads columns of these kinds.

    Example:
        >>> modality_of(["number", "category"]), modality_of(["text", "image"])
        ('tabular', 'fusion')
    """
    found = {MODALITY[kind] for kind in kinds}
    return found.pop() if len(found) == 1 else "fusion"


def is_empty(value: Any, kind: str) -> bool:
    """Whether a cell of a column of this kind holds nothing: `?`, `NA` and the like are words in a text and gaps in a table.

    Example:
        >>> is_empty("NA", "number"), is_empty("NA", "text"), is_empty(" ", "image"), is_empty(None, "audio")
        (True, False, True, True)
    """
    if MODALITY[kind] == "tabular":
        return is_missing(value)
    return value is None or (isinstance(value, str | bytes) and not value.strip())


def bytes_kind(start: bytes) -> str:
    """`audio` or `image`, by the first bytes of a file of either.

    Example:
        >>> bytes_kind(b"RIFF\\x24\\x00\\x00\\x00WAVEfmt "), bytes_kind(b"\\x89PNG")
        ('audio', 'image')
    """
    wave = start[:4] == b"RIFF" and start[8:12] == b"WAVE"
    mp3 = start[:3] == b"ID3" or (len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0 and start[1] & 0x06 != 0)
    return "audio" if wave or mp3 or start[:4] in (b"fLaC", b"OggS") else "image"
