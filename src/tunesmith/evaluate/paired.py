"""Two contenders on the same rows: how far their scores are apart, how sure that is, and whether adapting was worth it.

Both are scored under the same weightings of the rows, so that what makes rows easy or hard for both falls out of the difference. Who makes
the weightings decides what is drawn: rows, or whole groups where rows of a group err together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Task
from tunesmith.core.errors import require
from tunesmith.core.outcomes import Outcome

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Scored = Callable[[Floats], Floats]
"""(replicates, rows) weights -> (replicates,) scores by the metric that decides."""
Worth = Literal["yes", "no", "unclear"]
PART = 4096


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
        worth: `yes`: the whole interval is on the adapter's side. `no`: the adapter did not score higher. `unclear`: it did, but chance
            may have done that.
        against: the baseline; None where there was none.
        chosen: `validation` or `test`: by which rows this baseline is the best. By the test rows, p is multiplied and the interval is
            widened for so many comparisons (Bonferroni).
        metric: that decides.
        difference: adapter minus baseline.
        interval: of the difference.
        p: of the difference.
        mcnemar: p of McNemar's exact test, where rows are right or wrong; it takes rows to be independent and asks of accuracy.
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


def bootstrapped(difference: float, replicates: Floats, level: float = 0.95) -> Difference:
    """Percentile interval of a difference, and the p of its inversion (Efron and Tibshirani 1993, 13.3 and 15.4).

    Args:
        difference: of the rows themselves.
        replicates: (replicates,) of rows drawn with replacement; those that are not defined are left out.
        level: wanted share of repetitions in which the interval holds the true difference.
    """
    known = replicates[np.isfinite(replicates)]
    if not len(known):
        return Difference(difference, float("nan"), float("nan"), float("nan"), 0)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    tail = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return Difference(difference, float(low), float(high), min(1.0, 2 * (tail + 1) / (len(known) + 1)), len(known))


def jackknifed(difference: float, without: Floats, level: float = 0.95) -> Difference:
    """Interval and p of a difference of so many rows that a bootstrap would take long, by Student's t.

    Args:
        difference: of the rows themselves.
        without: (blocks,) of the rows without each of as many blocks of equal size.
        level: as above.
    """
    from_t = require("scipy.stats", "comparing").t
    known = without[np.isfinite(without)]
    blocks = len(known)
    if blocks < 2:
        return Difference(difference, float("nan"), float("nan"), float("nan"), blocks)
    error = float(np.sqrt((blocks - 1) / blocks * np.square(known - known.mean()).sum()))
    reach = float(from_t.ppf((1 + level) / 2, blocks - 1)) * error
    p = 2 * float(from_t.sf(abs(difference) / error, blocks - 1)) if error else float(difference == 0)
    return Difference(difference, difference - reach, difference + reach, p, blocks)


def mcnemar(one: Flags, other: Flags) -> float:
    """McNemar's exact test (1947): p of as uneven a share among the rows that only one of both has right, if both are as good.

    Example:
        >>> mcnemar(np.array([True] * 6 + [False]), np.array([False] * 6 + [False]))
        0.03125
    """
    only, but = int((one & ~other).sum()), int((other & ~one).sum())
    if only + but == 0:
        return 1.0
    return float(require("scipy.stats", "comparing").binomtest(only, only + but, 0.5).pvalue)


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
) -> Verdict:
    """Whether adapting was worth it.

    Args:
        contenders: all that were scored on the same test rows.
        adapter: name of the one in question.
        metric: that decides, and `max` or `min`: whether more or less is better.
        weightings: (some replicates, rows) at a time: how often each row is drawn, or 0 and 1 for the jackknife.
        method: what the weightings are.
        level: of the interval.
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
    scores = replicated({"adapter": mine.scored, "baseline": best.scored}, weightings)
    judge = bootstrapped if method == "bootstrap" else jackknifed
    found = judge(mine.test - best.test, scores["adapter"] - scores["baseline"], 1 - (1 - level) / several)
    p = min(1.0, found.p * several)
    gain, least = sign * found.difference, min(sign * found.low, sign * found.high)
    worth: Worth = "no" if gain <= 0 else "yes" if least > 0 else "unclear"
    exact = mcnemar(mine.right, best.right) if mine.right is not None and best.right is not None else None
    cost = mine.seconds / best.seconds if best.seconds > 0 else None
    sentence = (
        f"{adapter} scored {_number(mine.test)} ({name}) in {_time(mine.seconds)}; {best.name} scored {_number(best.test)} in "
        f"{_time(best.seconds)} (difference {found.difference:+.3g}, {level:.0%} interval {found.low:.3g} to {found.high:.3g}, {_chance(p)}"
        + (f"; it is the best of {several} by the test rows themselves, which interval and p allow for" if several > 1 else "")
        + f"): {_advice(worth, cost)}"
    )
    return Verdict(worth, best.name, chosen, name, found.difference, (found.low, found.high), p, exact, cost, sentence)


def _advice(worth: Worth, cost: float | None) -> str:
    cheaper = cost is None or cost > 1
    if worth == "yes":
        return "adapting paid here" + (f", at {cost:.2g} times the seconds." if cost is not None and cheaper else ".")
    if worth == "unclear":
        return "adapting scored higher, but that may be chance; more test rows would tell."
    return "adapting did not pay here; ship the cheap one." if cheaper else "adapting did not pay here."


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.5g}"


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
