"""A bundle on new rows: predictions in a stream, and scores where the rows carry labels. The training data is not needed.

A few rows are predicted in numpy where the bundle has such a form: they are done before torch is imported. More are predicted in torch.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from tunesmith.core import bundle as bundles
from tunesmith.core.bundle import Bundle
from tunesmith.core.contracts import Prediction, Row
from tunesmith.core.errors import DataError, RowError, UnknownNameError, UsageError
from tunesmith.core.kinds import ENDINGS, FILE, PATHS, SHOWN
from tunesmith.data import latest
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.long import LongReader, Shape
from tunesmith.data.readers import TABLES, FilesReader, FolderReader, MemoryReader, Reader, ending_of
from tunesmith.data.sources import Part, open_source
from tunesmith.data.table import with_paths
from tunesmith.data.windows import told
from tunesmith.evaluate import reasons as reasons_of
from tunesmith.evaluate import streaming

Located = tuple[str, str]
"""File and place of a row."""

Runtime = Literal["auto", "torch", "numpy"]
FEW = 32
"""Rows up to which numpy is done before torch, whose loading takes some 5 s: MiniLM needs 0.01 to 0.12 s a text in numpy."""

REASON_ROWS = 256
"""Rows of a forward pass where one row is explained."""

T = TypeVar("T")


class Predictor:
    """A loaded bundle.

    Args:
        folder: the bundle.
        runtime: what predicts; `auto` is numpy for a few rows where the bundle has such a form, else torch.

    Attributes:
        remarks: what usable rows held that training never saw, with the number of such rows: categories that are new, say.

    Raises:
        BundleError: it is incomplete or altered.
        UsageError: numpy was asked for, and the bundle has no such form.
    """

    def __init__(self, folder: str | Path, runtime: Runtime = "auto") -> None:
        self.bundle: Bundle = bundles.load(Path(folder))
        self.remarks: Counter[str] = Counter()
        self.runtime = runtime
        if runtime == "numpy" and self.bundle.light is None:
            raise UsageError(f"the bundle {folder} has no form in numpy (plain BERT encoders have one); choose the runtime torch or auto")

    @property
    def labels(self) -> list[str]:
        """Names of the classes; empty where there are none."""
        return self.bundle.task.labels()

    def predict(self, inputs: Any, reasons: int = 0) -> list[Prediction]:
        """Predictions for rows, in their order.

        Args:
            inputs: texts or paths of pictures or sounds, mappings, a DataFrame, or one path of a table or folder.
            reasons: how many columns are named that speak most for a prediction (`evaluate/reasons.py`); 0 for none.

        Raises:
            DataError: a row cannot be used; use `stream` to be given the others.

        Example:
            `tunesmith.load("RUN/bundle").predict(["where is my card?"])[0]["label"]`
        """
        bad = BadRows()
        found = [prediction for _, _, prediction in self.stream(inputs, bad, reasons=reasons)]
        if bad.total:
            raise DataError(f"{bad.summary()}; `stream` predicts the other rows")
        return found

    def stream(self, inputs: Any, bad: BadRows, batch_size: int = 64, reasons: int = 0) -> Iterator[tuple[Located, Row, Prediction]]:
        """Predictions one by one in bounded memory; rows that cannot be used go to `bad`.

        Raises:
            UsageError: reasons were asked for, and the bundle has no typical row, or its task no single score.
        """
        found = self._predicted(self._usable(inputs, bad), batch_size)
        return self._reasoned(found, reasons) if reasons else found

    def _reasoned(self, found: Iterator[tuple[T, Row, Prediction]], count: int) -> Iterator[tuple[T, Row, Prediction]]:
        """The predictions, each with the columns that speak most for it."""
        bundle = self.bundle
        typical = bundle.backbone.typical()
        if typical is None:
            raise UsageError(f"--reasons compares a row with a typical one, and a bundle of {bundle.backbone.name} rows has none")
        for key, row, prediction in found:

            def score(rows: list[Row], prediction: Prediction = prediction) -> npt.NDArray[np.float64]:
                parts = streaming.outputs(bundle.model, bundle.task.predict, enumerate(rows), REASON_ROWS)
                scores = [bundle.task.score_of(outputs, prediction) for _, outputs in parts]
                if any(part is None for part in scores):
                    raise UsageError(f"--reasons explains one score a row, which the task {bundle.task.name} does not have")
                return np.concatenate([part for part in scores if part is not None])

            effects = reasons_of.effects(score, row, typical, bundle.backbone.columns)
            yield key, row, {**prediction, "reasons": reasons_of.told(effects, row, count)}

    def _predicted(self, rows: Iterator[tuple[T, Row]], batch_size: int = 64) -> Iterator[tuple[T, Row, Prediction]]:
        windows = self.bundle.backbone.over_time()
        if windows is not None:
            yield from ((key, row, {**told(windows, row), **item}) for key, row, item in self._said(rows, batch_size))
            return
        yield from self._said(rows, batch_size)

    def _said(self, rows: Iterator[tuple[T, Row]], batch_size: int) -> Iterator[tuple[T, Row, Prediction]]:
        first = list(itertools.islice(rows, FEW + 1)) if self.runtime == "auto" else []
        numpy = self.runtime == "numpy" or (self.runtime == "auto" and len(first) <= FEW)
        light = self.bundle.light if numpy else None
        every: Iterable[tuple[T, Row]] = itertools.chain(first, rows)
        if light is None:
            yield from streaming.predict(self.bundle.model, self.bundle.task, every, batch_size)
            return
        for key, row in every:
            yield key, row, light([row])[0]

    def _usable(self, inputs: Any, bad: BadRows, labels: Sequence[str] = ()) -> Iterator[tuple[Located, Row]]:
        columns = list(self.bundle.backbone.columns)
        paths = {spec.column: spec.kind for spec in self.bundle.backbone.input_spec() if spec.kind in PATHS}
        parts, windows = parts_of(inputs, columns, paths), self.bundle.backbone.over_time()
        rows = self._rows(parts, list(paths), bad, labels)
        if windows is not None and latest.of_time(parts, windows):
            rows = latest.rows(parts, windows, self.bundle.task, bad, bool(labels))
        for (file, where), row in rows:
            try:
                self.bundle.backbone.usable(row)
            except RowError as error:
                bad.add(file, where, str(error))
                continue
            self.remarks.update(self.bundle.backbone.unseen(row))
            yield (file, where), row

    def _rows(self, parts: Sequence[Part], paths: Sequence[str], bad: BadRows, labels: Sequence[str]) -> Iterator[tuple[Located, Row]]:
        columns = list(self.bundle.backbone.columns)
        for part in parts:
            first = True
            for where, row in self._put_together(part.reader, bool(labels)).rows(bad):
                missing = [column for column in columns if column not in row]
                if first and missing:
                    raise UnknownNameError(f"input column in {part.reader.label} called", missing[0], row)
                if first and labels and not set(labels) & set(row):
                    raise UnknownNameError(f"label column in {part.reader.label} called", labels[0], row)
                first = False
                yield (part.reader.label, where), with_paths(dict(row), part.reader.root, paths)

    def _put_together(self, reader: Reader, labelled: bool) -> Reader:
        """A reader of time points as one of series or windows, where that is what the bundle learned from; others as they are."""
        shape = Shape.stored(self.bundle.about.get("shape"))
        if shape is None:
            return reader
        first = next(reader.rows(BadRows()), None)
        if first is None or set(self.bundle.backbone.columns) & set(first[1]):
            return reader
        return LongReader(reader, shape, labelled)

    def evaluate(self, data: Any, bad: BadRows | None = None) -> dict[str, Any]:
        """Scores on labelled rows, in memory that does not grow with their number.

        Args:
            data: as for `predict`; the rows carry the label column(s) of the training data.
            bad: receives rows that cannot be used.
        """
        bad = bad if bad is not None else BadRows()
        task = self.bundle.task

        def labelled() -> Iterator[tuple[Any, Row]]:
            """Rows, each with its target as its key."""
            for place, row in self._usable(data, bad, task.settings()["label"]):
                try:
                    target = task.target(task.raw(row))
                    task.check(row, self.bundle.backbone)
                except RowError as error:
                    bad.add(*place, str(error))
                    continue
                yield target, row

        metrics = task.metrics()
        scored = streaming.score(metrics, self._predicted(labelled()), lambda target: target)
        if not sum(1 for _ in scored):
            raise DataError("no labelled row could be used" + (f"; {bad.summary()}" if bad.total else ""))
        return metrics.compute()


def parts_of(inputs: Any, columns: Sequence[str], paths: Mapping[str, str]) -> list[Part]:
    """What a person gave to be predicted, as readers.

    Args:
        inputs: as for `Predictor.predict`.
        columns: input columns.
        paths: those of them whose cells name files, with their kinds.
    """
    if isinstance(inputs, str | Path):
        inputs = [inputs]
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(item, str | Path) for item in inputs):
        return [_part(item, columns, paths) for item in inputs] if _are_paths(inputs, bool(paths)) else [Part(_values(inputs, columns))]
    if isinstance(inputs, list | tuple) and inputs and not isinstance(inputs[0], dict):
        return [Part(_values(inputs, columns))]
    return open_source(inputs).parts


def _are_paths(inputs: Sequence[Any], files: bool) -> bool:
    return files or all(isinstance(item, Path) or ending_of(Path(item)) in TABLES for item in inputs)


def _part(item: str | Path, columns: Sequence[str], paths: Mapping[str, str]) -> Part:
    path = Path(item)
    for column, kind in paths.items():
        if path.suffix.lower() in ENDINGS[kind]:
            if not path.is_file():
                raise DataError(f"the {FILE[kind]} {path} does not exist; check the name and the folder")
            return Part(FilesReader((path,), column, str(path.parent)))
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS[kind]) if path.is_dir() else []
        if found:
            return Part(FilesReader(tuple(found), column, str(path)))
    source = open_source(str(path))
    if len(source.parts) > 1:
        raise DataError(
            f"{path} holds several splits ({', '.join(p.reader.label for p in source.parts)}); name one of its files or folders"
        )
    part = source.parts[0]
    if isinstance(part.reader, FolderReader) and columns[0] != (kind := part.reader.kind):
        raise DataError(
            f"{path} is a folder of {SHOWN[kind]} per class, whose column is called {kind}; this bundle reads the column {columns[0]!r}"
        )
    return part


def _values(values: Sequence[Any], columns: Sequence[str]) -> Reader:
    if len(columns) > 1:
        raise DataError(f"this bundle reads several columns ({', '.join(columns)}); give mappings with these keys")
    return MemoryReader(lambda: ({columns[0]: value} for value in values), label="input")
