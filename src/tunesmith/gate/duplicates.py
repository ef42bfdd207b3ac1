"""Equal inputs: within a split, across splits, and with labels that contradict each other.

Texts are compared letter by letter, pictures by the bytes of their files; a row with several inputs is equal where all are. A test row that
also trains tells nothing about new data, so a single one is an error, with one exception: below `few` of the test rows, where their texts
are typically shorter than `short` characters. Short texts ("thank you") coincide by chance between people who never met, will go on doing
so, and so few of them move a score by less than `few`. Rows of a table coincide as well where their cells are common ones (grades from
1 to 10): they are an error from `few` on if they share a cell that hardly another row has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.coincidence import by_chance
from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, Severity, View
from tunesmith.core.kinds import MODALITY
from tunesmith.gate._rows import Rows, label_said, lines, marks, percent, rows_said

ORDER = ("test", "validation", "train")
"""Of equal rows the one of the earliest of these splits stays."""


@dataclass(frozen=True, eq=False)
class _Copies:
    """All rows whose inputs occur more than once, equal ones side by side, in each group those of the test split first.

    Attributes:
        rows: (n,) row numbers.
        rank: (n,) place of their split in `ORDER`.
        places: (n,) places in their split.
        group: (n,) which of the different inputs they hold.
        held: (groups, 3) which splits hold it.
        first: (groups, 3) where the first row of each split stands among these rows; -1 where there is none.
    """

    rows: Rows
    rank: npt.NDArray[np.intp]
    places: npt.NDArray[np.intp]
    group: npt.NDArray[np.intp]
    held: npt.NDArray[np.bool_]
    first: npt.NDArray[np.intp]


@final
@dataclass(frozen=True)
class Duplicates(Inspection):
    """Equal inputs within and across splits, and equal inputs with different labels."""

    name: ClassVar[str] = "duplicates"
    answers: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers", "text")
    few: float = field(default=0.005, metadata={"help": "share of the test rows below which short texts that also train are no error"})
    short: int = field(default=25, metadata={"help": "characters below which a text counts as short"})
    many: float = field(default=0.01, metadata={"help": "share of copies within a split from which they are a warning"})
    apart: float = field(default=0.5, metadata={"help": "standard deviations from which two numbers contradict each other"})

    def applies(self, view: View) -> str | None:
        return None if view.inputs else "there are no input columns"

    def inspect(self, view: View) -> list[Finding]:
        copies = _copies(view)
        if not len(copies.rows):
            return []
        against = _contradicting(view, copies, self.apart)
        found = [
            self._leak(view, copies, "test", "train"),
            self._leak(view, copies, "validation", "train"),
            self._leak(view, copies, "test", "validation"),
            *(self._within(view, copies, split, against) for split in ORDER),
            _contradictions(view, copies, against),
        ]
        return [finding for finding in found if finding is not None]

    def _leak(self, view: View, copies: _Copies, here: str, there: str) -> Finding | None:
        """Rows of the split `here` that also stand in the split `there`, whose copies are to be left out."""
        to, of = ORDER.index(here), ORDER.index(there)
        leaked = np.flatnonzero((copies.rank == to) & copies.held[copies.group, of])
        if not len(leaked):
            return None
        beside = copies.rows[copies.first[copies.group[leaked], of]]
        out = np.flatnonzero((copies.rank == of) & copies.held[copies.group, to])
        count, size = len(leaked), len(view.splits[here])
        why = (
            "where a right answer tells nothing about new data"
            if here == "test"
            else "so that the validation score flatters what is chosen by it"
        )
        name = "training" if there == "train" else there
        shown = lines(view, copies.rows[leaked[:MOST_EXAMPLES]])
        chance = _chance(view, copies.rows[leaked])
        why += "; all their cells are common ones, so chance makes such rows equal" if chance else ""
        return Finding(
            f"{here}_rows_in_{name}",
            self._severity(view, copies.rows[leaked], size, chance) if (here, there) == ("test", "train") else "warning",
            count,
            size,
            f"{rows_said(count, here)} ({percent(count, size)}) also stand{'s' * (count == 1)} in {name}, {why}",
            f"leave the {name} copies out with --fix, or keep what belongs together on one side with --group COLUMN",
            _examples(copies.rows[leaked], shown, beside),
            copies.rows[out].tolist(),
            copies.rows[copies.first[copies.group[out], to]].tolist(),
        )

    def _severity(self, view: View, rows: Rows, size: int, chance: bool) -> Severity:
        texts = view.of_kind("text")
        if _is_table(view):
            return "warning" if chance or len(rows) < self.few * size else "error"
        if len(rows) >= self.few * size or len(texts) < len(view.inputs):
            return "error"
        lengths = [sum(len(str(row[column] or "")) for column in texts) for row in view.read(rows, texts)]
        return "warning" if float(np.median(lengths)) < self.short else "error"

    def _within(self, view: View, copies: _Copies, split: str, against: npt.NDArray[np.bool_]) -> Finding | None:
        """Rows of a split that stand in it before; of training rows those are left out that nothing else concerns."""
        rank = ORDER.index(split)
        first = copies.first[copies.group, rank]
        later = np.flatnonzero((copies.rank == rank) & (np.arange(len(first)) != first))
        if not len(later):
            return None
        count, size = len(later), len(view.splits[split])
        name = "training" if split == "train" else split
        out = later[~copies.held[copies.group[later], :rank].any(axis=1) & ~against[copies.group[later]]] if split == "train" else later[:0]
        effect = "what is repeated counts more than once" if split == "train" else "the score looks surer than it is"
        return Finding(
            f"copies_in_{name}",
            "warning" if count >= self.many * size else "info",
            count,
            size,
            f"{rows_said(count, name)} ({percent(count, size)}) repeat{'s' * (count == 1)} an earlier row of the same split: {effect}",
            "leave later copies out with --fix" if split == "train" else "collect each row once",
            _examples(copies.rows[later], lines(view, copies.rows[later[:MOST_EXAMPLES]]), copies.rows[first[later]]),
            copies.rows[out].tolist(),
            copies.rows[first[out]].tolist(),
        )


def _is_table(view: View) -> bool:
    return {MODALITY[kind] for kind in view.inputs.values()} == {"tabular"}


def _chance(view: View, rows: Rows) -> bool:
    """Whether chance makes these rows of a table equal to others."""
    columns = list(view.inputs)
    return _is_table(view) and by_chance(lambda: view.read(view.splits["train"], columns), view.read(rows, columns), columns)


def _copies(view: View) -> _Copies:
    keys = np.concatenate([marks(view, split, list(view.inputs)) for split in ORDER])
    rows = np.concatenate([view.splits[split] for split in ORDER])
    sizes = [len(view.splits[split]) for split in ORDER]
    rank = np.repeat(np.arange(len(ORDER)), sizes)
    order = np.lexsort((rows, rank, keys))
    fresh = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])
    group = np.cumsum(fresh) - 1
    again = (np.bincount(group) > 1)[group]
    order, group = order[again], np.unique(group[again], return_inverse=True)[1]
    rank_of = rank[order]
    first = np.full((len(np.unique(group)), len(ORDER)), -1)
    places = np.arange(len(order))[::-1]
    first[group[places], rank_of[places]] = places  # backwards, so that the first of each split is written last
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return _Copies(rows[order], rank_of, order - starts[rank_of], group, first >= 0, first)


def _contradicting(view: View, copies: _Copies, apart: float) -> npt.NDArray[np.bool_]:
    """(groups,) whether equal inputs have labels that differ."""
    groups = len(copies.held)
    train = view.targets["train"]
    if train.ndim == 1 and train.dtype.kind == "f":
        values = _targets(view, copies)
        low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
        np.minimum.at(low, copies.group, values)
        np.maximum.at(high, copies.group, values)
        return np.asarray(high - low > apart * train.std())
    values = _targets(view, copies).reshape(len(copies.rows), -1)
    first = copies.first[np.arange(groups), (copies.first >= 0).argmax(axis=1)]
    differs = (values != values[first[copies.group]]).any(axis=1)
    return np.bincount(copies.group[differs], minlength=groups) > 0


def _targets(view: View, copies: _Copies) -> npt.NDArray[Any]:
    """The targets of the rows, in their order."""
    parts = [view.targets[split][copies.places[copies.rank == rank]] for rank, split in enumerate(ORDER)]
    stacked = np.concatenate(parts)
    result = np.empty_like(stacked)
    result[np.argsort(copies.rank, kind="stable")] = stacked
    return result


def _contradictions(view: View, copies: _Copies, against: npt.NDArray[np.bool_]) -> Finding | None:
    concerned = np.flatnonzero(against[copies.group])
    if not len(concerned):
        return None
    targets = _targets(view, copies)
    kinds, size = int(against.sum()), sum(len(view.splits[split]) for split in ORDER)
    examples = []
    for place in np.flatnonzero(against)[:MOST_EXAMPLES]:
        members = np.flatnonzero(copies.group == place)
        one = members[0]
        other = next(member for member in members if np.any(targets[member] != targets[one]))
        shown = lines(view, copies.rows[[one]])[0]
        told = f"{shown} -> {label_said(view, targets[one])} and {label_said(view, targets[other])}"
        examples.append(Example(int(copies.rows[one]), told, int(copies.rows[other])))
    return Finding(
        "contradictory_labels",
        "warning",
        len(concerned),
        size,
        f"{rows_said(len(concerned))} hold {kinds:,} input{'s' * (kinds != 1)} whose copies have different labels, so no model is right "
        "on all of them",
        "decide which label is right; where both can be, use --task multilabel or merge the classes",
        examples,
    )


def _examples(rows: Rows, shown: Sequence[str], beside: Rows) -> list[Example]:
    return [Example(int(row), text, int(other)) for row, text, other in zip(rows, shown, beside, strict=False)]
