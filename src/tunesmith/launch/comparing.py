"""The verb `compare` for the command line: finished runs side by side, as tables, as JSON, and as a page."""

from __future__ import annotations

import sys
from pathlib import Path

from tunesmith.core.errors import OutputError, UsageError
from tunesmith.core.files import to_json, write_text
from tunesmith.launch import console
from tunesmith.report import compare as comparing
from tunesmith.report import words
from tunesmith.report.compare import COSTS, Comparison
from tunesmith.report.facts import scores


def compare(folders: list[str], out: str | None, as_json: bool) -> int:
    """Compare runs.

    Args:
        folders: of the runs; the first is what the others are compared with.
        out: HTML file to write, or None.
        as_json: JSON on standard output instead of tables.
    """
    if out and Path(out).suffix not in (".html", ".htm"):
        raise UsageError(f"--out {out}: the name must end in .html")
    if out and Path(out).exists():
        raise OutputError(f"--out {out} exists; nothing is overwritten: choose another name or remove it")
    found = comparing.compare(folders)
    if out:
        write_text(Path(out), comparing.page(found))
        console.say(f"the comparison is in {out}")
    if as_json:
        sys.stdout.write(to_json(found.plain()))
    else:
        _print(found)
    return 0


def _print(found: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(title="Runs", title_justify="left")
    table.add_column("")
    for name in found.names:
        table.add_column(name, justify="right")
    pairs = [((run.part("intervals") or {}).get("scores") or {}) for run in found.runs]
    tests = [run.metrics["test"] for run in found.runs]
    for name in dict.fromkeys([found.runs[0].main, *(key for test in tests for key in scores(test))]):
        cells = (
            f"{words.number(test.get(name))} {words.interval(pair.get(name))}".strip() for test, pair in zip(tests, pairs, strict=True)
        )
        table.add_row(words.metric(name), *cells)
    table.add_section()
    for key, (title, _, show) in COSTS.items():
        values = found.cost(key)
        if any(value is not None for value in values):
            table.add_row(title, *("" if value is None else show(value) for value in values))
    if found.recipes:
        table.add_section()
    for field, held in found.recipes.items():
        table.add_row(field, *("" if value is None else str(value) for value in held))
    console.print(table)
    for item in found.compared:
        console.print(item.sentence, markup=False, soft_wrap=True)
