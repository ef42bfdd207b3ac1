"""What is chosen on validation rows after training, without touching a weight: a temperature, conformal thresholds, decision thresholds.

Each function takes what a model said of rows that its weights were not trained on, beside the truth, and gives one number, or None
where so few rows cannot tell it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require

Floats = npt.NDArray[np.float64]
LEAST_ROWS = 30
"""Rows from which a temperature is fitted."""

MOST_ROWS = 20_000
"""Rows that a temperature is fitted on, at most, taken at even distances: one number needs no more."""

LOWEST, HIGHEST = 0.05, 20.0


def nll_of_classes(logits: Floats, truth: npt.NDArray[Any], temperature: float) -> float:
    """Mean negative log-likelihood of (rows,) class numbers under (rows, classes) logits divided by a temperature."""
    z = logits / temperature
    top = z.max(axis=1)
    logarithm = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return float((logarithm - z[np.arange(len(z)), truth]).mean())


def nll_of_labels(logits: Floats, truth: npt.NDArray[Any], temperature: float) -> float:
    """Mean negative log-likelihood of (rows, labels) 0 and 1 under logits divided by a temperature."""
    z = np.where(truth, -logits, logits) / temperature
    return float(np.logaddexp(0, z).mean())


def temperature(nll: Callable[[Floats, npt.NDArray[Any], float], float], logits: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    """The temperature by which dividing all logits makes validation rows most likely (Guo et al. 2017, 4.2).

    It stays 1 where there are fewer than LEAST_ROWS rows, where no temperature is better, and where the best one is at an end of
    what is searched: rows that are all right would drive it to 0 and every probability to 1.

    Args:
        nll: `nll_of_classes` or `nll_of_labels`.
        logits: (rows, outputs).
        truth: as `nll` takes it.
    """
    if len(logits) < LEAST_ROWS:
        return 1.0
    if len(logits) > MOST_ROWS:
        some = np.linspace(0, len(logits) - 1, MOST_ROWS).astype(np.int64)
        logits, truth = logits[some], truth[some]
    given: Floats = logits.astype(np.float64)
    optimize = require("scipy.optimize", "fitting the temperature")
    ends = (math.log(LOWEST), math.log(HIGHEST))
    found = optimize.minimize_scalar(lambda x: nll(given, truth, math.exp(x)), bounds=ends, method="bounded", options={"xatol": 1e-5})
    beyond = min(nll(given, truth, LOWEST), nll(given, truth, HIGHEST)) <= found.fun + 1e-9
    return 1.0 if beyond or found.fun >= nll(given, truth, 1.0) else math.exp(found.x)


def least_rows(coverage: float) -> int:
    """How many validation rows a conformal threshold for this coverage needs.

    Example:
        >>> least_rows(0.9), least_rows(0.95)
        (9, 19)
    """
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def conformal_quantile(scores: Floats, coverage: float) -> float | None:
    """The score that a new row stays below with a probability of at least `coverage`, if it is drawn as these were.

    Split conformal prediction (Vovk et al. 2005; Lei et al. 2018): the ceil((n + 1) coverage)-th smallest of n scores. None where that
    is more than n.

    Args:
        scores: (rows,) how badly each row fits what was said of it.
        coverage: wanted share, above 0 and below 1.
    """
    if len(scores) < least_rows(coverage):
        return None
    place = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.partition(scores, place - 1)[place - 1])


def threshold_for_recall(p: Floats, truth: npt.NDArray[Any], recall: float) -> float | None:
    """The highest probability from which on positives are said so that a new positive is found with a probability of at least `recall`.

    Like a conformal threshold of the positives alone, so their number is taken into account; with too few positives for that, all of
    them are found. It lies midway to the next lower probability, so that rounding does not decide. None without positives.

    Args:
        p: (rows,) probabilities of the positive class.
        truth: (rows,) whether each is positive.
        recall: wanted share of positives that are found, above 0 and at most 1.
    """
    positives = np.sort(p[truth.astype(bool)])[::-1]
    if not len(positives):
        return None
    place = min(len(positives), math.ceil((len(positives) + 1) * recall - 1e-9))
    last = float(positives[place - 1])
    lower = p[p < last]
    return (last + float(lower.max())) / 2 if len(lower) else last


def threshold_for_cost(p: Floats, truth: npt.NDArray[Any], cost: float) -> float:
    """The threshold that makes `cost` x missed positives + false alarms least on these rows.

    Of equally good ones that nearest to 1 / (1 + cost), which is best where probabilities are calibrated (Elkan 2001); that itself where
    the rows are all positive or all negative.

    Args:
        p: (rows,) probabilities of the positive class.
        truth: (rows,) whether each is positive.
        cost: of a missed positive, in false alarms; above 0.
    """
    own, positive = 1 / (1 + cost), truth.astype(bool)
    if positive.all() or not positive.any():
        return own
    levels = np.unique(p)
    cuts = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])  # between the probabilities, below and above all
    cuts = np.append(cuts, own)
    missed = np.searchsorted(np.sort(p[positive]), cuts)
    alarms = (~positive).sum() - np.searchsorted(np.sort(p[~positive]), cuts)
    price = cost * missed + alarms
    best = np.flatnonzero(price <= price.min() * (1 + 1e-12))
    return float(cuts[best[np.argmin(np.abs(cuts[best] - own))]])
