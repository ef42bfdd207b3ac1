"""What the baselines on DNA share: its sequences, cleaned."""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith.core.dna import read_strand
from tunesmith.core.outcomes import Given

MOST_ROWS = 50_000
PART = 4096
"""Rows that are predicted at once."""


def strands(given: Given, split: str) -> Iterator[str]:
    """The letters of each row; of several columns one after the other."""
    columns = [column for column, kind in given.inputs.items() if kind == "dna"]
    for row in given.rows(split):
        yield "".join(read_strand(row[column], column).letters for column in columns if row.get(column))


def equal_length(given: Given) -> int:
    """Letters of every sequence of training; 0 where they differ."""
    found = 0
    for letters in strands(given, "train"):
        if found and len(letters) != found:
            return 0
        found = len(letters)
    return found
