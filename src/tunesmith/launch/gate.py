"""The data gate: inspects the divided rows, tells what it found, and stops a run whose scores would not mean what they say.

Ready --View--> gate.inspect --> Findings --> told, the key `gate` of metrics.json, a cleaned copy
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.core.findings import Example, Finding, Severity, View
from tunesmith.data.prepare import Divided
from tunesmith.data.windows import WindowRows
from tunesmith.gate import Inspected, inspect
from tunesmith.launch import console
from tunesmith.launch.features import RunFeatures, targets
from tunesmith.launch.preparing import Ready
from tunesmith.report.words import sentence

SHOWN = 5
"""Unusable rows that are named."""

MOST_TOLD = 5
TOLD: tuple[Severity, ...] = ("error", "warning")
"""What is said while a run goes on; the rest stands in the report."""


def view(ready: Ready, features: RunFeatures | None = None) -> View:
    """The data as inspections see it.

    Args:
        ready: the divided rows.
        features: of the network as it came; used where there are some of every row.
    """
    parts, was, divided = ready.parts, ready.was, ready.divided
    recipe = parts.recipe.data
    whole = features is not None and all(len(features.splits[name].rows) == len(numbers) for name, numbers in divided.splits.items())
    known = features if whole else None
    named = tuple(f"{bad.file}, {bad.where}: {bad.reason}" for bad in was.bad.named[:SHOWN])
    return View(
        columns=tuple(was.table.columns),
        inputs={spec.column: spec.kind for spec in parts.backbone.input_spec()},
        label=tuple(recipe.label or ()),
        group=recipe.group,
        time=recipe.time,
        splits=divided.splits,
        answers=parts.task.answers,
        targets=_Targets(divided),
        classes=parts.task.labels(),
        read=was.table.rows if isinstance(ready.kept, WindowRows) else ready.rows.rows,
        raw=was.table.rows,
        origin=was.table.origin,
        unreadable=(was.bad.total, named),
        rows=len(was.table) + was.bad.total,
        features=lambda split: known.splits[split].values if known else None,
        seed=parts.recipe.seed,
    )


@dataclass(frozen=True, eq=False)
class _Targets(Mapping[str, Any]):
    """Targets of each split, worked out when they are asked for: windows overlap, so theirs are many times the table."""

    divided: Divided
    found: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, split: str) -> Any:
        if split not in self.found:
            self.found[split] = targets(self.divided, self.divided.splits[split])
        return self.found[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self.divided.splits)

    def __len__(self) -> int:
        return len(self.divided.splits)


def judged(seen: View) -> tuple[Inspected, dict[str, Any]]:
    """Inspect the data; gives what was found, and the key `gate` of metrics.json."""
    began = time.perf_counter()
    found = inspect(seen)
    plain = {
        "seconds": round(time.perf_counter() - began, 3),
        "rows": sum(len(numbers) for numbers in seen.splits.values()),
        "findings": [_plain(finding, seen) for finding in found.findings],
        "skipped": dict(found.skipped),
    }
    return found, plain


def tell(found: Sequence[Finding], seconds: float) -> None:
    """What is wrong with the data, for the person who waits."""
    counts = Counter(finding.severity for finding in found)
    told = ", ".join(f"{counts[severity]} {severity}{'s' if counts[severity] > 1 else ''}" for severity in TOLD if counts[severity])
    notes = f"{counts['info']} note{'s' if counts['info'] != 1 else ''} in the report" if counts["info"] else ""
    console.say(f"data gate: {', '.join(part for part in (told or 'nothing is wrong', notes) if part)} ({seconds:.1f} s)")
    serious = [finding for finding in found if finding.severity in TOLD]
    for finding in serious[:MOST_TOLD]:
        console.say(f"  {finding.severity}: {_sentence(finding.what)} {_sentence(finding.advice)}")
    if len(serious) > MOST_TOLD:
        console.say(f"  ... and {len(serious) - MOST_TOLD} more in the report")


def refuse(found: Sequence[Finding]) -> None:
    """Stop where the data holds errors.

    Raises:
        DataError: with what they are and what to do.
    """
    errors = [finding for finding in found if finding.severity == "error"]
    if errors:
        listed = "\n".join(f"  {finding.name}: {_sentence(finding.what)} {_sentence(finding.advice)}" for finding in errors)
        raise DataError(
            f"the data holds {len(errors)} error{'s' if len(errors) > 1 else ''}, so scores would not mean what they say:\n{listed}\n"
            "`tunesmith check DATA --fix` writes a cleaned copy; --allow-data-errors trains nevertheless"
        )


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    whole = sentence(text)
    return whole if whole.endswith((".", "?", "!")) else whole + "."


def _plain(finding: Finding, seen: View) -> dict[str, Any]:
    kept = {"leave_out", "instead", "examples"}
    fields = {item.name: getattr(finding, item.name) for item in dataclasses.fields(finding) if item.name not in kept}
    fields.update(what=_sentence(finding.what), advice=_sentence(finding.advice))
    return {**fields, "rows_to_leave_out": len(finding.leave_out), "examples": [_example(item, seen) for item in finding.examples]}


def _example(example: Example, seen: View) -> dict[str, Any]:
    beside = None if example.beside is None else _place(example.beside, seen)
    return {**(_place(example.row, seen) if example.row is not None else {"row": None}), "shown": example.shown, "beside": beside}


def _place(row: int, seen: View) -> Mapping[str, Any]:
    file, where = seen.origin(row)
    return {"row": row, "file": file, "where": where}
