"""The verbs `predict` and `evaluate` for the command line: rows stream from files to standard output or to a file."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.core.contracts import Prediction
from tunesmith.core.errors import DataError, OutputError, UsageError
from tunesmith.core.files import atomic, to_json
from tunesmith.data.bad_rows import BadRows
from tunesmith.launch import console
from tunesmith.launch.inference import Predictor, Runtime

ENDINGS = (".parquet", ".csv", ".jsonl")


def predict(
    bundle: str, inputs: list[str], texts: list[str], out: str | None, as_json: bool, runtime: Runtime = "auto", reasons: int = 0
) -> int:
    """Predict files and texts.

    Args:
        bundle: folder of the bundle.
        inputs: tables, pictures, sounds, folders of these.
        texts: texts given on the command line.
        out: file to write, or None for standard output.
        as_json: one JSON object a line on standard output.
        runtime: what predicts.
        reasons: how many columns are named that speak most for a prediction.
    """
    if reasons < 0:
        raise UsageError(f"--reasons {reasons}: a number of columns from 0 on")
    writable(out)
    predictor = Predictor(bundle, runtime)
    bad = BadRows()
    sources: list[Any] = [[Path(name) for name in inputs]] if inputs else []
    if texts:
        if "text" not in predictor.bundle.backbone.traits():
            raise UsageError("--text was given, but this bundle reads no texts; give files")
        sources.append([{predictor.bundle.backbone.columns[0]: text} for text in texts])
    records = (_record(place, prediction) for source in sources for place, _, prediction in predictor.stream(source, bad, reasons=reasons))
    flat = _flattened(records, reasons, Path(out).suffix) if out else records
    given(flat, bad, out, as_json, predictor.bundle.task.example(), predictor.remarks)
    return 0


def writable(out: str | None) -> None:
    """Refuse a file that predictions cannot be written to.

    Raises:
        UsageError: its name ends in something else.
        OutputError: it exists.
    """
    if out and Path(out).suffix not in ENDINGS:
        raise UsageError(f"--out {out}: the name must end in {', '.join(ENDINGS)}")
    if out and Path(out).exists():
        raise OutputError(f"--out {out} exists; nothing is overwritten: choose another name or remove it")


def given(
    records: Iterator[dict[str, Any]],
    bad: BadRows,
    out: str | None,
    as_json: bool,
    like: Prediction | None = None,
    remarks: Counter[str] | None = None,
) -> None:
    """Write predictions to a file or to standard output, and tell of rows that could not be used.

    Args:
        records: predictions with their places.
        bad: rows that could not be used, known once the records have been gone through.
        out, as_json: as for `predict`.
        like: a prediction with nothing left empty, where lists of one may be.
        remarks: what rows held that training never saw, and in how many.

    Raises:
        DataError: there was none.
    """
    count = write(records, Path(out), like) if out else _print(records, as_json)
    warned(bad)
    _noted(remarks or Counter())
    if not count:
        raise DataError("no row could be predicted" + (f"; {bad.summary()}" if bad.total else ""))
    if out:
        console.say(f"{count} predictions in {out}")


def warned(bad: BadRows) -> None:
    """Tell of rows that could not be used."""
    if bad.total:
        console.say(f"warning: {bad.summary()}")
        for item in bad.named[1:20]:
            console.say(f"  {item.file}, {item.where}: {item.reason}")


def _noted(remarks: Counter[str]) -> None:
    """Tell what rows held that training never saw."""
    for remark, count in remarks.most_common():
        console.say(f"note: {count} row(s): {remark}")


def _record(place: tuple[str, str], prediction: dict[str, Any]) -> dict[str, Any]:
    return {"file": place[0], "where": place[1], **prediction}


def _flattened(records: Iterable[dict[str, Any]], reasons: int, ending: str) -> Iterator[dict[str, Any]]:
    """Records with columns of their own for each reason, where a table is written; .jsonl keeps the list."""
    for record in records:
        found = record.get("reasons")
        if found is None or ending == ".jsonl":
            yield record
            continue
        flat = {key: value for key, value in record.items() if key != "reasons"}
        for place in range(reasons):
            item = found[place] if place < len(found) else {"column": "", "value": "", "effect": 0.0}
            value = "" if item["value"] is None else str(item["value"])
            flat |= {
                f"reason_{place + 1}": item["column"],
                f"reason_{place + 1}_value": value,
                f"reason_{place + 1}_effect": item["effect"],
            }
        yield flat


def _print(records: Iterator[dict[str, Any]], as_json: bool) -> int:
    count = 0
    for record in records:
        count += 1
        if as_json:
            print(json.dumps(record, ensure_ascii=False))
            continue
        if "forecast" in record:
            print(f"{record['file']}, {record['where']}: {_first_and_last(record)}")
            continue
        probabilities = record.pop("probabilities", None)
        reasons = record.pop("reasons", None)
        best = sorted(probabilities.items(), key=lambda item: -item[1])[:3] if probabilities else []
        hidden = ("file", "where", "probability", "words")
        told = {k: v for k, v in record.items() if k not in hidden and not _is_vector(v)}
        main = [str(v) if not isinstance(v, float) else f"{v:.4g}" for v in told.values()]
        shown = f"  ({', '.join(f'{k} {p:.1%}' for k, p in best)})" if best else ""
        if reasons:
            shown += "  because of " + ", ".join(f"{item['column']} = {item['value']} ({item['effect']:+.3g})" for item in reasons)
        print(f"{record['file']}, {record['where']}: {' '.join(main)}{shown}")
    return count


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], float)


def write(records: Iterable[dict[str, Any]], path: Path, like: Prediction | None = None) -> int:
    """Write records into a file that appears when it is complete; gives their number."""
    count = 0
    with _sink(path, like) as put:
        for record in records:
            put(record)
            count += 1
    return count


@contextmanager
def _sink(path: Path, like: Prediction | None) -> Iterator[Any]:
    """A function that writes one record into a file that appears when it is complete."""
    if path.suffix == ".parquet":
        from tunesmith.evaluate.streaming import PredictionFile

        with PredictionFile(path, like=like) as file:
            yield file.write
        return
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as handle:
        if path.suffix == ".jsonl":
            yield lambda record: handle.write(json.dumps(record, ensure_ascii=False) + "\n")
            return
        writer: Any = None

        def put(record: dict[str, Any]) -> None:
            for line in by_step(record) if "forecast" in record else [record]:
                put_line(line)

        def put_line(record: dict[str, Any]) -> None:
            nonlocal writer
            flat = dict(itertools.chain.from_iterable(_flat(key, value) for key, value in record.items()))
            if writer is None:
                writer = csv.DictWriter(handle, list(flat), lineterminator="\n")
                writer.writeheader()
            writer.writerow(flat)

        yield put


def by_step(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A forecast as one line for each column and step: what a table of it holds.

    Example:
        >>> list(by_step({"series": "north", "forecast": {"load": [3.0]}, "stamps": ["2024-01-01"], "quantiles": {"0.9": {"load": [4.0]}}}))
        [{'series': 'north', 'column': 'load', 'step': 1, 'stamp': '2024-01-01', 'forecast': 3.0, 'quantile 0.9': 4.0}]
    """
    about = {key: value for key, value in record.items() if key not in ("forecast", "quantiles", "interval", "stamps")}
    quantiles, interval, stamps = record.get("quantiles") or {}, record.get("interval") or {}, record.get("stamps")
    for column, values in record["forecast"].items():
        for at, value in enumerate(values):
            line = {**about, "column": column, "step": at + 1, **({"stamp": stamps[at]} if stamps else {}), "forecast": value}
            line |= {f"quantile {level}": found[column][at] for level, found in quantiles.items()}
            yield line | {end: found[column][at] for end, found in interval.items()}


def _first_and_last(record: dict[str, Any]) -> str:
    """A forecast in a line: the whole of it is for a file, or for --json."""
    series = f"{record['series']}, " if record.get("series") else ""
    stamps = record.get("stamps")
    when = f"{stamps[0]} to {stamps[-1]}: " if stamps else ""
    told = (f"{column} {values[0]:.4g} ... {values[-1]:.4g}" for column, values in record["forecast"].items())
    return f"{series}{when}{', '.join(told)}"


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for inner, item in value.items():
            yield f"{key}.{inner}", item
    else:
        yield key, json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def evaluate(bundle: str, data: str, as_json: bool) -> int:
    """Score a bundle on labelled rows."""
    predictor = Predictor(bundle)
    bad = BadRows()
    scores = predictor.evaluate(data, bad)
    if bad.total:
        console.say(f"warning: {bad.summary()}")
    _noted(predictor.remarks)
    if as_json:
        sys.stdout.write(to_json({"scores": scores, "bad_rows": bad.total}))
        return 0
    width = max(map(len, scores))
    for name, value in scores.items():
        print(f"{name.ljust(width)}  {value:.4f}" if isinstance(value, float) else f"{name.ljust(width)}  {value}")
    return 0
