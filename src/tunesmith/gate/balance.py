"""How often each class occurs, and whether there is anything to learn at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.gate._rows import percent

SPLITS = ("train", "validation", "test")


@final
@dataclass(frozen=True)
class Balance(Inspection):
    """Classes that are rare, missing from a split, or far outnumbered; numbers that never change."""

    name: ClassVar[str] = "balance"
    answers: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers")
    ratio: float = field(default=10.0, metadata={"help": "rows of the largest class to those of the smallest from which that is a warning"})
    rare: int = field(default=10, metadata={"help": "training rows below which a class is rare"})
    same: float = field(default=0.5, metadata={"help": "share of equal numbers among the targets from which that is a warning"})

    def applies(self, view: View) -> str | None:
        return None if len(view.splits["train"]) else "there are no training rows"

    def inspect(self, view: View) -> list[Finding]:
        if not view.classes:
            found = [self._numbers(view.targets["train"])]
        else:
            counts = {split: _counts(view.targets[split], len(view.classes)) for split in SPLITS}
            found = [self._imbalance(view, counts["train"]), self._rare(view, counts["train"]), _absent(view, counts)]
        return [finding for finding in found if finding is not None]

    def _imbalance(self, view: View, counts: npt.NDArray[np.int64]) -> Finding | None:
        several = view.targets["train"].ndim == 2
        held = np.stack([counts, len(view.splits["train"]) - counts]) if several else counts  # a label against its absence
        ratio = np.max(held, axis=0) / np.maximum(1, np.min(held, axis=0)) if several else counts.max() / np.maximum(1, counts)
        outnumbered = np.flatnonzero(ratio >= self.ratio)
        if not len(outnumbered):
            return None
        worst = int(np.argmax(ratio))
        largest = (
            f"rows without it or with it ({len(view.splits['train']):,} in all)"
            if several
            else f"'{view.classes[int(counts.argmax())]}' ({counts.max():,})"
        )
        return Finding(
            "imbalance",
            "info" if several else "warning",
            len(outnumbered),
            len(counts),
            f"{_some(len(outnumbered), len(counts), view)} outnumbered {self.ratio:g} times or more; '{view.classes[worst]}' "
            f"({counts[worst]:,} training rows) {ratio[worst]:.0f} times by {largest}: accuracy then says little",
            "judge by the F1 of each class" + ("" if several else ", and try --set task.class_weights=balanced"),
            _examples(view, counts, outnumbered),
        )

    def _rare(self, view: View, counts: npt.NDArray[np.int64]) -> Finding | None:
        rare = np.flatnonzero(counts < self.rare)
        if not len(rare):
            return None
        return Finding(
            "rare_classes",
            "warning",
            len(rare),
            len(counts),
            f"{_some(len(rare), len(counts), view)} rare: fewer than {self.rare} training rows, too few to learn from or to be scored by",
            "collect more, merge them with another class, or take them out (--rare-classes drop does so below 3 rows)",
            _examples(view, counts, rare),
        )

    def _numbers(self, targets: npt.NDArray[Any]) -> Finding | None:
        values, counts = np.unique(targets, return_counts=True)
        most, count = float(values[counts.argmax()]), int(counts.max())
        if len(values) == 1:
            what = f"the number to predict is {most:g} in all {count:,} training rows; there is nothing to learn"
            return Finding(
                "constant_target", "error", count, len(targets), what, "name another column with --label", [Example(None, f"{most:g}")]
            )
        if len(values) <= 2 or count < self.same * len(targets):
            return None
        what = f"{percent(count, len(targets))} of the training rows have the same number to predict, {most:g}, so a mean error says little"
        advice = f"check whether {most:g} stands for a missing value; if it is meant, predict first whether it is {most:g}"
        return Finding("same_number", "warning", count, len(targets), what, advice, [Example(None, f"{most:g}")])


def _absent(view: View, counts: dict[str, npt.NDArray[np.int64]]) -> Finding | None:
    absent = np.flatnonzero((counts["train"] > 0) & ((counts["validation"] == 0) | (counts["test"] == 0)))
    if not len(absent):
        return None
    where = " or ".join(split for split in ("validation", "test") if (counts[split][absent] == 0).any())
    return Finding(
        "classes_not_scored",
        "warning",
        len(absent),
        len(view.classes),
        f"{_some(len(absent), len(view.classes), view)} absent from {where}, so no score tells how well the model knows them",
        "collect more rows of them, or give larger shares of validation and test with --split",
        _examples(view, counts["train"], absent),
    )


def _counts(targets: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int64]:
    """(classes,) rows of each class, or rows that hold each label."""
    if targets.ndim == 2:
        return np.asarray(targets.sum(axis=0), np.int64)
    return np.bincount(targets.astype(np.int64), minlength=classes)


def _some(count: int, of: int, view: View) -> str:
    kind = "labels" if view.targets["train"].ndim == 2 else "classes"
    return f"{count:,} of {of:,} {kind} {'is' if count == 1 else 'are'}"


def _examples(view: View, counts: npt.NDArray[np.int64], which: Sequence[int] | npt.NDArray[np.intp]) -> list[Example]:
    fewest = sorted((int(counts[place]), view.classes[place]) for place in which)[:MOST_EXAMPLES]
    return [Example(None, f"{name}: {count:,} training rows") for count, name in fewest]
