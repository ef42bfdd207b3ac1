"""What the bare pixels tell: small pictures, their principal components, and a linear model on those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._kinds import drawn, parts_of, picked
from tunesmith.baselines._linear import NEEDS, Matrix, chosen
from tunesmith.core.arrays import Floats
from tunesmith.core.contracts import Row
from tunesmith.core.kinds import is_empty
from tunesmith.core.outcomes import Baseline, Given, Said
from tunesmith.core.pictures import read_picture
from tunesmith.core.threads import one_thread

MOST_ROWS = 10_000
PART = 1024
"""Rows that are predicted at once."""


@final
@dataclass(frozen=True)
class Pixels(Baseline):
    """Principal components of pictures of 32 x 32 pixels with logistic or ridge regression."""

    name: ClassVar[str] = "pixels"
    needs: ClassVar[tuple[str, ...]] = ("PIL.Image", "PIL.ImageOps", "sklearn.decomposition", *NEEDS)
    side: int = field(default=32, metadata={"help": "pixels that a side of a picture is shrunk to"})
    components: int = field(default=100, metadata={"help": "principal components of the pixels that are used"})
    strengths: tuple[float, ...] = field(
        default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0), metadata={"help": "C, the inverse of the penalty; validation chooses from these"}
    )

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ValueError("field 'side' must be at least 1")
        if self.components < 1:
            raise ValueError("field 'components' must be at least 1")
        if not self.strengths or min(self.strengths) <= 0:
            raise ValueError("field 'strengths' must hold numbers above 0")

    def fits(self, given: Given) -> str | None:
        return None if "image" in given.inputs.values() else "there are no pictures"

    def said(self, given: Given) -> Said:
        from sklearn.decomposition import PCA

        places, note = drawn(given, MOST_ROWS)
        columns = [column for column, kind in given.inputs.items() if kind == "image"]
        pictures = np.concatenate(list(self._pixels(picked(given.rows("train"), places), columns)))
        grey = bool((pictures == pictures[..., :1]).all())
        values = _flat(pictures, grey)
        components = min(self.components, *values.shape)
        with one_thread():
            reduced = PCA(components, whiten=True, svd_solver="randomized", random_state=given.seed).fit(values)

        def parts(split: str) -> Iterator[Matrix]:
            for some in self._pixels(given.rows(split), columns):
                yield reduced.transform(_flat(some, grey))

        said = chosen(given, places, reduced.transform(values), parts, self.strengths)
        remarks = (f"{components} components of {'grey' if grey else 'coloured'} pixels", said.note, note)
        learned = said.learned + (components + 1) * values.shape[1]
        return replace(said, learned=learned, note="; ".join(part for part in remarks if part))

    def _pixels(self, rows: Iterator[Row], columns: list[str]) -> Iterator[npt.NDArray[np.uint8]]:
        """(PART rows, columns, side, side, 3) at a time."""
        for some in parts_of(rows, PART):
            yield np.stack([np.stack([self._small(row, column) for column in columns]) for row in some])

    def _small(self, row: Row, column: str) -> npt.NDArray[np.uint8]:
        """(side, side, 3); black where there is no picture."""
        from PIL import Image

        if is_empty(row.get(column), "image"):
            return np.zeros((self.side, self.side, 3), np.uint8)
        return np.asarray(read_picture(row.get(column), column).resize((self.side, self.side), Image.Resampling.BILINEAR))


def _flat(pictures: npt.NDArray[np.uint8], grey: bool) -> Floats:
    """(rows, values) between 0 and 1."""
    values = pictures[..., :1] if grey else pictures
    flat: Floats = values.reshape(len(values), -1).astype(np.float32) / np.float32(255)
    return flat
