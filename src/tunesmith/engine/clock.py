"""How many steps a time limit allows, planned anew after each of them.

A step lasts from the end of the one before it to its own end, so that reading and encoding its rows count as well. The first step of a
process warms up and says nothing of the others. An evaluation follows each epoch, the last one too where it is cut short, and is reserved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tunesmith.core.fitting import Progress

SMOOTH = 0.8
"""Weight of the past in the running mean of a step's seconds."""

SHORTEST = 1e-9
"""Seconds that a step takes at the least."""


def steps_within(seconds: float, step: float, evaluation: float, rest: int, per_epoch: int) -> int:
    """How many further steps fit, with an evaluation after each epoch and after the last of them.

    Args:
        seconds: what is left when the evaluation of the epoch that is under way is paid for.
        step: seconds of a step.
        evaluation: seconds of an evaluation.
        rest: steps left of that epoch.
        per_epoch: steps of the epochs after it.

    Example:
        >>> steps_within(10.0, 1.0, 4.0, rest=2, per_epoch=3)  # 2 steps, then 3 and an evaluation; a last one has no time to be evaluated
        5
    """
    step = max(step, SHORTEST)
    if seconds < rest * step:
        return max(0, int(seconds / step))
    seconds -= rest * step
    epochs, seconds = divmod(seconds, per_epoch * step + evaluation)
    return rest + int(epochs) * per_epoch + max(0, int((seconds - evaluation) / step))


@dataclass
class Clock:
    """Time spent and time left.

    Args:
        limit: seconds that training and its evaluations may take; None for no limit.
        per_epoch: steps of an epoch, after each of which there is an evaluation.
        step: seconds a step takes: expected, then as seen.
        evaluation: seconds an evaluation takes, with keeping the weights: expected, then as last seen.
        spent: seconds spent before this process.
        unit: what steps are called.
        now: tells the time in seconds.
    """

    limit: float | None
    per_epoch: int
    step: float = 0.0
    evaluation: float = 0.0
    spent: float = 0.0
    unit: str = "steps"
    now: Callable[[], float] = time.perf_counter
    _seen: int = field(default=0, init=False)
    _began: float = field(init=False)
    _ended: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self._ended = self.now()

    def elapsed(self) -> float:
        """Seconds spent so far, those before this process included."""
        return self.spent + self.now() - self._began

    def left(self) -> float:
        """Seconds until an evaluation has to begin."""
        return float("inf") if self.limit is None else self.limit - self.elapsed() - self.evaluation

    def begins(self, progress: Progress) -> bool:
        """Before an epoch; False where no step of it and their evaluation fit. One is begun in any case: without any there is no model."""
        self._ended = self.now()
        if progress.best is None or self.left() >= self.step:
            return True
        self.stop(progress, self.per_epoch)
        return False

    def stepped(self, progress: Progress, rest: int) -> bool:
        """After a step; False where no other fits.

        Sets how many steps there will be, so that the schedule of the learning rate ends with the last of them.

        Args:
            progress: where training stands.
            rest: steps left of the epoch.
        """
        before, self._ended = self._ended, self.now()
        self._seen += 1
        if self._seen > 1:
            seconds = self._ended - before
            self.step = seconds if self._seen == 2 else SMOOTH * self.step + (1 - SMOOTH) * seconds
        if self.limit is None:
            return True
        allowed = steps_within(self.left(), self.step, self.evaluation, rest, self.per_epoch)
        if rest and not allowed:
            self.stop(progress, rest)
            return False
        progress.total_steps = min(progress.step + allowed, self._planned(progress, rest))
        return True

    def evaluated(self) -> None:
        """After an evaluation and what belongs to it."""
        self.evaluation = self.now() - self._ended

    def stop(self, progress: Progress, rest: int) -> None:
        """Training ends here, with so many steps left of the epoch."""
        planned = self._planned(progress, rest)
        progress.total_steps = progress.step
        progress.stop = f"the time limit is reached after {progress.step} of {planned} {self.unit}"

    def _planned(self, progress: Progress, rest: int) -> int:
        """Steps in all, did time not matter."""
        return progress.step + rest + self.per_epoch * (progress.epochs - progress.epoch - 1)
