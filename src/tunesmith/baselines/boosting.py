"""Gradient-boosted trees on the numbers, categories and dates of a table, as they stand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._cells import NO_TABLE, cells, codes_of, numbers_of
from tunesmith.baselines._kinds import drawn, picked, validated
from tunesmith.core.cells import DATE_PARTS
from tunesmith.core.contracts import Row
from tunesmith.core.errors import DataError
from tunesmith.core.outcomes import Baseline, Given, Said

MOST_ROWS = 200_000
MOST_CATEGORIES = 250
"""The trees take 255; rarer ones count as missing."""
Doubles = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class Boosting(Baseline):
    """Gradient-boosted trees on the columns that hold numbers, categories and dates."""

    name: ClassVar[str] = "boosting"
    needs: ClassVar[tuple[str, ...]] = ("sklearn.ensemble",)
    rounds: int = field(default=200, metadata={"help": "most rounds of boosting; validation ends it earlier"})
    lr: float = field(default=0.1, metadata={"help": "share of each tree that is added"})

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError("field 'rounds' must be at least 1")
        if self.lr <= 0:
            raise ValueError("field 'lr' must be above 0")

    def fits(self, given: Given) -> str | None:
        return None if cells(given) else NO_TABLE

    def said(self, given: Given) -> Said:
        places, note = drawn(given, MOST_ROWS)
        rows = list(picked(given.rows("train"), places))
        columns = cells(given)
        codes = {column: codes_of(rows, column, MOST_CATEGORIES) for column, found in columns.items() if found == "category"}
        x = {"train": _values(rows, columns, codes)}
        x |= {split: _values(list(given.rows(split)), columns, codes) for split in ("validation", "test")}
        truth = {"train": given.truth["train"][places], "validation": given.truth.get("validation", np.empty(0))}
        categorical = [found == "category" for found in columns.values() for _ in range(len(DATE_PARTS) if found == "date" else 1)]
        if given.answers == "labels":
            found = [self._fitted(given, x, {s: y[:, i] for s, y in truth.items() if len(y)}, categorical) for i in range(given.classes)]
            test, validation = np.stack([part[0][:, 1] for part in found], axis=1), np.stack([part[1][:, 1] for part in found], axis=1)
            return Said(test, validation, sum(part[2] for part in found), note)
        test, validation, learned = self._fitted(given, x, truth, categorical)
        return Said(test, validation, learned, note)

    def _fitted(
        self, given: Given, x: dict[str, Doubles], truth: dict[str, npt.NDArray[Any]], categorical: list[bool]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], int]:
        """What is said of test and validation rows, and how many leaves at most were learned."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        numbers = given.answers == "numbers"
        outputs = 1 if numbers else 2 if given.answers == "labels" else given.classes
        present = np.unique(truth["train"])
        if len(present) == 1:
            if given.answers == "labels":
                test, validation = (np.eye(2, dtype=np.float32)[np.full(len(x[s]), int(present[0]))] for s in ("test", "validation"))
                return test, validation, 1
            raise DataError("all rows that it would learn from have the same label")
        options = {"max_iter": self.rounds, "learning_rate": self.lr, "categorical_features": categorical, "random_state": given.seed}
        usable = np.ones(len(truth.get("validation", ())), bool) if numbers else np.isin(truth.get("validation", ()), present)
        seen = validated(given) and bool(usable.any())
        against = {"X_val": x["validation"][usable], "y_val": truth["validation"][usable]} if seen else {}
        model = (HistGradientBoostingRegressor if numbers else HistGradientBoostingClassifier)(early_stopping=seen, **options)
        model.fit(x["train"], truth["train"], **against)

        def said(values: Doubles) -> npt.NDArray[np.float32]:
            result = np.zeros((len(values), outputs), np.float32)
            if len(values):
                result[:, [0] if numbers else present.astype(int)] = (
                    model.predict(values)[:, None] if numbers else model.predict_proba(values)
                )
            return result

        return said(x["test"]), said(x["validation"]), model.n_iter_ * model.n_trees_per_iteration_ * model.max_leaf_nodes


def _values(rows: list[Row], columns: dict[str, str], codes: dict[str, dict[str, int]]) -> Doubles:
    """(rows, values); NaN where a value is missing, no number, or a category that training did not see."""
    parts = []
    for column, found in columns.items():
        if found == "category":
            known = codes[column]
            parts.append(np.asarray([known.get(str(row.get(column)).strip(), math.nan) for row in rows], np.float64)[:, None])
        else:
            parts.append(numbers_of(rows, column, found))
    return np.concatenate(parts, axis=1)
