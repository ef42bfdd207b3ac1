"""Whether groups of people fare differently: how often each is given the favourable answer, and how often rightly so.

    selection rate:        share of a group's rows that are told the answer
    true positive rate:    that share among its rows of which the answer is true
    false positive rate:   that share among its rows of which it is not

Demographic parity compares the first between groups, equalised odds the second and third (Hardt, Price and Srebro 2016): the difference
between the greatest and the least, and the ratio of the least to the greatest. Both are fairlearn's. The greatest of several measured rates
minus the least is above 0 by chance alone, the more so the smaller the groups; so groups of few rows are shown and not compared, and the
difference has an interval by drawing the rows of each group anew.

With two classes the answer is the second one; with more, each class in turn, whose metrics stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.core.errors import require
from tunesmith.evaluate.calibration import clopper_pearson
from tunesmith.evaluate.slices import cut

LEAST = 30
"""Rows of a group, and LEAST_EACH with and without the answer as its truth, from which on it is compared."""

LEAST_EACH = 10
REPLICATES = 2000
LEVEL = 0.95
MOST_CLASSES = 10

Places = npt.NDArray[np.int64]


def fairness(
    said: Places, truth: Places, classes: Sequence[str], columns: Mapping[str, Sequence[Any]], seed: int = 0
) -> list[dict[str, Any]]:
    """The key `fairness` of metrics.json.

    Args:
        said: (n,) class numbers that are predicted.
        truth: (n,) true ones.
        classes: their names.
        columns: column -> (n,) values by which rows are grouped; numbers are cut at their quantiles.
        seed: decides what is drawn.

    Returns:
        For each column, and each class where there are more than two: `{column, answer, demographic_parity: {difference, ratio, interval},
        equalised_odds: {difference, ratio, interval}, groups: [{value, rows, selection_rate, true_positive_rate, false_positive_rate,
        compared}], sentence}`; rates are `{value, interval, of}` or null where there is no row to count, the two comparisons null where
        fewer than two groups are large enough.
    """
    answers = [1] if len(classes) == 2 else range(min(len(classes), MOST_CLASSES))
    return [
        _compared(said == answer, truth == answer, values, column, classes[answer], seed)
        for column, values in columns.items()
        for answer in answers
    ]


def _compared(
    said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], values: Sequence[Any], column: str, answer: str, seed: int
) -> dict[str, Any]:
    names, codes = cut(values)
    groups = [_group(said[codes == code], truth[codes == code], name) for code, name in enumerate(names)]
    left = int((codes < 0).sum())
    large = [code for code, group in enumerate(groups) if group["compared"]]
    parity = odds = None
    if len(large) > 1:
        inside = np.isin(codes, large)
        parity, odds = _measured(said[inside], truth[inside], codes[inside], seed)
    return {
        "column": column,
        "answer": answer,
        "demographic_parity": parity,
        "equalised_odds": odds,
        "groups": groups,
        "ungrouped": left,
        "sentence": _sentence(column, answer, groups, parity, odds),
    }


def _group(said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], name: str) -> dict[str, Any]:
    def rate(of: npt.NDArray[np.bool_]) -> dict[str, Any] | None:
        rows, hits = int(of.sum()), int((said & of).sum())
        return {"value": hits / rows, "interval": list(clopper_pearson(hits, rows, LEVEL)), "of": rows} if rows else None

    enough = len(said) >= LEAST and min(int(truth.sum()), int((~truth).sum())) >= LEAST_EACH
    rates = {"selection_rate": rate(np.ones_like(truth)), "true_positive_rate": rate(truth), "false_positive_rate": rate(~truth)}
    return {"value": name, "rows": len(said), **rates, "compared": enough}


def _measured(said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], codes: Places, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Demographic parity and equalised odds of rows whose groups are all compared."""
    metrics = require("fairlearn.metrics", "comparing groups (--fairness)")
    given = {"y_true": truth.astype(int), "y_pred": said.astype(int), "sensitive_features": codes}
    parity, odds = _drawn(said, truth, codes, seed)
    return (
        {
            "difference": float(metrics.demographic_parity_difference(**given)),
            "ratio": float(metrics.demographic_parity_ratio(**given)),
            "interval": parity,
        },
        {
            "difference": float(metrics.equalized_odds_difference(**given)),
            "ratio": float(metrics.equalized_odds_ratio(**given)),
            "interval": odds,
        },
    )


def _drawn(said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], codes: Places, seed: int) -> tuple[list[float], list[float]]:
    """Intervals of both differences: the rows of each group are drawn anew, which is one multinomial draw of its four counts."""
    random = np.random.default_rng(seed)
    rates = []
    for code in np.unique(codes):
        inside = codes == code
        cells = np.bincount(2 * truth[inside] + said[inside], minlength=4)
        drawn = random.multinomial(int(inside.sum()), cells / cells.sum(), REPLICATES).astype(float)  # (replicates, 4)
        right_no, false_yes, missed, found = drawn.T
        selected = (false_yes + found) / drawn.sum(axis=1)
        with np.errstate(invalid="ignore"):  # a draw without a row to count
            rates.append(np.stack([selected, found / (found + missed), false_yes / (false_yes + right_no)]))
    spans = np.nanmax(rates, axis=0) - np.nanmin(rates, axis=0)  # (3, replicates)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    parity, odds = np.nanquantile(spans[0], ends), np.nanquantile(np.nanmax(spans[1:], axis=0), ends)
    return parity.tolist(), odds.tolist()


def _sentence(
    column: str, answer: str, groups: Sequence[Mapping[str, Any]], parity: Mapping[str, Any] | None, odds: Mapping[str, Any] | None
) -> str:
    small = [str(group["value"]) for group in groups if not group["compared"]]
    shown = ", ".join(small[:5]) + (f" and {len(small) - 5} more" if len(small) > 5 else "")
    few = f" Too small to be compared: {shown}." if small else ""
    if parity is None or odds is None:
        return (
            f"Groups of '{column}' cannot be compared: fewer than two have {LEAST} test rows, with {LEAST_EACH} of each truth among them."
            + few
        )
    large = sorted((group for group in groups if group["compared"]), key=lambda group: float(group["selection_rate"]["value"]))
    least, most = large[0], large[-1]
    first, last = (f"{group['selection_rate']['value']:.1%} of {group['value']}" for group in (most, least))
    return (
        f"By '{column}', '{answer}' is said of {first} and {last}: a difference of {parity['difference']:.3f} "
        f"({_interval(parity)}), a ratio of {parity['ratio']:.2f}. Where the truth is the same, groups still differ by up to "
        f"{odds['difference']:.3f} ({_interval(odds)})." + few
    )


def _interval(part: Mapping[str, Any]) -> str:
    low, high = part["interval"]
    return f"interval {low:.3f} to {high:.3f}"
