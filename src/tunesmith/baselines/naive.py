"""What was known last goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from tunesmith.baselines._forecasts import Doubles, Windows, said
from tunesmith.core.outcomes import Baseline, Given, Said


@final
@dataclass(frozen=True)
class Naive(Baseline):
    """The last number of each series, for every step."""

    name: ClassVar[str] = "naive"
    answers: ClassVar[tuple[str, ...]] = ("series",)

    def fits(self, given: Given) -> str | None:
        return None

    def said(self, given: Given) -> Said:
        horizon = given.task["horizon"]

        def last(windows: Windows) -> Doubles:
            return windows.context[:, -1:].repeat(horizon, axis=1)

        return said(given, last, 0, "")
