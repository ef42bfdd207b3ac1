"""What was one season ago comes again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from tunesmith.baselines._forecasts import Doubles, Windows, said
from tunesmith.core.outcomes import Baseline, Given, Said


@final
@dataclass(frozen=True)
class SeasonalNaive(Baseline):
    """The numbers of the last season, again and again."""

    name: ClassVar[str] = "seasonal_naive"
    answers: ClassVar[tuple[str, ...]] = ("series",)

    def fits(self, given: Given) -> str | None:
        return "no season was found in the training part (--set task.season=... names one)" if given.task["season"] < 2 else None

    def said(self, given: Given) -> Said:
        season, horizon = given.task["season"], given.task["horizon"]
        first = next(given.rows("test"))
        held = len(first[given.task["label"][0]])
        note = f"season of {season} steps"
        if season > held:  # what the context does not reach stands for the last steps it has
            note += f", of which the context shows {held}"
        places = np.arange(horizon) % season

        def again(windows: Windows) -> Doubles:
            steps = windows.context.shape[1]
            return windows.context[:, np.maximum(0, steps - season) + np.minimum(places, min(steps, season) - 1)]

        return said(given, again, 0, note)
