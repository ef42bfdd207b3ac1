"""Splits that are too small for their scores to say much.

The interval of a share p of n rows is about 2 sqrt(p (1 - p) / n) wide on each side (Wald 1943): at p = 0.8, 0.11 with 50 rows and 0.33
with 6, so that hardly any two models could be told apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, final

from tunesmith.core.findings import Finding, Inspection, View

TYPICAL = 0.8
"""The share of right predictions that the sentence reckons with."""


@final
@dataclass(frozen=True)
class FewRows(Inspection):
    """Test and validation splits of so few rows that scores are mostly chance."""

    name: ClassVar[str] = "few_rows"
    least: int = field(default=50, metadata={"help": "rows of a split below which that is a warning"})

    def __post_init__(self) -> None:
        if self.least < 2:
            raise ValueError("field 'least' must be at least 2")

    def applies(self, view: View) -> str | None:
        return None

    def inspect(self, view: View) -> list[Finding]:
        found = (self._few(view, split) for split in ("test", "validation"))
        return [finding for finding in found if finding is not None]

    def _few(self, view: View, split: str) -> Finding | None:
        rows = len(view.splits[split])
        if rows >= self.least:
            return None
        about = 2 * math.sqrt(TYPICAL * (1 - TYPICAL) / max(1, rows))
        use = "what it is worth cannot be told" if split == "test" else "which weights are kept is mostly chance"
        return Finding(
            f"few_{split}_rows",
            "warning",
            rows,
            rows,
            f"only {rows} {split} row{'s' * (rows != 1)}: a score of {TYPICAL:g} would be uncertain by {about:.2f} either way, so {use}",
            f"collect more rows, or give {split} a larger share with --split",
        )
