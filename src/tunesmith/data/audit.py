"""Reads every row's label and inputs once (a picture fully), so that nothing surprises the training loop an hour later.

Texts are checked in this thread, as Python would not check two at once; pictures are decoded in several.
"""

from __future__ import annotations

import contextlib
import itertools
from array import array
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Backbone, Task
from tunesmith.core.errors import OutputError, RowError
from tunesmith.core.feature_store import Writer
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.labels import Collector, Labels, Rows
from tunesmith.data.ready import ReadyRows, key_of
from tunesmith.data.table import Table, note_bad

WINDOW = 64
"""Rows whose pictures are decoded at once."""


@dataclass(frozen=True, eq=False)
class Audited:
    """What is known of the usable rows.

    Attributes:
        rows: (n,) their numbers.
        labels: (n,) their raw labels.
        marks: (n,) a number that tells their inputs apart: equal inputs have equal ones.
    """

    rows: Rows
    labels: Labels
    marks: Rows

    def take(self, keep: npt.NDArray[np.bool_]) -> Audited:
        """Those for which `keep` is true."""
        return self if keep.all() else Audited(self.rows[keep], self.labels.take(np.flatnonzero(keep)), self.marks[keep])


@dataclass(frozen=True)
class _Seen:
    """What came of one row."""

    number: int
    raw: Any = None
    mark: int = 0
    remark: str | None = None
    made: Any = ()
    error: RowError | None = None


def audit(table: Table, task: Task, backbone: Backbone, bad: BadRows, pictures: ReadyRows | None = None, threads: int = 2) -> Audited:
    """Check the label and the input of every row; those that cannot be used are reported.

    Args:
        table: the rows.
        task: reads the labels.
        backbone: checks the inputs.
        bad: receives unusable rows.
        pictures: keeps the pictures that are decoded.
        threads: how many decode pictures.
    """

    def look(item: tuple[int, dict[str, Any]]) -> _Seen:
        number, row = item
        try:
            raw = task.raw(row)
            remark, made = (backbone.check(row), []) if pictures is None else pictures.look(number, row, backbone)
            remark = task.check(row, backbone) or remark
        except RowError as error:
            return _Seen(number, error=error)
        return _Seen(number, raw, hash(tuple(told(number, column, row[column]) for column in backbone.columns)), remark, made)

    def told(number: int, column: str, value: Any) -> Any:
        """What tells an input apart: of a file the checksum of its bytes."""
        if column not in table.path_columns:
            return value
        kept = pictures is not None and column in pictures.columns
        return pictures.keys[number, pictures.columns.index(column)].tobytes() if pictures is not None and kept else key_of(value)

    remarks: Counter[str] = Counter()
    rows, marks, labels = array("q"), array("q"), Collector()
    with _writing(pictures) as writer:
        for seen in _looked(table, look, threads if table.path_columns else 0):
            if seen.error is not None:
                note_bad(table, seen.number, seen.error, bad)
                continue
            if seen.remark is not None:
                remarks[seen.remark] += 1
            if pictures is not None and writer is not None:
                pictures.keep(writer, seen.made)
            rows.append(seen.number)
            marks.append(seen.mark)
            labels.add(seen.raw)
    table.notes.extend(f"{count} row(s): {remark}" for remark, count in remarks.items())
    return Audited(_numbers(rows), labels.labels(), _numbers(marks))


def _looked(table: Table, look: Any, threads: int) -> Iterator[_Seen]:
    numbered = zip(range(len(table)), table.rows(range(len(table))), strict=True)
    if not threads:
        yield from map(look, numbered)
        return
    with ThreadPoolExecutor(threads) as pool:
        while window := list(itertools.islice(numbered, WINDOW)):
            yield from pool.map(look, window)


@contextlib.contextmanager
def _writing(pictures: ReadyRows | None) -> Iterator[Writer | None]:
    """A writer for pictures where they are kept; that it cannot write is noted and stops nothing."""
    if pictures is None:
        yield None
        return
    try:
        writer = pictures.store.writer().__enter__()
    except OutputError as error:
        pictures.stopped = str(error)
        yield None
        return
    done = False
    try:
        yield writer
        done = True
    finally:
        try:
            writer.__exit__(None if done else RuntimeError, None, None)
        except OutputError as error:
            pictures.stopped = str(error)


def _numbers(values: array[int]) -> Rows:
    return np.frombuffer(values, np.int64) if values else np.empty(0, np.int64)
