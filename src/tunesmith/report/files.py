"""The report files of a run: tables as text and CSV, pictures; the card of the bundle stands in card.py."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.contracts import Metrics, ScoreTable
from tunesmith.core.files import write_text
from tunesmith.report import pictures
from tunesmith.report.card import card

__all__ = ["aligned", "card", "counts", "write"]


def aligned(table: ScoreTable) -> str:
    """A table as aligned text.

    Example:
        >>> print(aligned(ScoreTable("t", ["a"], ["f1", "support"], [[0.5, 4.0]])))
              f1  support
        a  0.500        4
    """
    rows = [["", *table.columns], *([name, *_cells(table, values)] for name, values in zip(table.index, table.values, strict=True))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        row[0].ljust(widths[0]) + "".join("  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)) for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def counts(table: ScoreTable) -> list[bool]:
    """Which columns hold counts; the others hold shares."""
    return [table.matrix or table.counts or column == "support" for column in table.columns]


def _cells(table: ScoreTable, values: Sequence[float]) -> list[str]:
    return [f"{value:.0f}" if whole else f"{value:.3f}" for value, whole in zip(values, counts(table), strict=True)]


def write(folder: Path, metrics: Metrics, history: Sequence[Mapping[str, Any]], log: Path, monitor: str) -> list[Path]:
    """Write a run's report files.

    Args:
        folder: `report` of the run.
        metrics: scores of the test split.
        history: validation scores of each epoch.
        log: the run's JSON lines.
        monitor: validation metric that decided.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table in metrics.tables():
        write_text(folder / f"{table.name}.txt", aligned(table) + "\n")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["", *table.columns])
        for name, values in zip(table.index, table.values, strict=True):
            writer.writerow([name, *(round(v) if whole else v for v, whole in zip(values, counts(table), strict=True))])
        write_text(folder / f"{table.name}.csv", text.getvalue())
        if table.matrix:
            pictures.matrix(table, folder / f"{table.name}.png")
    steps = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    pictures.learning_curves([s for s in steps if s["event"] == "step"], history, monitor, folder / "learning_curves.png")
    return sorted(folder.iterdir())
