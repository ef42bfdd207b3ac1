"""Pictures that are almost the same: saved again, scaled, brightened. Exact copies are among them.

Two looks decide. Perceptual hashes (phash, 64 bits) of twins differ in few bits; but so do those of smooth pictures that merely have the
same subject in the same place, such as X-rays of chests. So the grey values of both, 16 x 16, must also correlate once what all pictures of
the data have in common is taken away: on PneumoniaMNIST, 8,773 pairs come within 10 bits of each other, and only its 7 true
copies correlate by more than 0.95 (0.92 is next). Pictures without any contrast cannot be told apart and are passed over; a mirrored or
cut picture is not recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.core.neighbours import unit
from tunesmith.gate._pairs import drawn, earlier_twins, first_twins, remark
from tunesmith.gate._thumbnails import SIDE, hashed, thumbnails

if TYPE_CHECKING:
    from tunesmith.core.arrays import Floats

COARSE = 16
FLAT = 2.0
"""Standard deviation of grey values (of 255) below which a picture shows nothing."""
ENOUGH = 30
"""Different pictures that tell what all have in common."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Look:
    """What is known of a split's pictures: row numbers, targets, hashes and vectors of those that show something."""

    numbers: Rows
    targets: npt.NDArray[Any]
    hashes: npt.NDArray[np.uint64]
    vectors: Floats


@final
@dataclass(frozen=True)
class NearPictures(Inspection):
    """Pictures of validation or test that are nearly those of training, and near copies within a split."""

    name: ClassVar[str] = "near_pictures"
    bits: int = field(default=10, metadata={"help": "in how many of 64 bits the hashes of two near copies may differ"})
    correlation: float = field(default=0.95, metadata={"help": "least correlation of their grey values"})
    share: float = field(default=0.01, metadata={"help": "share of test rows with a twin in training that is an error"})
    rows: int = field(default=5000, metadata={"help": "rows of a split that are looked at; beyond it they are drawn"})

    def applies(self, view: View) -> str | None:
        return None if view.of_kind("image") else "there are no pictures"

    def inspect(self, view: View) -> list[Finding]:
        columns = view.of_kind("image")
        found = []
        for column in columns:
            places = drawn(view, max(1, self.rows // len(columns)))
            looks = _look(view, column, places)
            note = remark(view, places)
            found += self._across(view, column, looks, note)
            if column != view.group:  # rows of one picture are meant: its captions
                found += self._within(view, column, looks, note)
        return found

    def _across(self, view: View, column: str, looks: dict[str, _Look], note: str) -> list[Finding]:
        train = looks["train"]
        out: set[int] = set()
        pairs: list[tuple[str, int, int]] = []  # split, place there, place in training
        for split in ("test", "validation"):
            if split not in looks:
                continue
            look = looks[split]
            here, there = first_twins(look.hashes, look.vectors, train.hashes, train.vectors, bits=self.bits, least=self.correlation)
            pairs += [(split, int(i), int(here[i])) for i in np.flatnonzero(here >= 0)]
            out |= set(train.numbers[there >= 0].tolist())
        if not pairs:
            return []
        in_test = sum(split == "test" for split, _, _ in pairs)
        tests = len(looks["test"].numbers) if "test" in looks else 0
        differ = sum(not np.array_equal(looks[split].targets[i], train.targets[j]) for split, i, j in pairs)
        what = (
            f"{in_test} of {tests:,} test rows and {len(pairs) - in_test} validation rows show in column '{column}' nearly the same "
            f"picture as a training row{note}" + (f"; {differ} of these pairs carry different labels." if differ else ".")
        )
        return [
            Finding(
                name="near_pictures_across_splits",
                severity="error" if in_test > self.share * tests else "warning",
                count=len(pairs),
                of=sum(len(looks[split].numbers) for split in ("test", "validation") if split in looks),
                what=what,
                advice="Leave out the training copies, or keep pictures of one origin in one split (data.group).",
                examples=[
                    Example(int(looks[split].numbers[i]), f"{split} row looks like training row", int(train.numbers[j]))
                    for split, i, j in pairs[:MOST_EXAMPLES]
                ],
                leave_out=sorted(out),
            )
        ]

    def _within(self, view: View, column: str, looks: dict[str, _Look], note: str) -> list[Finding]:
        pairs: list[tuple[str, int, int]] = []
        for split, look in looks.items():
            earlier = earlier_twins(look.hashes, look.vectors, bits=self.bits, least=self.correlation)
            pairs += [(split, int(look.numbers[i]), int(look.numbers[earlier[i]])) for i in np.flatnonzero(earlier >= 0)]
        if not pairs:
            return []
        counts = ", ".join(f"{sum(pair[0] == split for pair in pairs)} in {split}" for split in looks)
        return [
            Finding(
                name="near_pictures_within_a_split",
                severity="warning",
                count=len(pairs),
                of=sum(len(look.numbers) for look in looks.values()),
                what=f"{len(pairs):,} rows show in column '{column}' nearly the same picture as an earlier row of their split "
                f"({counts}){note}.",
                advice="Leave out the later copies: they weigh a picture more than once.",
                examples=[Example(row, f"looks like an earlier {split} row", beside) for split, row, beside in pairs[:MOST_EXAMPLES]],
                leave_out=[row for split, row, _ in pairs if split == "train"],
            )
        ]


def _look(view: View, column: str, places: dict[str, Rows]) -> dict[str, _Look]:
    """The pictures of each split; what all have in common is taken from their vectors."""
    seen = {}
    for split, chosen in places.items():
        grey = thumbnails(view, view.splits[split][chosen], column).grey
        shows = grey.std(axis=(1, 2)) >= FLAT
        vectors = unit(_coarse(grey[shows]))
        seen[split] = _Look(view.splits[split][chosen[shows]], view.targets[split][chosen[shows]], hashed(grey[shows]), vectors)
    # One of each hash: many copies of a picture would otherwise be what all have in common.
    hashes, vectors = np.concatenate([look.hashes for look in seen.values()]), np.concatenate([look.vectors for look in seen.values()])
    _, different = np.unique(hashes, return_index=True)
    common = vectors[different].mean(axis=0) if len(different) >= ENOUGH else 0
    return {split: _Look(look.numbers, look.targets, look.hashes, unit(look.vectors - common)) for split, look in seen.items()}


def _coarse(grey: npt.NDArray[np.uint8]) -> Floats:
    """(n, COARSE * COARSE) means of squares of grey values, less their mean."""
    step = SIDE // COARSE
    means = grey.reshape(len(grey), COARSE, step, COARSE, step).mean(axis=(2, 4), dtype=np.float32).reshape(len(grey), COARSE**2)
    centred: Floats = means - means.mean(axis=1, keepdims=True)
    return centred
