"""Whether rows of a table that are equal may be so by chance: grades from 1 to 10 repeat between people who never met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tunesmith.core.contracts import Row

COMMON = 5
"""Rows that share a cell, from which on sharing it is no sign of a copy."""


def by_chance(read: Callable[[], Iterable[Row]], equal: Iterable[Row], columns: Sequence[str]) -> bool:
    """Whether most of these rows hold nothing but cells that several rows of the table hold.

    Args:
        read: gives the rows of the table.
        equal: those that occur more than once.
        columns: whose cells are compared.

    Example:
        >>> table = [{"grade": str(i % 3), "weight": f"{i}.5"} for i in range(30)]
        >>> by_chance(lambda: table, table[:2], ["grade"]), by_chance(lambda: table, table[:2], ["grade", "weight"])
        (True, False)
    """
    counts: dict[str, Counter[Any]] = {column: Counter() for column in columns}
    for row in read():
        for column in columns:
            counts[column][row.get(column)] += 1
    rows = common = 0
    for row in equal:
        rows += 1
        common += all(counts[column][row.get(column)] >= COMMON for column in columns)
    return 2 * common > rows
