"""Texts and pictures of unusual size: empty shells, pasted documents, thumbnails among photographs.

What is unusual says `_columns.unusual`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.gate._columns import unusual
from tunesmith.gate._pictures import seen
from tunesmith.gate._rows import Rows, drawn, lines, percent, rows_said
from tunesmith.gate._texts import WORD

LEAST = 200
"""Characters up to which no text is long, whatever the others are."""


@final
@dataclass(frozen=True)
class Sizes(Inspection):
    """Texts without words, very long texts, and pictures far smaller or larger than the others."""

    name: ClassVar[str] = "sizes"
    answers: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers", "text")
    far: float = field(default=5.0, metadata={"help": "robust standard deviations, of the logarithm, from which a size is unusual"})
    factor: float = field(default=5.0, metadata={"help": "times the median from which a size is unusual"})
    side: int = field(default=16, metadata={"help": "pixels of the shorter side below which a picture is tiny"})
    long: float = field(default=6.0, metadata={"help": "times the shorter side from which a picture is cut or squeezed badly"})
    many: float = field(default=0.01, metadata={"help": "share of the rows from which they are a warning"})
    most: int = field(default=20_000, metadata={"help": "texts of a split that are looked at"})
    most_pictures: int = field(default=500, metadata={"help": "pictures of a split that are looked at"})

    def applies(self, view: View) -> str | None:
        return None if view.inputs else "there are no input columns"

    def inspect(self, view: View) -> list[Finding]:
        found: list[Finding] = []
        for column, kind in view.inputs.items():
            found += self._texts(view, column) if kind == "text" else self._pictures(view, column) if kind == "image" else []
        return found

    def _texts(self, view: View, column: str) -> list[Finding]:
        rows = _drawn(view, self.most)
        lengths, empty = np.zeros(len(rows)), np.zeros(len(rows), np.bool_)
        for place, row in enumerate(view.read(rows, [column])):
            text = str(row[column] or "").strip()
            lengths[place], empty[place] = len(text), bool(text) and WORD.search(text) is None  # `columns` counts what holds nothing
        long = unusual(np.maximum(lengths, 1), self.far, self.factor) & (lengths > max(LEAST, np.median(lengths)))
        median = f"the median is {np.median(lengths):.0f}"
        return [
            *self._finding(
                view,
                "texts_without_words",
                rows[empty],
                len(rows),
                f"no letter or digit in '{column}'",
                "take them out, or give them what they mean",
            ),
            *self._finding(
                view,
                "long_texts",
                rows[long],
                len(rows),
                f"a '{column}' of up to {lengths.max():,.0f} characters, where {median}",
                "look whether they are what they should be; a backbone reads the beginning only",
            ),
        ]

    def _pictures(self, view: View, column: str) -> list[Finding]:
        rows = _drawn(view, self.most_pictures)
        looked = [(number, seen(row[column])) for number, row in zip(rows, view.raw(rows, [column]), strict=True)]
        known = [(int(number), one.width, one.height) for number, one in looked if one is not None]
        if not known:
            return []
        numbers, sides = np.asarray([item[0] for item in known], np.int64), np.asarray([item[1:] for item in known], np.float64)
        shorter, longer = sides.min(axis=1), sides.max(axis=1)
        odd = unusual(np.sqrt(shorter * longer), self.far, self.factor)
        tiny = (shorter < self.side) | (odd & (shorter < np.median(shorter)))
        huge = odd & (shorter > np.median(shorter))
        stretched = (longer >= self.long * shorter) & ~tiny
        median = f"the median is {np.median(shorter):.0f}"
        return [
            *self._finding(
                view,
                "tiny_pictures",
                numbers[tiny],
                len(numbers),
                f"a '{column}' with a shorter side of {shorter.min():.0f} pixels or little more, where {median}",
                "look whether they are thumbnails or icons",
            ),
            *self._finding(
                view,
                "huge_pictures",
                numbers[huge],
                len(numbers),
                f"a '{column}' with a shorter side of up to {shorter.max():,.0f} pixels, where {median}",
                "look whether they show the same kind of thing",
            ),
            *self._finding(
                view,
                "stretched_pictures",
                numbers[stretched],
                len(numbers),
                f"a '{column}' that is {self.long:g} times as long as wide, or more, of which a square shows little",
                "cut them into pieces, or take them out",
            ),
        ]

    def _finding(self, view: View, name: str, rows: Rows, of: int, having: str, advice: str) -> list[Finding]:
        if not len(rows):
            return []
        what = f"{rows_said(len(rows))} of {of:,} that were looked at ({percent(len(rows), of)}) "
        what += f"{'has' if len(rows) == 1 else 'have'} {having}"
        shown = lines(view, rows[:MOST_EXAMPLES])
        examples = [Example(int(row), text) for row, text in zip(rows, shown, strict=False)]
        return [Finding(name, "warning" if len(rows) >= self.many * of else "info", len(rows), of, what, advice, examples)]


def _drawn(view: View, most: int) -> Rows:
    """Row numbers of all splits, of each split at most so many."""
    return np.concatenate([numbers[drawn(view, split, most)] for split, numbers in view.splits.items()])
