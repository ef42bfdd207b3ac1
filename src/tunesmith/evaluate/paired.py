"""Two contenders on the same rows: how far their scores are apart, how sure that is, and whether adapting was worth it.

Both are scored under the same weightings of the rows, so that what makes rows easy or hard for both falls out of the difference. Who makes
the weightings decides what is drawn: rows, or whole groups where rows of a group err together; both are called units.

A percentile bootstrap is too sure of few units: of 3 it finds an adapter better than its equal in 13 of 100 cases instead of 2.5. So

- interval and p are those of Student's t for so many units, with the bootstrap's standard error: a percentile interval is also too short
  on the side of 0 where a few rows make the gain;
- p is at least 2 / 2^units, the least that swapping both contenders' answers unit by unit can give (a sign-flip test); of classes only
  units count in which one is right and the other is not;
- where accuracy decides and rows are independent, p is at least that of McNemar's exact test, which asks the very same. Other scores, such
  as macro F1, may differ where accuracy does not, so they are not held to it.

Where p does not rule chance out, the interval is widened to reach 0. Then a false `yes` is given in no more than about 2.5 of 100 cases
(simulated for 3 to 50 rows in tests/evaluate/test_paired.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Task
from tunesmith.core.errors import require
from tunesmith.core.outcomes import Outcome
from tunesmith.evaluate.intervals import standard_error

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Scored = Callable[[Floats], Floats]
"""(replicates, rows) weights -> (replicates,) scores by the metric that decides."""
Worth = Literal["yes", "no", "unclear"]
PART = 4096
LITTLE = 1.05
"""Times the cost from which something costs more."""


@dataclass(frozen=True)
class Difference:
    """One score minus the other.

    Attributes:
        difference: of the rows as they are.
        low: where the interval begins.
        high: where it ends.
        p: two-sided, of the difference being nothing.
        replicates: how many weightings it comes from.
    """

    difference: float
    low: float
    high: float
    p: float
    replicates: int


@dataclass(frozen=True, eq=False)
class Contender:
    """A way to do the task, with what it scored and cost.

    Attributes:
        name: of the baseline or adapter.
        kind: `baseline` or `adapter`.
        scored: the metric under weightings of the test rows.
        test: the metric.
        validation: the metric of the validation rows; None where there are none.
        seconds: that it took to learn and predict.
        right: (rows,) whether the test row's class is right; None where it is no matter of right and wrong.
    """

    name: str
    kind: Literal["baseline", "adapter"]
    scored: Scored
    test: float
    validation: float | None
    seconds: float
    right: Flags | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether adapting was worth it, in comparison with the best cheap way.

    Attributes:
        worth: `yes`: the adapter scored higher, by more than chance. `no`: it scored lower by more than chance, or no gain was shown and
            the cheap way costs less. `unclear`: chance may have done it, or nothing can be said of chance.
        against: the baseline; None where there was none.
        chosen: `validation` or `test`: by which rows this baseline is the best. By the test rows, p is multiplied and the interval is
            widened for so many comparisons (Bonferroni).
        metric: that decides.
        difference: adapter minus baseline.
        interval: of the difference; None where nothing can be said of chance, as there is a single unit or all draws agree.
        p: of the difference; None likewise.
        mcnemar: p of McNemar's exact test, where rows are right or wrong and independent; it asks of accuracy.
        cost: seconds of the adapter divided by the baseline's.
        sentence: all of it for a person.
    """

    worth: Worth
    against: str | None
    chosen: str | None
    metric: str
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    mcnemar: float | None
    cost: float | None
    sentence: str

    def plain(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**asdict(self), "interval": list(self.interval) if self.interval else None}


def replicated(contenders: Mapping[str, Scored], weightings: Iterable[Floats]) -> dict[str, Floats]:
    """The scores of all contenders under the same weightings, each (replicates,).

    Args:
        contenders: by name.
        weightings: (some replicates, rows) at a time.
    """
    parts = [{name: scored(weights) for name, scored in contenders.items()} for weights in weightings]
    return {name: np.concatenate([part[name] for part in parts]) for name in contenders}


def bootstrapped(difference: float, replicates: Floats, units: int, level: float = 0.95) -> Difference:
    """Interval and p of a difference by Student's t, with the standard error of a bootstrap (Efron and Tibshirani 1993, 6.2 and 12.4).

    Args:
        difference: of the rows themselves.
        replicates: (replicates,) of units drawn with replacement; those that are not defined are left out.
        units: how many are drawn, at least 2; a bootstrap varies by (units - 1) / units of what it should.
        level: wanted share of repetitions in which the interval holds the true difference.
    """
    known = replicates[np.isfinite(replicates)]
    if len(known) < 2:
        return _nothing(difference, len(known))
    error = float(known.std()) * math.sqrt(units / (units - 1))
    return _by_t(difference, error, (units - 1, len(known)), level)


def jackknifed(difference: float, without: Floats, level: float = 0.95) -> Difference:
    """Interval and p of a difference of so many rows that a bootstrap would take long, by Student's t.

    Args:
        difference: of the rows themselves.
        without: (blocks,) of the rows without each of as many blocks of equal size.
        level: as above.
    """
    known = without[np.isfinite(without)]
    blocks = len(known)
    if blocks < 2:
        return _nothing(difference, blocks)
    return _by_t(difference, standard_error(known), (blocks - 1, blocks), level)


def _nothing(difference: float, replicates: int) -> Difference:
    return Difference(difference, float("nan"), float("nan"), float("nan"), replicates)


def _by_t(difference: float, error: float, counts: tuple[int, int], level: float) -> Difference:
    """By standard error; `counts` are degrees of freedom and replicates."""
    special = require("scipy.special", "comparing")
    freedom, replicates = counts
    reach = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    p = 2 * float(special.stdtr(freedom, -abs(difference) / error)) if error else float(difference == 0)
    return Difference(difference, difference - reach, difference + reach, p, replicates)


def mcnemar(one: Flags, other: Flags) -> float:
    """McNemar's exact test (1947): p of as uneven a share among the rows that only one of both has right, if both are as good.

    Example:
        >>> mcnemar(np.array([True] * 6 + [False]), np.array([False] * 6 + [False]))
        0.03125
    """
    only, but = int((one & ~other).sum()), int((other & ~one).sum())
    if only + but == 0:
        return 1.0
    return min(1.0, 2 * float(require("scipy.special", "comparing").bdtr(min(only, but), only + but, 0.5)))


def least_p(units: int, one: Flags | None = None, other: Flags | None = None) -> float:
    """The least two-sided p that so few units allow: all of them favour the same contender, which chance does in 2 of 2^units cases.

    Args:
        units: independent ones.
        one, other: (rows,) whether each is right, where it is a matter of right and wrong: where both are or none is, nothing is favoured.

    Example:
        >>> least_p(5), least_p(100, np.array([True] * 3 + [False]), np.array([False] * 4))
        (0.0625, 0.25)
    """
    if one is not None and other is not None:
        units = min(units, int((one ^ other).sum()))
    return float(min(1.0, 2.0 ** (1 - units)))


def right(task: Task, outcome: Outcome) -> Flags | None:
    """(rows,) whether the predicted class is the true one; None where predictions are no single class."""
    found = []
    for start in range(0, len(outcome), PART):
        predictions = task.decode(np.asarray(outcome.outputs[start : start + PART]))
        if "label" not in predictions[0]:
            return None
        true = outcome.truth[start : start + PART].tolist()
        found += [prediction["label"] == task.shown(target) for prediction, target in zip(predictions, true, strict=True)]
    return np.asarray(found, bool)


def verdict(
    contenders: Sequence[Contender],
    adapter: str,
    metric: tuple[str, str],
    weightings: Iterable[Floats],
    method: Literal["bootstrap", "jackknife"] = "bootstrap",
    level: float = 0.95,
    *,
    units: int,
) -> Verdict:
    """Whether adapting was worth it.

    Args:
        contenders: all that were scored on the same test rows.
        adapter: name of the one in question.
        metric: that decides, and `max` or `min`: whether more or less is better.
        weightings: (some replicates, rows) at a time: how often each row is drawn, or 0 and 1 for the jackknife.
        method: what the weightings are.
        level: of the interval.
        units: how many independent rows, or groups of rows, there are.
    """
    name, direction = metric
    mine = next(item for item in contenders if item.name == adapter and item.kind == "adapter")
    cheap = [item for item in contenders if item.kind == "baseline"]
    if not cheap:
        sentence = f"{adapter} scored {_number(mine.test)} ({name}) in {_time(mine.seconds)}; there was no cheap way to compare it with."
        return Verdict("unclear", None, None, name, None, None, None, None, None, sentence)
    sign = 1.0 if direction == "max" else -1.0
    chosen = "test" if any(item.validation is None for item in cheap) else "validation"
    best = max(cheap, key=lambda item: (sign * (item.test if chosen == "test" else item.validation or 0.0), -item.seconds))
    several = len(cheap) if chosen == "test" else 1
    alone = mine.right is not None and best.right is not None and units == len(mine.right)
    exact = mcnemar(mine.right, best.right) if alone and mine.right is not None and best.right is not None else None
    least = max(least_p(units, mine.right, best.right), exact if exact is not None and name == "accuracy" else 0.0)
    difference, cost = mine.test - best.test, mine.seconds / best.seconds if best.seconds > 0 else None
    sure = _sure(mine, best, weightings, method, (units, least, several, level))
    worth, advice = _worth(sign * difference, sure, cost, 1 - level)
    figures = f"difference {difference:+.3g}"
    if isinstance(sure, Difference):
        figures += f", {level:.0%} interval {sure.low:.3g} to {sure.high:.3g}, {_chance(sure.p)}"
        if several > 1:
            figures += f"; it is the best of {several} by the test rows themselves, which interval and p allow for"
    else:
        figures += f"; {sure}"
    sentence = (
        f"{adapter} scored {_number(mine.test)} ({name}) in {_time(mine.seconds)}; {best.name} scored {_number(best.test)} in "
        f"{_time(best.seconds)} ({figures}): {advice}"
    )
    if not isinstance(sure, Difference):
        return Verdict(worth, best.name, chosen, name, difference, None, None, exact, cost, sentence)
    return Verdict(worth, best.name, chosen, name, difference, (sure.low, sure.high), sure.p, exact, cost, sentence)


def compared(
    one: Contender,
    other: Contender,
    weightings: Iterable[Floats],
    method: Literal["bootstrap", "jackknife"] = "bootstrap",
    *,
    units: int,
    level: float = 0.95,
) -> Difference | str:
    """How far one is above the other on the same rows, or why nothing can be said of that; the arguments are those of `verdict`."""
    return _sure(one, other, weightings, method, (units, least_p(units, one.right, other.right), 1, level))


def _sure(
    mine: Contender, best: Contender, weightings: Iterable[Floats], method: str, limits: tuple[int, float, int, float]
) -> Difference | str:
    """How sure the difference is, or why nothing can be said of that; `limits` are units, the least p, comparisons, level."""
    units, least, several, level = limits
    if units < 2:
        return "there is a single row, or a single group of rows, which says nothing of chance"
    scores = replicated({"mine": mine.scored, "best": best.scored}, weightings)
    replicates, wide = scores["mine"] - scores["best"], 1 - (1 - level) / several
    difference = mine.test - best.test
    found = bootstrapped(difference, replicates, units, wide) if method == "bootstrap" else jackknifed(difference, replicates, wide)
    if not np.isfinite([difference, found.low, found.high]).all():
        return "the score is not defined for these rows, or not for draws of them"
    if difference and found.high - found.low <= 1e-12 * max(1.0, abs(difference)):
        return "it is the same however rows are drawn, which says nothing of chance"
    p = min(1.0, max(found.p, least) * several)
    low, high = (found.low, found.high) if p < 1 - level else (min(found.low, 0.0), max(found.high, 0.0))
    return Difference(difference, low, high, p, found.replicates)


def _worth(gain: float, sure: Difference | str, cost: float | None, limit: float) -> tuple[Worth, str]:
    """The verdict, and what it advises."""
    if not isinstance(sure, Difference):
        return "unclear", "whether adapting paid cannot be told from so little; more test rows would tell."
    told = sure.p < limit and not sure.low <= 0 <= sure.high
    cheaper = cost is None or cost > LITTLE
    less = "costs next to nothing" if cost is None else f"costs {cost:.2g} times less"
    if told and gain > 0:
        return "yes", "adapting paid here" + (f", at {cost:.2g} times the seconds." if cost is not None and cheaper else ".")
    if told:
        return "no", "adapting is worse here; ship the cheap one" + (f", which {less}." if cheaper else ".")
    if gain > 0:
        aside = f", and the cheap one {less}" if cheaper else ""
        return "unclear", f"adapting scored higher, but that may be chance{aside}; more test rows would tell."
    if cheaper:
        return "no", f"no gain was shown ({_chance(sure.p)}); the cheap one {less}."
    return "unclear", f"no gain was shown ({_chance(sure.p)}), and the cheap one costs no less."


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.5g}"


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
