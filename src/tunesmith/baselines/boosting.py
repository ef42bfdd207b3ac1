"""Gradient-boosted trees on the numbers and categories of a table, as they stand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._kinds import drawn, picked, validated
from tunesmith.core.contracts import Row
from tunesmith.core.errors import DataError
from tunesmith.core.outcomes import Baseline, Given, Said

MOST_ROWS = 200_000
MOST_CATEGORIES = 250
"""The trees take 255; rarer ones count as missing."""
KINDS = ("number", "category")
Doubles = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class Boosting(Baseline):
    """Gradient-boosted trees on the columns that hold numbers and categories."""

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
        return None if set(KINDS) & set(given.inputs.values()) else "there are no columns of numbers or categories"

    def said(self, given: Given) -> Said:
        places, note = drawn(given, MOST_ROWS)
        columns = {column: found for column, found in given.inputs.items() if found in KINDS}
        rows = list(picked(given.rows("train"), places))
        codes = {column: _codes(rows, column) for column, found in columns.items() if found == "category"}
        x = {"train": _values(iter(rows), columns, codes)}
        x |= {split: _values(given.rows(split), columns, codes) for split in ("validation", "test")}
        truth = {"train": given.truth["train"][places], "validation": given.truth.get("validation", np.empty(0))}
        categorical = [found == "category" for found in columns.values()]
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


def _codes(rows: list[Row], column: str) -> dict[str, int]:
    """Numbers of the most frequent categories."""
    counts = Counter(str(row.get(column)) for row in rows if row.get(column) not in (None, ""))
    return {category: number for number, (category, _) in enumerate(counts.most_common(MOST_CATEGORIES))}


def _values(rows: Iterator[Row], columns: dict[str, str], codes: dict[str, dict[str, int]]) -> Doubles:
    """(rows, columns); NaN where a value is missing, no number, or a category that training did not see."""
    values = [[codes[c].get(str(row.get(c)), math.nan) if c in codes else _number(row.get(c)) for c in columns] for row in rows]
    return np.asarray(values, np.float64).reshape(len(values), len(columns))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
