"""Predictions in a stream: rows in, predictions out in the same order, memory bounded whatever their number.

Within a window of many batches rows are sorted by size, so that texts are padded little; the window's order is then restored. A batch
holds so many rows, or so much work, whichever is less; one that does not fit memory is halved.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tunesmith.core import memory
from tunesmith.core.arrays import Outputs
from tunesmith.core.contracts import Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import require
from tunesmith.core.files import atomic
from tunesmith.core.work import batches

if TYPE_CHECKING:
    from tunesmith.core.model import Model

WINDOW = 16  # batches
PACKED_FROM = 64
"""Rows from which reordering the weights is won back."""

T = TypeVar("T")


def outputs(
    model: Model, of: Callable[[Model, Batch], Outputs], rows: Iterable[tuple[T, Row]], batch_size: int = 64
) -> Iterator[tuple[list[tuple[T, Row]], Outputs]]:
    """Outputs of the model for rows, a window of them at a time.

    Args:
        model: in evaluation mode while a window is computed; its mode is put back.
        of: what is asked of the model for a batch, such as `Task.predict`.
        rows: (anything that goes with the row, the row), usable ones only.
        batch_size: rows of a forward pass.

    Returns:
        The window's rows in their order, and their outputs.
    """
    iterator = iter(rows)
    while window := list(itertools.islice(iterator, WINDOW * batch_size)):
        yield window, _window(model, of, [row for _, row in window], batch_size)


def predict(model: Model, task: Task, rows: Iterable[tuple[T, Row]], batch_size: int = 64) -> Iterator[tuple[T, Row, Prediction]]:
    """Predictions for rows: what `outputs` gives, decoded by the task."""
    for window, found in outputs(model, task.predict, rows, batch_size):
        for (key, row), prediction in zip(window, task.decode(found), strict=True):
            yield key, row, prediction


def _window(model: Model, of: Callable[[Model, Batch], Outputs], rows: list[Row], batch_size: int) -> Outputs:
    from tunesmith.core.packed import packed

    sizes = model.backbone.sizes(rows)
    order = np.argsort(-sizes, kind="stable")
    waiting = batches(sizes[order], batch_size)[::-1]
    found: Outputs | None = None
    before = model.training
    model.eval()
    try:
        with packed(model.network) if len(rows) >= PACKED_FROM else contextlib.nullcontext():
            while waiting:
                part = waiting.pop()
                given = _outputs(model, of, [rows[i] for i in order[part]])
                if given is None:  # too large for memory
                    middle = (part.start + part.stop) // 2
                    waiting += [slice(middle, part.stop), slice(part.start, middle)]
                    continue
                if found is None:
                    found = np.empty((len(rows), *given.shape[1:]), given.dtype)
                found[order[part]] = given
    finally:
        model.train(before)
    assert found is not None
    return found


def _outputs(model: Model, of: Callable[[Model, Batch], Outputs], rows: list[Row]) -> Outputs | None:
    """Outputs of the model; None where memory does not suffice for more than one row at once."""
    import torch

    from tunesmith.core.model import to_device

    try:
        with torch.inference_mode():
            inputs = model.backbone.collate([model.backbone.encode(row) for row in rows])
            batch: Batch = {"inputs": to_device(inputs, next(model.parameters()).device)}
            return of(model, batch)
    except (RuntimeError, MemoryError) as error:
        if not memory.ran_out(error) or len(rows) == 1:
            raise
    return None


class PredictionFile(AbstractContextManager["PredictionFile"]):
    """A Parquet file that predictions are written to, group by group; it appears when it is complete.

    Args:
        path: the file.
        group: rows of a group.
        like: a prediction with nothing left empty, where its lists may be: what they hold is read off it.
    """

    def __init__(self, path: Path, group: int = 1024, like: Prediction | None = None) -> None:
        self.arrow = require("pyarrow", "writing predictions")
        self.parquet = require("pyarrow.parquet", "writing predictions")
        self.target = atomic(path)
        self.group, self.like = group, like or {}
        self.waiting: list[dict[str, Any]] = []
        self.writer: Any = None

    def __enter__(self) -> PredictionFile:
        self.path = self.target.__enter__()
        return self

    def write(self, record: dict[str, Any]) -> None:
        """Add a record; all records have the same keys."""
        self.waiting.append(record)
        if len(self.waiting) >= self.group:
            self._flush()

    def _known(self, kind: Any) -> Any:
        if str(kind) == "null":
            return self.arrow.string()
        return self.arrow.list_(self.arrow.string()) if str(kind).endswith(": null>") and str(kind).startswith("list") else kind

    def _flush(self) -> None:
        if not self.waiting:
            return
        if self.writer is None:
            table = self.arrow.Table.from_pylist(self.waiting)
            told = self.arrow.Table.from_pylist([self.like]).schema if self.like else self.arrow.schema([])
            # a first group of empty lists does not tell what they hold
            kinds = [(f.name, told.field(f.name).type if f.name in told.names else self._known(f.type)) for f in table.schema]
            table = table.cast(self.arrow.schema(kinds))
            self.writer = self.parquet.ParquetWriter(self.path, table.schema)
        else:
            table = self.arrow.Table.from_pylist(self.waiting, schema=self.writer.schema)
        self.writer.write_table(table)
        self.waiting = []

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self._flush()
            if self.writer is None:
                self.parquet.write_table(self.arrow.table({}), self.path)
        if self.writer is not None:
            self.writer.close()
        self.target.__exit__(kind, error, trace)


def score(
    metrics: Metrics, predicted: Iterable[tuple[T, Row, Prediction]], target_of: Callable[[T], Any], group: int = 256
) -> Iterator[tuple[T, Row, Prediction]]:
    """Pass predictions through, updating `metrics` with the target that goes with each key."""
    iterator = iter(predicted)
    while part := list(itertools.islice(iterator, group)):
        metrics.update([prediction for _, _, prediction in part], [target_of(key) for key, _, _ in part])
        yield from part


def evaluate(
    model: Model, task: Task, rows: Iterable[tuple[T, Row]], target_of: Callable[[T], Any], batch_size: int = 64
) -> dict[str, Any]:
    """Scores of the model as it stands."""
    metrics = task.metrics()
    for _ in score(metrics, predict(model, task, rows, batch_size), target_of):
        pass
    return metrics.compute()
