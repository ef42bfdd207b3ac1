"""A single simple fact from which the label follows: a column written after the outcome, a marker in the text, a camera for each class.

The rule. A fact gives the label away where a classifier that knows nothing else is right on the validation rows:
- classes: the value (numbers in up to 256 bins of equally many rows) is looked up in the training rows, the class that is most frequent
  there for its size is the answer, and the balanced accuracy is above `accuracy` in training and in validation; of two classes the AUROC
  of a number may stand in its place;
- several labels: as two classes, for each label that 20 training rows hold;
- numbers: the absolute rank correlation is above `accuracy` in training and validation;
- a word gives a class away where, in training and in validation, at least `accuracy` of the rows with the word are of the class, and
  as many of the rows of the class have the word.
At least `rows` training rows and `held` validation rows must have been looked at. What the model reads (an input, or what can be seen of
one) is a warning, as it learns the fact instead of the task, which can be right where the task is that easy. Other columns are to be
known only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, Severity, View
from tunesmith.gate._columns import Fact, Numbers, auroc, spearman
from tunesmith.gate._facts import Sample, column_facts, picture_facts, sound_facts, text_facts
from tunesmith.gate._markers import Held, Marker, markers
from tunesmith.gate._rows import drawn, label_said, lines, percent
from tunesmith.gate._texts import texts

Codes = npt.NDArray[np.int64]

BINS = 256
LEAST = 20
"""Training rows of a class below which no word is looked for, and of a label below which it is not looked at."""
MOST_LABELS = 100


@final
@dataclass(frozen=True)
class Giveaway(Inspection):
    """A single column, word, or the size of a picture or sound from which the label follows."""

    name: ClassVar[str] = "giveaway"
    answers: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers")
    accuracy: float = field(default=0.98, metadata={"help": "balanced accuracy, AUROC, rank correlation or precision from which it does"})
    rows: int = field(default=50, metadata={"help": "training rows without which nothing is said"})
    held: int = field(default=20, metadata={"help": "validation rows without which nothing is said"})
    most: int = field(default=10_000, metadata={"help": "rows of a split that are looked at"})
    most_pictures: int = field(default=300, metadata={"help": "pictures or sounds of a split that are looked at"})

    def applies(self, view: View) -> str | None:
        if len(view.splits["train"]) < self.rows or len(view.splits["validation"]) < self.held:
            return f"fewer than {self.rows} training or {self.held} validation rows"
        return None

    def inspect(self, view: View) -> list[Finding]:
        few, many = (Sample(drawn(view, "train", most), drawn(view, "validation", most)) for most in (self.most_pictures, self.most))
        facts = chain(
            ((many, *pair) for pair in column_facts(view, many)),
            ((many, *pair) for pair in text_facts(view, many)),
            ((few, *pair) for pair in picture_facts(view, few)),
            ((few, *pair) for pair in sound_facts(view, few)),
        )
        found = []
        for sample, column, one in facts:
            score, told = self._follows(view, sample, one)
            if score > self.accuracy:
                found.append(_told(view, sample, column, one, told))
        return found + self._words(view, many)

    def _follows(self, view: View, sample: Sample, one: Fact) -> tuple[float, str]:
        """How well the label follows from a fact, and that in words."""
        train, validation = view.targets["train"][sample.train], view.targets["validation"][sample.validation]
        if not view.classes:
            score = self._correlates(one, train, validation)
            return score, f"rank correlation {score:.3f}"
        x, y = codes(one)
        best, told = 0.0, ""
        for label, a, b in _problems(view, train, validation):
            score, kind = min(looked_up(x, a, x, a), looked_up(x, a, y, b)), "balanced accuracy"
            if one.numeric and max(a.max(), b.max()) == 1 and np.isfinite(one.train).all() and np.isfinite(one.validation).all():
                area = auroc(one.train, a == 1), auroc(one.validation, b == 1)
                signed = min(area) if area[0] > 0.5 else 1 - max(area)
                if signed > score:
                    score, kind = signed, "AUROC"
            if score > best:
                best, told = score, f"{kind} {score:.3f}{label}"
        return best, told

    def _correlates(self, one: Fact, train: Numbers, validation: Numbers) -> float:
        """Absolute rank correlation with the numbers to predict, the smaller one of training and validation."""
        if not one.numeric:
            return 0.0
        strength = []
        for values, targets, least in ((one.train, train, self.rows), (one.validation, validation, self.held)):
            known = np.isfinite(values)
            strength.append(spearman(values[known], targets[known]) if known.sum() >= least else 0.0)
        return min(map(abs, strength)) if strength[0] * strength[1] > 0 else 0.0

    def _words(self, view: View, sample: Sample) -> list[Finding]:
        """Words that mark a class; of each class the best one."""
        columns = view.of_kind("text")
        if not columns or not view.classes:
            return []
        held = {split: _held(view.targets[split][sample.of(split)], len(view.classes)) for split in ("train", "validation")}
        found = markers(
            texts(view, "train", sample.train, columns),
            held["train"],
            texts(view, "validation", sample.validation, columns),
            held["validation"],
            self.accuracy,
            LEAST,
        )
        best: dict[int, Marker] = {}
        for marker in found:
            best.setdefault(marker.label, marker)
        return [_marked(view, sample, marker, held["train"]) for marker in best.values()]


def _problems(view: View, train: Any, validation: Any) -> Iterator[tuple[str, Codes, Codes]]:
    """What is to be told apart: the classes, or each label from its absence."""
    if train.ndim == 1:
        yield "", train.astype(np.int64), validation.astype(np.int64)
        return
    counts = train.sum(axis=0)
    for label in np.flatnonzero(np.minimum(counts, len(train) - counts) >= LEAST)[:MOST_LABELS]:
        yield f" for '{view.classes[label]}'", train[:, label].astype(np.int64), validation[:, label].astype(np.int64)


def _held(targets: Any, classes: int) -> Held:
    """(rows, classes) whether a row is of a class."""
    return np.asarray(targets > 0 if targets.ndim == 2 else targets[:, None] == np.arange(classes))


def _told(view: View, sample: Sample, column: str, one: Fact, told: str) -> Finding:
    looked, size = len(sample.validation), len(view.splits["validation"])
    severity: Severity = "warning" if column in view.inputs else "info"
    advice = (
        "look whether it is there when the model is used; if not, take it out of the data, as the model learns it instead of the task"
        if column in view.inputs
        else f"keep '{column}' out of --inputs unless it is known when the model is used"
    )
    train = view.splits["train"][sample.train[:MOST_EXAMPLES]]
    shown = [f"{value:.4g}" if one.numeric else str(value)[:60] for value in one.train[:MOST_EXAMPLES]]
    labels = [label_said(view, target) for target in view.targets["train"][sample.train[:MOST_EXAMPLES]]]
    return Finding(
        "label_given_away",
        severity,
        looked,
        size,
        f"the label follows from {one.name} alone ({told} on {looked:,} validation rows)",
        advice,
        [Example(int(row), f"{value} -> {label}") for row, value, label in zip(train, shown, labels, strict=True)],
    )


def _marked(view: View, sample: Sample, marker: Marker, held: Held) -> Finding:
    members = view.splits["train"][sample.train[held[:, marker.label]]]
    label = view.classes[marker.label]
    return Finding(
        "word_gives_label_away",
        "warning",
        len(members),
        len(sample.train),
        f"{percent(marker.recall, 1)} of the training rows of '{label}' hold the word '{marker.word}', and {percent(marker.precision, 1)} "
        "of the rows with that word are of it, so the model may learn this word instead of the task",
        "look whether the word was put there with the label; if so, take it out of the texts",
        [Example(int(row), shown) for row, shown in zip(members[:MOST_EXAMPLES], lines(view, members[:MOST_EXAMPLES]), strict=True)],
    )


def codes(one: Fact) -> tuple[Codes, Codes]:
    """The values of a fact in training and validation as codes from 1 on; 0 for what training rows do not have, or what is missing."""
    if one.numeric:
        known = one.train[np.isfinite(one.train)]
        different = np.unique(known)
        bins = min(BINS, max(32, len(known) // 2))
        edges = different if len(different) <= bins else np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[:-1]))
        x, y = (np.where(np.isfinite(values), np.searchsorted(edges, values, "right"), 0) for values in (one.train, one.validation))
        return x, y
    places: dict[Any, int] = {}
    train = np.asarray([places.setdefault(value, len(places) + 1) for value in one.train], np.int64)
    return train, np.asarray([places.get(value, 0) for value in one.validation], np.int64)


def looked_up(x: Codes, a: Codes, y: Codes, b: Codes) -> float:
    """Balanced accuracy on (y, b) of looking up in (x, a) which class is the most frequent for its size; an unknown value is never right.

    Example:
        >>> looked_up(np.asarray([1, 1, 2]), np.asarray([0, 0, 1]), np.asarray([1, 2, 0]), np.asarray([0, 1, 1]))
        0.75
    """
    table = np.zeros((max(x.max(), y.max()) + 1, max(a.max(), b.max()) + 1))
    np.add.at(table, (x, a), 1)
    table /= np.maximum(1, table.sum(axis=0))
    answer = np.where(table.any(axis=1), table.argmax(axis=1), -1)
    right = answer[y] == b
    sizes = np.bincount(b)
    return float((np.bincount(b, right)[sizes > 0] / sizes[sizes > 0]).mean()) if (sizes > 0).sum() > 1 else 0.0
