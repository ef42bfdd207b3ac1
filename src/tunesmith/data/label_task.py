"""The task that a label column makes, read off all of its values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tunesmith.core.cells import is_number, split_labels
from tunesmith.core.errors import DataError
from tunesmith.data.table import Table

LABEL_NAMES = ("label", "labels", "target", "class", "category", "intent", "sentiment", "y", "tags", "diagnosis", "topic", "outcome")
"""What a label column is called."""

PARTS = 1 << 16
"""Labels of lists that are counted at most."""


def task_of(table: Table, label: list[str]) -> tuple[str, str]:
    """The task that a label column makes, and why.

    Raises:
        DataError: the column names rows instead of classes, or holds one value.
    """
    if len(label) > 1:
        return "multilabel", f"{len(label)} label columns"
    found = _look(table, label[0])
    if not found.rows:
        raise DataError(f"label column '{label[0]}' is empty in every row; name another with --label COLUMN")
    first = found.first
    if found.count == 1:
        raise DataError(
            f"label column '{label[0]}' holds one class only ({first[0]!r} in all {found.rows} rows); there is nothing to tell apart. "
            "Add rows of other classes, or name another column with --label"
        )
    if found.numbers and (not found.whole or (found.count > 20 and found.count > 0.05 * found.rows)):
        return "regression", f"column '{label[0]}' holds {found.count} different numbers"
    if found.commas > 0.5 * found.count:
        raise DataError(
            f"label column '{label[0]}' holds numbers with a decimal comma ({found.comma!r}); "
            f"write them with a point ({found.comma.replace(',', '.')!r})"
        )
    if found.count > 0.5 * found.rows and found.letters > 80 * found.count:
        raise DataError(
            f"label column '{label[0]}' holds texts, not labels ({first[0][:60]!r} ...); "
            "name the label column with --label, the texts with --inputs"
        )
    if found.listed and (len(found.parts) < found.count or found.listed > 0.2 * found.count):
        return "multilabel", f"column '{label[0]}' holds lists of labels ({found.example!r})"
    if found.count == found.rows and found.rows > 2:
        raise DataError(
            f"label column '{label[0]}' has a different value in each of its {found.rows} rows ({first[0]!r}, {first[1]!r}, ...): it names "
            "rows, not classes. Name the right column with --label; for numbers to predict use --task regression"
        )
    return "classification", f"column '{label[0]}' holds {found.count} classes"


@dataclass
class _Seen:
    """What the different values of a label column are like: none of them is kept but the first ones and the labels of lists."""

    rows: int
    count: int = 0
    numbers: bool = True
    whole: bool = True
    commas: int = 0
    comma: str = ""
    letters: int = 0
    listed: int = 0
    example: str = ""
    first: list[str] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)

    def add(self, value: str) -> None:
        self.count += 1
        if len(self.first) < 2:
            self.first.append(value)
        self.letters += len(value)
        self.numbers = self.numbers and is_number(value)
        self.whole = self.whole and self.numbers and float(value).is_integer()
        if re.fullmatch(r"-?\d+,\d+", value):
            self.commas += 1
            self.comma = self.comma or value
        if value.startswith("[") or "|" in value or ";" in value:
            self.listed += 1
            self.example = self.example or value
        if len(self.parts) < PARTS:
            self.parts.update(split_labels(value))


def _look(table: Table, column: str) -> _Seen:
    whole = table.whole(column)
    found = _Seen(len(whole) - whole.null_count)
    different = whole.unique()
    for start in range(0, len(different), 1024):
        for value in different.slice(start, 1024).to_pylist():
            if value is not None:
                found.add(str(value))
    return found
