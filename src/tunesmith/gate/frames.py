"""Frames of one recording on both sides of the split, told by the names of their files: `0016E5_00390.jpg`, `0016E5_00420.jpg`.

Names that end in numbers are no proof: `cat_001.jpg` counts cats. So pictures are looked at: where a test picture is more like the training
picture of the nearest number than like others of the same name, as a rule, the numbers count time, and a test row whose neighbour
trains tells nothing about a new drive. Neighbours need not be near copies for that, which `near_pictures` looks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.core.neighbours import unit
from tunesmith.gate._rows import percent, rows_said
from tunesmith.gate._thumbnails import thumbnails

NUMBERED = re.compile(r"(.*?)(\d{2,})\D*")
LEAST = 20
"""Test rows with a neighbour from which something can be said."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Named:
    """Rows of a split whose files are numbered: their row numbers, numbers of their names, and the numbers in these."""

    rows: Rows
    names: Rows
    counts: Rows


@final
@dataclass(frozen=True)
class Frames(Inspection):
    """Numbered pictures of one recording that stand in training and in test."""

    name: ClassVar[str] = "frames"
    steps: float = field(default=3.0, metadata={"help": "times the usual step between numbers up to which two pictures are neighbours"})
    pairs: int = field(default=200, metadata={"help": "test pictures that are compared with their neighbour and with another"})
    area: float = field(
        default=0.75, metadata={"help": "chance that a neighbour is more alike than another, from which numbers count time"}
    )
    share: float = field(default=0.5, metadata={"help": "share of test rows with a neighbour in training from which that is an error"})

    def applies(self, view: View) -> str | None:
        return None if view.of_kind("image") else "there are no pictures"

    def inspect(self, view: View) -> list[Finding]:
        found = [self._column(view, column) for column in view.of_kind("image")]
        return [finding for finding in found if finding is not None]

    def _column(self, view: View, column: str) -> Finding | None:
        known: dict[str, int] = {}
        train, test = (_named(view, split, column, known) for split in ("train", "test"))
        here, beside, others = self._neighbours(train, test, np.random.default_rng(view.seed))
        if len(here) < LEAST:
            return None
        drawn = np.sort(np.random.default_rng(view.seed).permutation(len(here))[: self.pairs])
        area, p = _likeness(view, column, test.rows[here[drawn]], train.rows[beside[drawn]], train.rows[others[drawn]])
        if area < self.area or p > 0.001:
            return None
        count, size = len(here), len(view.splits["test"])
        recordings = len(np.unique(test.names[here]))
        numbers = [int(row) for row in test.rows[here[:MOST_EXAMPLES]]]
        shown = [Path(str(row[column])).name for row in view.raw(np.asarray(numbers), [column])]
        examples = zip(numbers, shown, train.rows[beside], strict=False)
        return Finding(
            "frames_cross_split",
            "error" if count >= self.share * size else "warning",
            count,
            size,
            f"{rows_said(count, 'test')} ({percent(count, size)}) are frames in '{column}' whose neighbours in time train, of "
            f"{recordings:,} recording{'s' * (recordings != 1)} by their names (neighbours are more alike than other frames in {area:.0%} "
            "of pairs), so that scores do not show how the model does on a new drive",
            "add a column that names the drive of each frame, and keep drives on one side with --group COLUMN",
            [Example(row, text, int(other)) for row, text, other in examples],
        )

    def _neighbours(self, train: _Named, test: _Named, rng: np.random.Generator) -> tuple[Rows, Rows, Rows]:
        """Places of test rows with a neighbour in training, of that neighbour, and of another picture of the same name."""
        here, beside, others = [], [], []
        for name in np.intersect1d(train.names, test.names):
            ours, theirs = np.flatnonzero(test.names == name), np.flatnonzero(train.names == name)
            theirs = theirs[np.argsort(train.counts[theirs], kind="stable")]
            counts = train.counts[theirs]
            every = np.unique(np.concatenate([counts, test.counts[ours]]))
            if len(theirs) < 4 or len(every) < 8:
                continue
            usual = float(np.median(np.diff(every)))
            right = np.searchsorted(counts, test.counts[ours]).clip(1, len(counts) - 1)
            nearest = right - (test.counts[ours] - counts[right - 1] < counts[right] - test.counts[ours])
            near = np.abs(counts[nearest] - test.counts[ours]) <= self.steps * usual
            here.append(ours[near])
            beside.append(theirs[nearest[near]])
            others.append(rng.choice(theirs, int(near.sum())))
        if not here:
            return (np.empty(0, np.int64),) * 3
        order = np.argsort(test.rows[np.concatenate(here)], kind="stable")
        return np.concatenate(here)[order], np.concatenate(beside)[order], np.concatenate(others)[order]


def _named(view: View, split: str, column: str, known: dict[str, int]) -> _Named:
    """The rows whose files have a number in their name; `known` numbers what stands before it."""
    rows, names, counts = [], [], []
    numbers = view.splits[split]
    for number, row in zip(numbers, view.raw(numbers, [column]), strict=True):
        value = row[column]
        told = NUMBERED.fullmatch(Path(value).stem) if isinstance(value, str) else None
        if told and len(told[2]) < 18:
            rows.append(int(number))
            names.append(known.setdefault(told[1], len(known)))
            counts.append(int(told[2]))
    return _Named(*(np.asarray(values, np.int64) for values in (rows, names, counts)))


def _likeness(view: View, column: str, rows: Rows, neighbours: Rows, others: Rows) -> tuple[float, float]:
    """How often a picture is more like its neighbour than like another, ties halved, and the p-value of its being more than half."""
    stats = require("scipy.stats", "comparing pictures")
    every = np.unique(np.concatenate([rows, neighbours, others]))
    grey = thumbnails(view, every, column).grey.reshape(len(every), -1).astype(np.float32)
    vectors = unit(grey - grey.mean(axis=1, keepdims=True))
    mine, near, far = (vectors[np.searchsorted(every, numbers)] for numbers in (rows, neighbours, others))
    away = (mine * near).sum(axis=1) - (mine * far).sum(axis=1)
    more, ties = int((away > 0).sum()), int((away == 0).sum())
    return (more + ties / 2) / len(away), float(stats.binomtest(more, max(1, len(away) - ties), alternative="greater").pvalue)
