"""Predictions in a stream: rows in, predictions out in the same order, memory bounded whatever their number.

Within a window of many batches rows are sorted by size, so that texts are padded little; the window's order is then restored.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunesmith.core.contracts import Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import require
from tunesmith.core.files import atomic

if TYPE_CHECKING:
    from tunesmith.core.model import Model

WINDOW = 16  # batches

T = TypeVar("T")


def predict(model: Model, task: Task, rows: Iterable[tuple[T, Row]], batch_size: int = 64) -> Iterator[tuple[T, Row, Prediction]]:
    """Predictions for rows.

    Args:
        model: in evaluation mode during the call; its mode is put back.
        task: decodes the outputs.
        rows: (anything that goes with the row, the row), usable ones only.
        batch_size: rows of a forward pass.
    """
    iterator = iter(rows)
    while window := list(itertools.islice(iterator, WINDOW * batch_size)):
        yield from _window(model, task, window, batch_size)


def _window(model: Model, task: Task, window: list[tuple[T, Row]], batch_size: int) -> list[tuple[T, Row, Prediction]]:
    import torch

    from tunesmith.core.model import to_device

    device = next(model.parameters()).device
    order = sorted(range(len(window)), key=lambda i: -model.backbone.size_of_row(window[i][1]))
    found: list[Prediction] = [{} for _ in window]
    before = model.training
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            inputs = model.backbone.collate([model.backbone.encode(window[i][1]) for i in chosen])
            batch: Batch = {"inputs": to_device(inputs, device)}
            outputs = model(batch).float().cpu().numpy()
            for i, prediction in zip(chosen, task.decode(outputs), strict=True):
                found[i] = prediction
    model.train(before)
    return [(key, row, prediction) for (key, row), prediction in zip(window, found, strict=True)]


class PredictionFile(AbstractContextManager["PredictionFile"]):
    """A Parquet file that predictions are written to, group by group; it appears when it is complete.

    Args:
        path: the file.
        group: rows of a group.
    """

    def __init__(self, path: Path, group: int = 1024) -> None:
        self.arrow = require("pyarrow", "writing predictions")
        self.parquet = require("pyarrow.parquet", "writing predictions")
        self.target = atomic(path)
        self.group = group
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
            kinds = [(f.name, self._known(f.type)) for f in table.schema]  # a first group of empty lists does not tell what they hold
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
