"""What hurts forecasts in the numbers themselves: columns that stand still, numbers that are missing, levels that moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.cells import is_number
from tunesmith.core.findings import Example, Finding, Inspection, View


@final
@dataclass(frozen=True)
class TimePoints(Inspection):
    """Constant columns, missing numbers and moved levels of series that are forecast."""

    name: ClassVar[str] = "time_points"
    answers: ClassVar[tuple[str, ...]] = ("series",)
    missing: float = field(default=0.05, metadata={"help": "share of missing numbers of a column from which that is a warning"})
    moved: float = field(default=2.0, metadata={"help": "training standard deviations by which a level may move before it is a warning"})

    def __post_init__(self) -> None:
        if not 0 < self.missing < 1:
            raise ValueError("field 'missing' is a share between 0 and 1")
        if self.moved <= 0:
            raise ValueError("field 'moved' must be above 0")

    def applies(self, view: View) -> str | None:
        return None if view.of_kind("series") else "there are no series"

    def inspect(self, view: View) -> list[Finding]:
        columns = view.of_kind("series")
        train = _numbers(view, "train", columns)
        return [
            *self._still(view, columns, train),
            *self._missing(view, columns, train),
            *self._moved(columns, train, _numbers(view, "test", columns)),
        ]

    def _still(self, view: View, columns: list[str], train: npt.NDArray[np.float64]) -> Iterator[Finding]:
        """Columns that hold one number in all training rows."""
        still = [name for at, name in enumerate(columns) if _known(train[:, at]).size and np.ptp(_known(train[:, at])) == 0]
        if not still:
            return
        forecast = [name for name in still if name in view.label]
        yield Finding(
            "constant_series",
            "warning",
            len(still),
            len(columns),
            f"{_listed(still)} {'hold' if len(still) > 1 else 'holds'} the same number in every training row",
            f"leave {'them' if len(still) > 1 else 'it'} out of --{'label' if forecast else 'inputs'}: what never changes teaches nothing",
            [Example(None, name) for name in still[:5]],
        )

    def _missing(self, view: View, columns: list[str], train: npt.NDArray[np.float64]) -> Iterator[Finding]:
        shares = {name: float(np.isnan(train[:, at]).mean()) for at, name in enumerate(columns)}
        gone = {name: share for name, share in shares.items() if share > 0}
        if gone:
            worst = max(gone.values())
            yield Finding(
                "missing_numbers",
                "warning" if worst >= self.missing else "info",
                int(np.isnan(train).any(axis=1).sum()),
                len(train),
                "numbers are missing in "
                + ", ".join(f"{name} ({share:.1%})" for name, share in sorted(gone.items(), key=lambda i: -i[1])[:5]),
                "they are told to the network as missing and are not scored; fill them yourself where you know better",
            )

    def _moved(self, columns: list[str], train: npt.NDArray[np.float64], test: npt.NDArray[np.float64]) -> Iterator[Finding]:
        """Columns whose mean lies elsewhere in the test part."""
        moved = {}
        for at, name in enumerate(columns):
            before, after = _known(train[:, at]), _known(test[:, at])
            if before.size and after.size and np.ptp(before) > 0:
                away = float((after.mean() - before.mean()) / before.std())
                if abs(away) >= self.moved:
                    moved[name] = away
        if moved:
            yield Finding(
                "moved_level",
                "warning",
                len(moved),
                len(columns),
                "the test part lies elsewhere than the training part: "
                + ", ".join(f"{name} by {away:+.1f} standard deviations" for name, away in list(moved.items())[:5]),
                "windows are put to their own level, so forecasts follow; look at the measured coverage of the intervals",
            )


def _numbers(view: View, split: str, columns: list[str]) -> npt.NDArray[np.float64]:
    """(rows, columns) of the table at the rows of a split; NaN where there is no number."""
    rows = view.splits[split]
    found = np.full((len(rows), len(columns)), np.nan)
    for place, row in enumerate(view.raw(rows, columns)):
        found[place] = [_number(row[name]) for name in columns]
    return found


def _number(cell: Any) -> float:
    return float(cell) if cell is not None and is_number(str(cell)) else np.nan


def _known(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values[np.isfinite(values)]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"'{name}'" for name in names[:5]) + more
