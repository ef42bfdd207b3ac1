"""Transcripts that cannot be learned or scored as they are: letters that training lacks, texts that do not fit their recordings.

People say 10 to 20 letters a second. Where a recording has far more or far fewer than the others of its data set, its transcript is
often another one's, cut off, or of a part only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import RowError
from tunesmith.core.findings import MOST_EXAMPLES, SPLITS, Example, Finding, Inspection, View
from tunesmith.core.sounds import outline
from tunesmith.gate._rows import percent, rows_said

SHORTEST = 3
"""Letters below which a rate says nothing."""

SPREAD = 1.4826
"""Times the median distance from the median: the standard deviation of a normal distribution."""


@final
@dataclass(frozen=True)
class Transcripts(Inspection):
    """Letters that the training transcripts lack, and transcripts far too long or too short for their recordings."""

    name: ClassVar[str] = "transcripts"
    answers: ClassVar[tuple[str, ...]] = ("text",)
    far: float = field(default=5.0, metadata={"help": "standard deviations of the logarithm of letters a second from which it is told"})
    factor: float = field(default=2.0, metadata={"help": "times as fast or as slow as is usual, below which nothing is told"})
    most: int = field(default=2000, metadata={"help": "rows of a split whose recordings are looked at"})

    def __post_init__(self) -> None:
        if self.far <= 0 or self.factor <= 1:
            raise ValueError("fields 'far' and 'factor' must be above 0 and above 1")

    def applies(self, view: View) -> str | None:
        return None if len(view.splits["train"]) else "there are no training rows"

    def inspect(self, view: View) -> list[Finding]:
        found = [self._letters(view), *(self._rates(view, column) for column in view.of_kind("audio"))]
        return [finding for finding in found if finding is not None]

    def _letters(self, view: View) -> Finding | None:
        known: set[str] = set()
        for text in view.targets["train"]:
            known.update(text)
        lacking: Counter[str] = Counter()
        rows = 0
        examples: list[Example] = []
        for split in ("validation", "test"):
            for number, text in zip(view.splits[split], view.targets[split], strict=True):
                strange = [letter for letter in text if letter not in known]
                lacking.update(strange)
                rows += bool(strange)
                if strange and len(examples) < MOST_EXAMPLES:
                    examples.append(Example(int(number), f"{''.join(dict.fromkeys(strange))} in: {text}"))
        if not rows:
            return None
        shown = ", ".join(f"{letter!r} ({count})" for letter, count in lacking.most_common(MOST_EXAMPLES))
        held = sum(len(view.splits[split]) for split in ("validation", "test"))
        return Finding(
            "letters_not_in_training",
            "warning",
            rows,
            held,
            f"{rows_said(rows, 'validation and test')} ({percent(rows, held)}) hold {len(lacking)} letter{'s' * (len(lacking) > 1)} that "
            f"no training transcript has, such as {shown}; a model that spells cannot say them, and each counts as an error",
            "write transcripts alike (numbers in words, one kind of quotation marks), or collect rows with these letters",
            examples,
        )

    def _rates(self, view: View, column: str) -> Finding | None:
        numbers, rates, texts = self._measured(view, column)
        if len(rates) < 10:
            return None
        usual = float(np.median(rates))
        spread = max(SPREAD * float(np.median(np.abs(rates - usual))), 1e-3)
        off = np.flatnonzero(np.abs(rates - usual) > max(self.far * spread, np.log(self.factor)))
        if not len(off):
            return None
        worst = off[np.argsort(-np.abs(rates[off] - usual), kind="stable")]
        examples = [Example(int(numbers[i]), f"{np.exp(rates[i]):.1f} letters a second: {texts[i]}") for i in worst[:MOST_EXAMPLES]]
        return Finding(
            "transcripts_do_not_fit",
            "warning",
            len(off),
            len(rates),
            f"{rows_said(len(off))} ({percent(len(off), len(rates))}) hold far more or far fewer letters a second than is usual "
            f"here ({np.exp(usual):.1f})",
            "listen to them: the transcript may be another one's, cut off, or of a part of the recording",
            examples,
            leave_out=numbers[off].tolist(),
        )

    def _measured(self, view: View, column: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[str]]:
        """Row numbers, logarithms of letters a second, and transcripts, of at most `most` rows of each split."""
        numbers, rates, texts = [], [], []
        for split in SPLITS:
            few = view.splits[split][: self.most]
            for number, row, text in zip(few, view.raw(few, [column]), view.targets[split], strict=False):
                if len(text) < SHORTEST:
                    continue
                try:
                    seconds = outline(row[column], column).seconds
                except RowError:  # a fusion may do without it
                    continue
                numbers.append(int(number))
                rates.append(np.log(len(text) / seconds))
                texts.append(text)
        return np.asarray(numbers, np.int64), np.asarray(rates, np.float64), texts
