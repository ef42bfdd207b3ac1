"""Rows that could not be used: they are neither trained on nor scored, so the scores hold for the others only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.gate._rows import percent, rows_said


@final
@dataclass(frozen=True)
class Unreadable(Inspection):
    """Rows that could not be used."""

    name: ClassVar[str] = "unreadable"
    many: float = field(default=0.005, metadata={"help": "share of the rows from which that is a warning"})

    def applies(self, view: View) -> str | None:
        return None

    def inspect(self, view: View) -> list[Finding]:
        count, reasons = view.unreadable
        if not count:
            return []
        of = max(view.rows, count)
        return [
            Finding(
                "unreadable_rows",
                "warning" if count >= self.many * of else "info",
                count,
                of,
                f"{rows_said(count)} of {of:,} ({percent(count, of)}) could not be used, so scores say nothing about such rows",
                "mend them; all are listed with their reasons in the run's bad_rows.csv",
                [Example(None, reason) for reason in reasons[:MOST_EXAMPLES]],
            )
        ]
