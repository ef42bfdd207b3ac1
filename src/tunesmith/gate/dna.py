"""DNA that leaks or shifts between splits: the same piece on the other strand, overlapping pieces, other shares of G and C; and much N.

A genome is cut into pieces by windows that overlap, and read on either strand. A test sequence that is the reverse complement of a training
sequence, or the same but for lower case, or mostly inside one, is no new piece; `duplicates` sees only cells that are equal letter by
letter. A row overlaps where half of its runs of 24 letters stand in training rows, on either strand. Genes that are kin do so too, so that
a few such rows are a warning and no error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, Severity, View
from tunesmith.gate._rows import Rows, drawn, lines, percent, rows_said
from tunesmith.gate._strands import Known, known, runs, strands

LEAST_RUNS = 5
"""Runs of a sequence from which it can be said to overlap."""


@final
@dataclass(frozen=True)
class Dna(Inspection):
    """DNA on both strands, overlapping or shifted across splits, and sequences of N or of unusual length."""

    name: ClassVar[str] = "dna"
    few: float = field(default=0.005, metadata={"help": "share of test rows from which pieces that also train are an error"})
    share: float = field(default=0.5, metadata={"help": "share of a sequence's runs found in training from which it overlaps"})
    overlaps: float = field(default=0.1, metadata={"help": "share of test rows that overlap with training from which that is an error"})
    unknown: float = field(default=0.1, metadata={"help": "share of N in a sequence that is worth telling"})
    many: float = field(default=0.01, metadata={"help": "share of rows from which they are a warning"})
    factor: float = field(default=5.0, metadata={"help": "times the median length from which a sequence is unusual"})
    shift: float = field(default=0.03, metadata={"help": "difference of the mean shares of G and C between splits that is worth telling"})
    most: int = field(default=20_000, metadata={"help": "rows of a split that are looked at for all but equal pieces"})
    runs: int = field(default=4_000_000, metadata={"help": "runs of training that are compared, about"})

    def applies(self, view: View) -> str | None:
        return None if view.of_kind("dna") else "there is no DNA"

    def inspect(self, view: View) -> list[Finding]:
        found: list[Finding] = []
        for column in view.of_kind("dna"):
            found += self._letters(view, column)
            marks = {split: known(view, split, column) for split in view.splits}
            for split in ("test", "validation"):
                twins = _twins(marks[split], marks["train"])
                if twins.any():
                    found.append(self._strands(view, column, split, marks))
                overlapping = self._overlapping(view, column, split, twins | np.isin(marks[split].written, marks["train"].written))
                found += overlapping
        return found

    def _strands(self, view: View, column: str, split: str, marks: dict[str, Known]) -> Finding:
        here, there = marks[split], marks["train"]
        leaked = np.flatnonzero(_twins(here, there))
        order = np.argsort(there.either, kind="stable")
        beside = view.splits["train"][order[np.searchsorted(there.either[order], here.either[leaked])]]
        out = np.flatnonzero(_twins(there, here))
        order = np.argsort(here.either, kind="stable")
        instead = view.splits[split][order[np.searchsorted(here.either[order], there.either[out])]]
        count, size = len(leaked), len(here.either)
        error = split == "test" and count >= self.few * size
        return Finding(
            f"{split}_dna_on_other_strand",
            "error" if error else "warning",
            count,
            size,
            f"{rows_said(count, split)} ({percent(count, size)}) hold in '{column}' the reverse complement of a training row, or the same "
            "letters written otherwise: no new piece of DNA",
            "leave the training copies out with --fix, or keep pieces of one place on one side with --group COLUMN",
            _examples(view, view.splits[split][leaked], beside),
            view.splits["train"][out].tolist(),
            instead.tolist(),
        )

    def _overlapping(self, view: View, column: str, split: str, equal: npt.NDArray[np.bool_]) -> list[Finding]:
        """Rows most of which stands in training rows, but for those that are equal to one."""
        numbers = view.splits["train"]
        train = drawn(view, "train", self.most)
        lengths = [len(letters) for letters in strands(view, "train", train[:: max(1, len(train) // 500)], column)]
        every = max(1, round(len(train) * float(np.mean(lengths)) / self.runs))
        held = [(runs(letters, every), place) for letters, place in zip(strands(view, "train", train, column), train, strict=True)]
        ours = np.concatenate([found for found, _ in held])
        owner = np.repeat(np.asarray([place for _, place in held], np.int64), [len(found) for found, _ in held])
        order = np.argsort(ours, kind="stable")
        ours, owner = ours[order], owner[order]
        places = drawn(view, split, self.most)
        near: list[tuple[int, Rows]] = []
        for place, letters in zip(places, strands(view, split, places, column), strict=True):
            found = runs(letters, every)
            if equal[place] or len(found) < LEAST_RUNS:
                continue
            begin, end = np.searchsorted(ours, found, "left"), np.searchsorted(ours, found, "right")
            if (end > begin).mean() >= self.share:
                holding = np.concatenate([owner[i:j] for i, j in zip(begin, end, strict=True)])
                whose, times = np.unique(holding, return_counts=True)
                near.append((int(view.splits[split][place]), numbers[whose[np.argsort(-times, kind="stable")]]))
        if not near:
            return []
        count, size = len(near), len(places)
        instead = {int(row): here for here, rows in reversed(near) for row in rows}
        what = (
            f"{rows_said(count, split)} ({percent(count, size)}) overlap{'s' * (count == 1)} in '{column}' with training rows by half or "
        )
        what += "more, on either strand, so that scores flatter the model"
        return [
            Finding(
                f"{split}_dna_overlapping_training",
                "error" if split == "test" and count >= self.overlaps * size else "warning",
                count,
                size,
                what,
                "divide by chromosome, gene or region with --group COLUMN, or leave the training rows out with --fix",
                _examples(view, [row for row, _ in near], [int(rows[0]) for _, rows in near]),
                sorted(instead),
                [instead[row] for row in sorted(instead)],
            )
        ]

    def _letters(self, view: View, column: str) -> list[Finding]:
        """What is told by counting letters: much N, unusual lengths, other shares of G and C."""
        places = {split: drawn(view, split, self.most) for split in view.splits}
        counted = {split: _counts(view, split, some, column) for split, some in places.items()}
        every = np.concatenate([*counted.values()])
        rows = np.concatenate([view.splits[split][some] for split, some in places.items()])
        lengths, unknown = every[:, 0], every[:, 2]
        much = unknown > self.unknown * lengths
        median = float(np.median(lengths))
        odd = (lengths > self.factor * median) | (lengths * self.factor < median)
        found = [
            *self._counted(view, "dna_much_n", rows[much], len(rows), f"more than {self.unknown:.0%} N in '{column}'", "mask less, or"),
            *self._counted(
                view,
                "dna_unusual_length",
                rows[odd],
                len(rows),
                f"a '{column}' of {lengths[odd].min() if odd.any() else 0:,.0f} to {lengths[odd].max() if odd.any() else 0:,.0f} letters, "
                f"where the median is {median:,.0f}",
                "cut them to windows of one length, or",
            ),
        ]
        for split in ("validation", "test"):
            found += self._shifted(column, counted["train"], counted[split], split)
        return found

    def _counted(self, view: View, name: str, rows: Rows, of: int, having: str, advice: str) -> list[Finding]:
        if not len(rows):
            return []
        what = f"{rows_said(len(rows))} of {of:,} ({percent(len(rows), of)}) {'has' if len(rows) == 1 else 'have'} {having}"
        shown = lines(view, rows[:MOST_EXAMPLES])
        examples = [Example(int(row), text) for row, text in zip(rows, shown, strict=False)]
        severity: Severity = "warning" if len(rows) >= self.many * of else "info"
        return [Finding(name, severity, len(rows), of, what, f"{advice} look whether they are what they should be", examples)]

    def _shifted(self, column: str, here: npt.NDArray[np.int64], there: npt.NDArray[np.int64], split: str) -> list[Finding]:
        stats = require("scipy.stats", "comparing splits")
        ours, theirs = (part[:, 1] / np.maximum(1, part[:, 0] - part[:, 2]) for part in (here, there))
        away = float(theirs.mean() - ours.mean())
        if abs(away) < self.shift or stats.ks_2samp(ours, theirs).pvalue > 1e-4:
            return []
        what = f"the {split} rows hold in '{column}' {theirs.mean():.1%} G and C where the training rows hold {ours.mean():.1%}: "
        what += "other regions, another organism or another way of reading"
        return [Finding("dna_gc_shift", "warning", len(theirs), len(theirs), what, "look where the splits come from, or divide anew")]


def _twins(here: Known, there: Known) -> npt.NDArray[np.bool_]:
    """(n,) which sequences stand in the other set on either strand, but not as they are written."""
    return np.asarray(np.isin(here.either, there.either) & ~np.isin(here.written, there.written))


def _counts(view: View, split: str, places: npt.NDArray[np.intp], column: str) -> npt.NDArray[np.int64]:
    """(rows, 3) letters, G and C, N."""
    found = [(len(text), text.count("G") + text.count("C"), text.count("N")) for text in strands(view, split, places, column)]
    return np.asarray(found, np.int64).reshape(-1, 3)


def _examples(view: View, rows: Sequence[int] | Rows, beside: Sequence[int] | Rows) -> list[Example]:
    shown = lines(view, rows[:MOST_EXAMPLES])
    return [Example(int(row), text, int(other)) for row, text, other in zip(rows, shown, beside, strict=False)]
