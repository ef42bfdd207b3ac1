"""How transcripts are written before anything is learned from them: composed characters, case, punctuation, single spaces."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Literal

Case = Literal["lower", "upper", "keep"]
Punctuation = Literal["keep", "drop"]
CASE = "how letters are written in transcripts: lower, upper, or as they are (keep)"
PUNCTUATION = "whether transcripts keep punctuation marks; apostrophes between letters always stay"
BETWEEN_LETTERS = re.compile("(?<=\\w)['\u2019](?=\\w)")


def written(text: str, case: Case = "lower", punctuation: Punctuation = "keep", known: Collection[str] = ()) -> str:
    """A transcript in one spelling: in Unicode's form NFC, without spaces at the ends or several in a row.

    Args:
        text: as its owner wrote it.
        case: of letters.
        punctuation: `drop` puts a space for each mark, but for those that are `known` and for apostrophes between letters.
        known: marks that stay in any case.

    Example:
        >>> written("  It's late -\\n go HOME! ", punctuation="drop")
        "it's late go home"
    """
    text = unicodedata.normalize("NFC", text)
    text = text.lower() if case == "lower" else text.upper() if case == "upper" else text
    if punctuation == "drop":
        apostrophes = {found.start() for found in BETWEEN_LETTERS.finditer(text)}
        marks = (letter in known or place in apostrophes or not _is_mark(letter) for place, letter in enumerate(text))
        text = "".join(letter if stays else " " for letter, stays in zip(text, marks, strict=True))
    return " ".join(text.split())


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "PS"


def least_frames(ids: Sequence[int]) -> int:
    """The fewest frames that can spell these symbols in CTC: one each, and a blank between two that are the same.

    Example:
        >>> least_frames([3, 5, 5, 2])
        5
    """
    return len(ids) + sum(one == other for one, other in itertools.pairwise(ids))
