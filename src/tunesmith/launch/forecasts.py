"""A few windows of the test split as they were forecast, for the report: one that went well, one as usual, one that went badly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Task
from tunesmith.core.outcomes import Outcome, Statistic
from tunesmith.core.windows import START
from tunesmith.data.windows import WindowRows, told
from tunesmith.launch.preparing import Ready

PLACES = (0.1, 0.5, 0.9)
"""Shares of the test windows whose error is smaller."""

PAST = 2
"""Horizons of the past that are shown."""

MOST_COLUMNS = 3
PIECE = 256


def shown(ready: Ready, task: Task, outcome: Outcome) -> list[dict[str, Any]] | None:
    """The key `forecasts` of metrics.json; None where the task forecasts nothing.

    Args:
        ready: the windows.
        task: calibrated.
        outcome: of the test split.
    """
    rows = ready.kept
    if not isinstance(rows, WindowRows) or not rows.spec.horizon:
        return None
    statistic = task.statistic(outcome.outputs, outcome.truth)
    errors = np.concatenate([_alone(statistic, part) for part in np.array_split(np.arange(len(outcome)), -(-len(outcome) // PIECE))])
    order = np.argsort(np.where(np.isfinite(errors), errors, np.inf), kind="stable")
    known = int(np.isfinite(errors).sum())
    found = []
    for share in PLACES if known else ():
        place = int(order[min(known - 1, int(share * known))])
        number = int(outcome.numbers[place])
        said = task.decode(np.asarray(outcome.outputs[place : place + 1]))[0]
        window = rows[number]
        truth = task.shown(outcome.truth[place])
        for column in rows.spec.targets[:MOST_COLUMNS]:
            past = np.asarray(window[column][-PAST * rows.spec.horizon :], np.float64)
            interval = said.get("interval") or {}
            found.append(
                {
                    **{key: value for key, value in told(rows.spec, window).items() if key == "series"},
                    "column": column,
                    "from": rows.stamp(window[START]),
                    "better_than": 1 - share,
                    "score": float(errors[place]),
                    "past": [float(value) if np.isfinite(value) else None for value in past],
                    "truth": truth[column],
                    "forecast": said["forecast"][column],
                    "low": (interval.get("low") or {}).get(column),
                    "high": (interval.get("high") or {}).get(column),
                }
            )
    return found


def _alone(statistic: Statistic, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The score of each of some rows by itself."""
    return statistic.take(places).many(np.eye(len(places)), [statistic.by_row])[statistic.by_row]
