"""Whether validation and test are drawn from where training is: can a linear model tell their rows apart, and do the labels differ?

A classifier two-sample test (Lopez-Paz and Oquab 2017): out-of-fold scores of a logistic regression that separates the two splits. The rows
of a fold were unseen, so without a shift the rank sum of Mann and Whitney has its known distribution there; p-values of the folds are put
together by Stouffer's method. Significant alone is not enough, as large splits make any trifle significant: the area under the ROC curve
must be large as well.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.gate._pairs import drawn, remark
from tunesmith.gate._thumbnails import Thumbnails, appearance, thumbnails
from tunesmith.gate._vectors import FOLDS, Vectors, has_vectors, said_out_of_fold, spaced, standardised, texts_of, vectors

FEWEST = 30
PICTURES = 500
"""Pictures of a split that are looked at for what differs."""
NOTABLE = 0.2
"""Difference of two means, in standard deviations, that is worth a word."""
TOLD = 3

Places = npt.NDArray[np.int64]


@final
@dataclass(frozen=True)
class Shift(Inspection):
    """Validation or test rows that are drawn from elsewhere than training rows, or whose labels have other shares."""

    name: ClassVar[str] = "shift"
    answers: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers", "text")
    area: float = field(
        default=0.6, metadata={"help": "area under the ROC curve, training rows against others, from which it is a warning"}
    )
    labels: float = field(default=0.05, metadata={"help": "share of labels that would have to change for the splits to be alike"})
    p: float = field(default=0.01, metadata={"help": "probability of a false alarm, for both splits together"})
    rows: int = field(default=5000, metadata={"help": "rows of a split that are looked at; beyond it they are drawn"})

    def applies(self, view: View) -> str | None:
        large = [split for split, rows in view.splits.items() if len(rows) >= FEWEST]
        return None if "train" in large and len(large) > 1 else f"there are fewer than {FEWEST} rows to compare"

    def inspect(self, view: View) -> list[Finding]:
        places = {split: chosen for split, chosen in drawn(view, self.rows).items() if len(chosen) >= FEWEST}
        others = [split for split in ("test", "validation") if split in places]
        found = []
        for split in others:
            limit = self.p / len(others)
            pair = {"train": places["train"], split: places[split]}
            found += self._rows(view, pair, split, limit) + self._labels(view, split, limit)
        return found

    def _rows(self, view: View, pair: dict[str, Places], split: str, limit: float) -> list[Finding]:
        if not has_vectors(view):
            if not view.of_kind("image"):
                return []
            pair = {name: _fewer(chosen, PICTURES, view.seed) for name, chosen in pair.items()}
        rows = vectors(view, pair) if has_vectors(view) else _looks(view, pair)
        which = np.repeat([0, 1], [len(chosen) for chosen in pair.values()])
        area, p = separated(rows, which, view.seed)
        if p >= limit or area < self.area:
            return []
        differences = _differences(view, pair, split)
        return [
            Finding(
                name=f"shift_of_{split}",
                severity="warning",
                count=len(pair[split]),
                of=len(which),
                what=f"The {split} rows are unlike the training rows: a linear model on {rows.of} tells them apart with an area under the "
                f"ROC curve of {area:.2f} (0.5 is chance, p {_small(p)}){remark(view, pair)}."
                + (f" What differs: {'; '.join(differences)}." if differences else " No single property stands out."),
                advice="If that is meant (later data, another site), the test score says how the model carries over; else divide anew.",
                examples=[Example(None, difference) for difference in differences],
            )
        ]

    def _labels(self, view: View, split: str, limit: float) -> list[Finding]:
        if view.answers not in ("classes", "labels", "numbers"):
            return []
        here, there = view.targets["train"], view.targets[split]
        distance, p, shown = label_distance(here, there, view.classes)
        if p >= limit or distance < self.labels:
            return []
        return [
            Finding(
                name=f"label_shift_of_{split}",
                severity="warning",
                count=round(distance * len(there)),
                of=len(there),
                what=f"The labels of the {split} rows have other shares than those of the training rows (they differ by {distance:.1%}, "
                f"p {_small(p)}): {shown}.",
                advice="Divide anew with a stratified split, unless the shares are those that the model will meet.",
            )
        ]


def separated(rows: Vectors, which: npt.NDArray[np.int64], seed: int) -> tuple[float, float]:
    """How well a linear model tells two samples apart.

    Args:
        rows: n of them.
        which: (n,) 0 or 1, of which sample each is.
        seed: decides the folds.

    Returns:
        Mean area under the ROC curve over the folds, and the one-sided p-value of its being more than a half.
    """
    stats = require("scipy.stats", "comparing splits")
    said, folds = said_out_of_fold(rows, which, seed)
    areas, values = [], []
    for fold in range(FOLDS):
        ours, theirs = said[(folds == fold) & (which == 1), 1], said[(folds == fold) & (which == 0), 1]
        rank = stats.mannwhitneyu(ours, theirs, alternative="greater", method="asymptotic")
        areas.append(float(rank.statistic) / (len(ours) * len(theirs)))
        values.append(float(rank.pvalue))
    p = stats.combine_pvalues(np.clip(values, 1e-300, 1 - 1e-16), method="stouffer").pvalue
    return float(np.mean(areas)), float(p)


def label_distance(here: npt.NDArray[Any], there: npt.NDArray[Any], classes: Any) -> tuple[float, float, str]:
    """How far the labels of two splits are apart: distance between 0 and 1, p-value, and the largest difference in words.

    Classes: total variation and the chi-square test. Labels: the one that differs most, its p-value times their number (Bonferroni).
    Numbers: the Kolmogorov-Smirnov test.
    """
    stats = require("scipy.stats", "comparing splits")
    if not len(classes):
        test = stats.ks_2samp(here, there)
        return float(test.statistic), float(test.pvalue), f"median {np.median(there):g} instead of {np.median(here):g}"
    if here.ndim > 1:
        shares = np.stack([here.mean(axis=0), there.mean(axis=0)])
        top = int(np.abs(shares[0] - shares[1]).argmax())
        table = np.stack([[(part[:, top] == value).sum() for value in (0, 1)] for part in (here, there)])
        distance, tests = float(abs(shares[0, top] - shares[1, top])), len(classes)
    else:
        table = np.stack([np.bincount(part, minlength=len(classes)) for part in (here, there)])
        shares = table / table.sum(axis=1, keepdims=True)
        top = int(np.abs(shares[0] - shares[1]).argmax())
        distance, tests = float(np.abs(shares[0] - shares[1]).sum() / 2), 1
    table = table[:, table.sum(axis=0) > 0]
    p = min(1.0, tests * float(stats.chi2_contingency(table).pvalue)) if table.shape[1] > 1 else 1.0
    return distance, p, f"'{classes[top]}' {shares[1, top]:.0%} instead of {shares[0, top]:.0%}"


def _small(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"= {p:.4f}"


def _fewer(places: Places, most: int, seed: int) -> Places:
    return places if len(places) <= most else np.sort(np.random.default_rng(seed).choice(places, most, replace=False))


def _looks(view: View, pair: dict[str, Places]) -> Vectors:
    """Simple statistics of pictures and their coarse light, where there is nothing better."""
    parts = []
    for split, chosen in pair.items():
        columns = []
        for column in view.of_kind("image"):
            found = thumbnails(view, view.splits[split][chosen], column)
            coarse = found.grey.reshape(len(chosen), 8, 4, 8, 4).mean(axis=(2, 4)).reshape(len(chosen), -1)
            columns.append(np.column_stack([*appearance(found).values(), coarse]))
        parts.append(np.concatenate(columns, axis=1))
    return standardised(np.concatenate(parts), "brightness, contrast and coarse light of the pictures")


def _differences(view: View, pair: dict[str, Places], split: str) -> list[str]:
    """What differs, in words, the largest first of each kind."""
    numbers = {name: view.splits[name][chosen] for name, chosen in pair.items()}
    told = []
    if view.of_kind("text"):
        told += _of_texts(list(texts_of(view, numbers["train"])), list(texts_of(view, numbers[split])))
    for column in view.of_kind("image"):
        here, there = (appearance(_held(thumbnails(view, _fewer(rows, PICTURES, view.seed), column))) for rows in numbers.values())
        told += _of_pictures(here, there, column) if len(here["brightness"]) and len(there["brightness"]) else []
    return told[:MOST_EXAMPLES]


def _held(found: Thumbnails) -> Thumbnails:
    """Those of rows that have a picture."""
    there = found.sizes.all(axis=1)
    return Thumbnails(found.grey[there], found.sizes[there])


def _of_pictures(here: dict[str, Any], there: dict[str, Any], column: str) -> list[str]:
    sizes = {name: _apart(here[name], there[name]) for name in here}
    names = sorted((name for name in sizes if sizes[name] >= NOTABLE), key=lambda name: -sizes[name])
    return [f"{name} of '{column}' {there[name].mean():.0f} instead of {here[name].mean():.0f}" for name in names[:TOLD]]


def _of_texts(here: list[str], there: list[str]) -> list[str]:
    lengths = [np.asarray([len(text) for text in texts], float) for texts in (here, there)]
    length = f"{lengths[1].mean():.0f} characters a text instead of {lengths[0].mean():.0f}"
    words = [_rows_with(texts, spaced(here)) for texts in (here, there)]
    scores = {}
    for word in set(itertools.chain(*words)):
        ours, theirs = words[1][word] / len(there), words[0][word] / len(here)
        pooled = (words[1][word] + words[0][word]) / (len(there) + len(here))
        error = np.sqrt(pooled * (1 - pooled) * (1 / len(there) + 1 / len(here)))
        if error > 0 and abs(ours - theirs) >= 0.02:
            scores[word] = abs(ours - theirs) / error
    top = sorted((word for word in scores if scores[word] > 4), key=lambda word: (-scores[word], word))[:TOLD]
    told = [f"'{word}' in {words[1][word] / len(there):.0%} of texts instead of {words[0][word] / len(here):.0%}" for word in top]
    return [*told, length] if _apart(*lengths) >= NOTABLE else told


def _rows_with(texts: list[str], words: bool) -> Counter[str]:
    """Word (or character, where words do not stand apart) -> in how many texts it occurs."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(text.lower().split()) if words else set(text) - {" "})
    return counts


def _apart(here: npt.NDArray[Any], there: npt.NDArray[Any]) -> float:
    """Difference of two means in standard deviations."""
    spread = float(np.sqrt((here.var() + there.var()) / 2))
    return abs(float(there.mean() - here.mean())) / spread if spread > 0 else 0.0
