"""How many steps a time limit allows, planned anew after each of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tunesmith.core.fitting import Progress

SMOOTH = 0.8
"""Weight of the past in the running mean of a step's seconds."""


@dataclass
class Clock:
    """Time spent and time left.

    Args:
        limit: seconds that training and its evaluations may take; None for no limit.
        evaluation: seconds an evaluation takes: expected, then as last seen.
        per_epoch: steps of an epoch, after each of which there is an evaluation.
        spent: seconds spent before this process.
    """

    limit: float | None
    evaluation: float
    per_epoch: int
    spent: float
    _pace: float | None = None
    _began: float = field(default_factory=time.perf_counter)

    def stepped(self, progress: Progress, seconds: float) -> bool:
        """After a step that took so many seconds; False where no other fits.

        Sets how many steps there will be, so that the schedule of the learning rate ends with the last of them.
        """
        progress.spent = self.spent + time.perf_counter() - self._began
        if self.limit is None:
            return True
        self._pace = seconds if self._pace is None else SMOOTH * self._pace + (1 - SMOOTH) * seconds
        left = self.limit - progress.spent - self.evaluation
        planned = self.per_epoch * progress.epochs
        if left >= self._pace or progress.step == planned:
            allowed = int(left / (self._pace + self.evaluation / self.per_epoch))
            progress.total_steps = min(planned, progress.step + max(1, allowed))
            return True
        progress.total_steps = progress.step
        progress.stop = f"the time limit is reached after {progress.step} of {planned} steps"
        return False
