"""A bundle on new rows: predictions in a stream, and scores where the rows carry labels. The training data is not needed.

A few rows are predicted in numpy where the bundle has such a form: they are done before torch is imported. More are predicted in torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from tunesmith.core import bundle as bundles
from tunesmith.core.bundle import Bundle
from tunesmith.core.contracts import Prediction, Row
from tunesmith.core.errors import DataError, RowError, UnknownNameError, UsageError
from tunesmith.core.kinds import PICTURES
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.readers import FolderReader, MemoryReader, PicturesReader, Reader
from tunesmith.data.sources import Part, open_source
from tunesmith.data.table import with_paths
from tunesmith.evaluate import streaming

Located = tuple[str, str]
"""File and place of a row."""

Runtime = Literal["auto", "torch", "numpy"]
FEW = 32
"""Rows up to which numpy is done before torch, whose loading takes some 5 s: MiniLM needs 0.01 to 0.12 s a text in numpy."""

T = TypeVar("T")


class Predictor:
    """A loaded bundle.

    Args:
        folder: the bundle.
        runtime: what predicts; `auto` is numpy for a few rows where the bundle has such a form, else torch.

    Raises:
        BundleError: it is incomplete or altered.
        UsageError: numpy was asked for, and the bundle has no such form.
    """

    def __init__(self, folder: str | Path, runtime: Runtime = "auto") -> None:
        self.bundle: Bundle = bundles.load(Path(folder))
        self.runtime = runtime
        if runtime == "numpy" and self.bundle.light is None:
            raise UsageError(f"the bundle {folder} has no form in numpy (plain BERT encoders have one); choose the runtime torch or auto")

    @property
    def labels(self) -> list[str]:
        """Names of the classes; empty where there are none."""
        return self.bundle.task.labels()

    def predict(self, inputs: Any) -> list[Prediction]:
        """Predictions for rows, in their order.

        Args:
            inputs: texts or paths of pictures, mappings, a DataFrame, or one path of a table or folder.

        Raises:
            DataError: a row cannot be used; use `stream` to be given the others.

        Example:
            `tunesmith.load("RUN/bundle").predict(["where is my card?"])[0]["label"]`
        """
        bad = BadRows()
        found = [prediction for _, _, prediction in self.stream(inputs, bad)]
        if bad.total:
            raise DataError(f"{bad.summary()}; `stream` predicts the other rows")
        return found

    def stream(self, inputs: Any, bad: BadRows, batch_size: int = 64) -> Iterator[tuple[Located, Row, Prediction]]:
        """Predictions one by one in bounded memory; rows that cannot be used go to `bad`."""
        return self._predicted(self._usable(inputs, bad), batch_size)

    def _predicted(self, rows: Iterator[tuple[T, Row]], batch_size: int = 64) -> Iterator[tuple[T, Row, Prediction]]:
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
        for (file, where), row in self._rows(inputs, bad, labels):
            try:
                self.bundle.backbone.usable(row)
            except RowError as error:
                bad.add(file, where, str(error))
                continue
            yield (file, where), row

    def _rows(self, inputs: Any, bad: BadRows, labels: Sequence[str]) -> Iterator[tuple[Located, Row]]:
        columns = list(self.bundle.backbone.columns)
        pictures = [spec.column for spec in self.bundle.backbone.input_spec() if spec.kind == "image"]
        for part in parts_of(inputs, columns, bool(pictures)):
            first = True
            for where, row in part.reader.rows(bad):
                missing = [column for column in columns if column not in row]
                if first and missing:
                    raise UnknownNameError(f"input column in {part.reader.label} called", missing[0], row)
                if first and labels and not set(labels) & set(row):
                    raise UnknownNameError(f"label column in {part.reader.label} called", labels[0], row)
                first = False
                yield (part.reader.label, where), with_paths(dict(row), part.reader.root, pictures)

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
                except RowError as error:
                    bad.add(*place, str(error))
                    continue
                yield target, row

        metrics = task.metrics()
        scored = streaming.score(metrics, self._predicted(labelled()), lambda target: target)
        if not sum(1 for _ in scored):
            raise DataError("no labelled row could be used" + (f"; {bad.summary()}" if bad.total else ""))
        return metrics.compute()


def parts_of(inputs: Any, columns: Sequence[str], pictures: bool) -> list[Part]:
    """What a person gave to be predicted, as readers.

    Args:
        inputs: as for `Predictor.predict`.
        columns: input columns.
        pictures: whether one of them holds pictures; the first then is the one that files and folders of pictures fill.
    """
    if isinstance(inputs, str | Path):
        inputs = [inputs]
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(item, str | Path) for item in inputs):
        return [_part(item, columns, pictures) for item in inputs] if _are_paths(inputs, pictures) else [Part(_values(inputs, columns))]
    if isinstance(inputs, list | tuple) and inputs and not isinstance(inputs[0], dict):
        return [Part(_values(inputs, columns))]
    return open_source(inputs).parts


def _are_paths(inputs: Sequence[Any], pictures: bool) -> bool:
    return pictures or all(
        isinstance(item, Path) or Path(item).suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet") for item in inputs
    )


def _part(item: str | Path, columns: Sequence[str], pictures: bool) -> Part:
    path = Path(item)
    if pictures and path.suffix.lower() in PICTURES:
        if not path.is_file():
            raise DataError(f"the picture {path} does not exist; check the name and the folder")
        return Part(PicturesReader((path,), columns[0], str(path.parent)))
    if pictures and path.is_dir() and any(p.suffix.lower() in PICTURES for p in path.iterdir()):
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
        return Part(PicturesReader(tuple(found), columns[0], str(path)))
    source = open_source(str(path))
    if len(source.parts) > 1:
        raise DataError(
            f"{path} holds several splits ({', '.join(p.reader.label for p in source.parts)}); name one of its files or folders"
        )
    part = source.parts[0]
    if isinstance(part.reader, FolderReader) and columns[0] != "image":
        raise DataError(
            f"{path} is a folder of pictures per class, whose column is called image; this bundle reads the column {columns[0]!r}"
        )
    return part


def _values(values: Sequence[Any], columns: Sequence[str]) -> Reader:
    if len(columns) > 1:
        raise DataError(f"this bundle reads several columns ({', '.join(columns)}); give mappings with these keys")
    return MemoryReader(lambda: ({columns[0]: value} for value in values), label="input")
