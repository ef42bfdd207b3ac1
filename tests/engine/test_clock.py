"""The clock of a time limit, told the time by the test: nothing here waits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tunesmith.core.fitting import Progress
from tunesmith.engine.clock import Clock, steps_within


@dataclass
class Time:
    """A time that passes when it is told to."""

    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Trained:
    """Training by the clock's rules, as the loop does it.

    Args:
        limit: seconds that are allowed.
        step, first, evaluation: seconds that these take.
        per_epoch, epochs: as in the recipe.
        expected: seconds a step is expected to take.
    """

    limit: float | None
    step: float = 1.0
    first: float = 1.0
    evaluation: float = 0.0
    per_epoch: int = 10
    epochs: int = 1000
    expected: float = 0.0
    totals: list[int] = field(default_factory=list)
    evaluated: list[int] = field(default_factory=list)

    def run(self) -> Trained:
        time = Time()
        began = time.seconds
        self.clock = Clock(self.limit, self.per_epoch, self.expected, self.evaluation, now=time)
        self.progress = progress = Progress(total_steps=self.per_epoch * self.epochs, epochs=self.epochs)
        while progress.epoch < self.epochs and progress.stop is None and self.clock.begins(progress):
            for rest in reversed(range(self.per_epoch)):
                time.seconds += self.first if progress.step == 0 else self.step
                progress.step += 1
                self.totals.append(progress.total_steps)
                if not self.clock.stepped(progress, rest):
                    break
            time.seconds += self.evaluation
            progress.best = 1.0
            progress.epoch += 1
            self.evaluated.append(progress.step)
            self.clock.evaluated()
        self.took = time.seconds - began
        return self


def feasible(limit: float, step: float, first: float, evaluation: float, per_epoch: int) -> int:
    """The most steps whose seconds, with those of an evaluation after each begun epoch, are within a limit; at least one."""
    count = 1
    while first + count * step + -(-(count + 1) // per_epoch) * evaluation <= limit:
        count += 1
    return count


@pytest.mark.parametrize("limit", [0.5, 7.05, 33.33, 100.05])
@pytest.mark.parametrize("evaluation", [0.0, 0.7, 12.0])
@pytest.mark.parametrize("per_epoch", [1, 4, 30])
def test_as_many_steps_are_taken_as_fit_and_all_are_evaluated(limit: float, evaluation: float, per_epoch: int) -> None:
    made = Trained(limit, step=0.9, first=2.0, evaluation=evaluation, per_epoch=per_epoch).run()
    # while only the first step is known, it is a surprise how long the others take; nothing else may come late
    most = feasible(limit, 0.9, 2.0, evaluation, per_epoch)
    assert most <= made.progress.step <= most + (most == 1)
    assert made.evaluated[-1] == made.progress.step
    assert made.took <= limit or made.progress.step <= 2
    assert made.progress.total_steps == made.progress.step
    assert made.progress.stop == f"the time limit is reached after {made.progress.step} of {1000 * per_epoch} steps"


@pytest.mark.parametrize("evaluation", [0.0, 3.0, 40.0])
def test_the_schedule_knows_its_end_as_soon_as_the_pace_is_known(evaluation: float) -> None:
    made = Trained(90.0, step=0.5, first=5.0, evaluation=evaluation, per_epoch=20).run()
    assert made.totals[:2] == [20_000, made.totals[1]]
    assert set(made.totals[2:]) == {made.progress.step}


def test_warming_up_does_not_count() -> None:
    made = Trained(60.0, step=0.1, first=30.0).run()
    assert made.clock.step == pytest.approx(0.1)
    assert made.progress.step == 301


def test_what_lies_between_steps_counts() -> None:
    time = Time()
    clock, progress = Clock(100.0, 1000, now=time), Progress(epochs=1)
    assert clock.begins(progress)
    for _ in range(3):
        time.seconds += 2.0  # its rows are read
        time.seconds += 1.0  # the step itself
        progress.step += 1
        assert clock.stepped(progress, 1000 - progress.step)
    assert clock.step == pytest.approx(3.0)
    assert progress.total_steps == 3 + (100 - 9) // 3


def test_an_epoch_is_begun_only_where_a_step_and_its_evaluation_fit() -> None:
    made = Trained(31.9, step=1.0, evaluation=10.0, per_epoch=10).run()  # after 20 s another 11 would be needed, and 11.9 are left
    assert made.evaluated == [10, 11]
    made = Trained(30.9, step=1.0, evaluation=10.0, per_epoch=10).run()
    assert made.evaluated == [10]
    assert made.took == 20.0


def test_a_slower_evaluation_than_expected_ends_the_run_before_another_epoch() -> None:
    time = Time()
    clock, progress = Clock(50.0, 1, evaluation=1.0, now=time), Progress(epochs=9)
    assert clock.begins(progress)
    time.seconds += 2.0
    progress.step = 1
    assert clock.stepped(progress, 0)
    time.seconds += 30.0
    progress.best, progress.epoch = 0.5, 1
    clock.evaluated()
    assert clock.evaluation == 30.0
    assert not clock.begins(progress)
    assert progress.stop == "the time limit is reached after 1 of 9 steps"


def test_without_a_limit_nothing_is_planned() -> None:
    made = Trained(None, epochs=2).run()
    assert made.progress.step == made.progress.total_steps == 20
    assert made.progress.stop is None


def test_time_before_this_process_counts() -> None:
    time = Time()
    clock = Clock(50.0, 5, step=1.0, spent=45.0, now=time)
    assert clock.left() == 5.0
    time.seconds += 4.5
    assert clock.elapsed() == 49.5
    assert not clock.begins(Progress(epochs=2, best=1.0, step=5, epoch=1))


def counted(seconds: float, step: float, evaluation: float, rest: int, per_epoch: int) -> int:
    """`steps_within`, one step after the other."""

    def epochs() -> Iterator[int]:
        yield rest
        yield from itertools.repeat(per_epoch)

    found = 0
    for number, steps in enumerate(epochs()):
        if number:
            seconds -= evaluation
        for _ in range(steps):
            seconds -= step
            if seconds < 0:
                return found
            found += 1
    raise AssertionError


@pytest.mark.parametrize(("step", "evaluation"), [(1.0, 0.0), (0.25, 3.0), (0.5, 0.25)])
def test_steps_within_is_what_counting_gives(step: float, evaluation: float) -> None:
    for seconds, rest, per_epoch in itertools.product([-1.0, 0.0, 0.75, 3.25, 6.5, 40.0], [0, 1, 4], [1, 3, 50]):
        assert steps_within(seconds, step, evaluation, rest, per_epoch) == counted(seconds, step, evaluation, rest, per_epoch)
