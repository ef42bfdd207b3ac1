"""Whether training saw anything of the test split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Check
from tunesmith.evaluate.checks._made import check

Column = npt.NDArray[Any]
Origin = Callable[[int], tuple[str, str]]
NAME = "no_test_row_in_training"
NAMED = 3
TOLERATED = 0.005
"""Share of test rows whose inputs stand in training too below which the score can hardly tell: one-word texts and blank pictures repeat
by nature. What is tolerated is named all the same."""


def no_test_row_in_training(
    splits: Mapping[str, npt.NDArray[np.integer[Any]]],
    marks: Mapping[str, Column],
    origin: Origin,
    groups: Mapping[str, Column] | None = None,
    times: Mapping[str, Column] | None = None,
    by_chance: Callable[[npt.NDArray[np.integer[Any]]], bool] | None = None,
) -> Check:
    """No test row stands among the training rows: by its number, by its input, by its group or by its time.

    What was allowed by `--allow-data-errors` or came divided so still fails: the scores do flatter the model, whoever agreed to it.

    Args:
        splits: `train`, `validation`, `test` -> (n,) numbers of their rows.
        marks: split -> (n,) a checksum of each row's inputs: equal ones have equal ones.
        origin: row number -> file and place in it.
        groups: split -> (n,) codes of the column whose equal values belong together, where one was named.
        times: split -> (n,) moments, where a time was named.
        by_chance: numbers of test rows whose inputs training has too -> whether chance makes them equal; None where it does not.
    """
    train, test = splits["train"], splits["test"]
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        both = np.intersect1d(splits[one], splits[other])
        if len(both):
            return check(NAME, False, f"{len(both)} rows are in {one} and {other}: {_places(both, origin)}")
    seen = np.isin(marks["test"], marks["train"])
    found = "no number and no input in common"
    if seen.any():
        pairs = ", ".join(_pair(place, splits, marks, origin) for place in np.flatnonzero(seen)[:NAMED])
        found = f"{int(seen.sum())} of {len(test)} test rows hold the same input as a training row: {pairs}"
        if seen.mean() < TOLERATED:
            found += f" (below {TOLERATED:.1%}, tolerated)"
        elif by_chance is not None and by_chance(test[seen]):
            found += " (all their cells are common ones in this table, so chance makes such rows equal; tolerated)"
        else:
            return check(NAME, False, found)
    if groups is not None:
        shared = np.isin(groups["test"], groups["train"])
        if shared.any():
            return check(NAME, False, f"{int(shared.sum())} test rows are of a group that trained: {_places(test[shared], origin)}")
    if times is not None and len(train) and len(test) and times["train"].max() > times["test"].min():
        late = train[times["train"] > times["test"].min()]
        return check(NAME, False, f"{len(late)} training rows are later than the first test row: {_places(late, origin)}")
    kept = "".join([", no group in common" if groups is not None else "", ", none of them later" if times is not None else ""])
    return check(NAME, True, f"{len(test)} test rows, {len(train)} training rows: {found}{kept}")


def _places(numbers: npt.NDArray[np.integer[Any]], origin: Origin) -> str:
    more = ", ..." if len(numbers) > NAMED else ""
    return ", ".join(" ".join(origin(int(number))) for number in numbers[:NAMED]) + more


def _pair(place: Any, splits: Mapping[str, Column], marks: Mapping[str, Column], origin: Origin) -> str:
    twin = splits["train"][int(np.argmax(marks["train"] == marks["test"][place]))]
    return f"{' '.join(origin(int(splits['test'][place])))} = {' '.join(origin(int(twin)))}"
