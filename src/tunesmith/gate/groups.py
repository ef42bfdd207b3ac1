"""Rows of one person, device, session or drive on both sides of the split: a model that knows whom a row is of looks better than it is.

The column that `--group` names must not cross the split at all. Others are guessed by name (`patient_id`, `SpeakerName`): values that
repeat, are not the label, and stand in training and in test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, Severity, View
from tunesmith.gate._rows import Marks, line, marks, percent, rows_said

WHOM = frozenset((
    "account", "animal", "author", "camera", "case", "client", "clinic", "customer", "device", "donor", "family", "group", "hospital",
    "household", "member", "participant", "patient", "person", "respondent", "reviewer", "scanner", "session", "site", "slide", "speaker",
    "specimen", "station", "subject", "user", "visitor",
))  # fmt: skip
RECORDED = frozenset(("drive", "flight", "footage", "journey", "lap", "recording", "ride", "trip", "video"))
"""Rows of one of these follow one another in time: neighbours are near copies, however few recordings there are."""
NUMBERED = frozenset(("code", "hash", "id", "ids", "key", "name", "no", "nr", "num", "number", "uid", "uuid"))


def names_someone(column: str, whom: frozenset[str] = WHOM | RECORDED) -> bool:
    """Whether a column is called as if its values stood for persons, devices, places or recordings.

    Example:
        >>> [names_someone(name) for name in ("patient_id", "SpeakerName", "drive", "user", "user_rating", "patientage")]
        [True, True, True, True, False, False]
    """
    parts = [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", column)]
    while len(parts) > 1 and parts[-1] in NUMBERED:
        parts.pop()
    return bool(parts) and any(part in whom for part in (parts[-1], parts[-1].removesuffix("s"), parts[-1].removesuffix("id")))


@final
@dataclass(frozen=True)
class Groups(Inspection):
    """Persons, devices, sessions or drives whose rows stand on both sides of the split."""

    name: ClassVar[str] = "groups"
    answers: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers", "text")
    least: int = field(default=10, metadata={"help": "different values from which a column that was not named is a warning"})
    share: float = field(default=0.02, metadata={"help": "share of test rows that must be concerned where a column was not named"})

    def applies(self, view: View) -> str | None:
        return None if _candidates(view) else "no --group was named, and no column is called after persons, devices, sessions or drives"

    def inspect(self, view: View) -> list[Finding]:
        found = [self._crossing(view, column) for column in _candidates(view)]
        return [finding for finding in found if finding is not None]

    def _crossing(self, view: View, column: str) -> Finding | None:
        of = {split: marks(view, split, [column]) for split in ("train", "validation", "test")}
        shared = {split: np.isin(of[split], of["train"]) for split in ("validation", "test")}
        named = column == view.group
        split = "test" if shared["test"].any() else "validation"
        count, size = int(shared[split].sum()), len(of[split])
        whole = np.concatenate(list(of.values()))
        groups = len(np.unique(whole))
        if not count or (not named and (split != "test" or count < self.share * size or not 1 < groups < len(whole))):
            return None
        crossing = len(np.unique(of[split][shared[split]]))
        recorded = names_someone(column, RECORDED) and bool(view.of_kind("image"))
        severity: Severity = "error" if named and split == "test" else "warning" if named or recorded or groups >= self.least else "info"
        advice = (
            "let --group divide the rows (--split 0.8,0.1,0.1), or mend the given split"
            if named
            else f"if its rows belong together, keep them on one side with --group {column}"
        )
        return Finding(
            "groups_cross_split",
            severity,
            count,
            size,
            f"{rows_said(count, split)} ({percent(count, size)}) have a '{column}' that training holds too ({crossing:,} of "
            f"{groups:,} values), so that scores do not show how the model does on new ones"
            + ("; neighbouring frames are near copies" if recorded else ""),
            advice,
            _examples(view, column, split, of),
        )


def _candidates(view: View) -> list[str]:
    taken = {*view.label, view.time, *view.inputs}
    return [column for column in view.columns if column == view.group or (column not in taken and names_someone(column))]


def _examples(view: View, column: str, split: str, of: dict[str, Marks]) -> list[Example]:
    """The first row of each of the first groups that cross, beside a training row."""
    known, first = np.unique(of["train"], return_index=True)
    ours, here = np.unique(of[split], return_index=True)
    crossing = np.sort(here[np.isin(ours, known)])[:MOST_EXAMPLES]
    numbers = view.splits[split][crossing]
    beside = view.splits["train"][first[np.searchsorted(known, of[split][crossing])]]
    rows = view.read(numbers, [column])
    return [
        Example(int(number), f"{column} = {line(row, [column])}", int(other))
        for number, row, other in zip(numbers, rows, beside, strict=True)
    ]
