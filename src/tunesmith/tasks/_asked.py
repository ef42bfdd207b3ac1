"""What tasks share that can be told which share of cases to find, what a missed one costs, or how often the truth must be covered."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from tunesmith.evaluate.post_hoc import LEAST_ROWS, least_rows

RECALL = "share of the positives that must be found; sets the decision threshold on validation"
COST = "cost of a missed positive, in false alarms; sets the decision threshold on validation"
COVERAGE = "share of rows whose truth must be covered, below 1; 0 for none"
TEMPERATURE = "what the outputs are divided by before they become probabilities; fitted on validation"


def check(recall: float | None, cost: float | None) -> None:
    """Refuse values without sense.

    Raises:
        ValueError: which, naming the field.
    """
    if recall is not None and cost is not None:
        raise ValueError("fields 'recall' and 'cost' both set the decision threshold; state one of them")
    if recall is not None and not 0 < recall <= 1:
        raise ValueError(f"field 'recall' is a share above 0 and at most 1, not {recall:g}")
    if cost is not None and not 0 < cost < float("inf"):
        raise ValueError(f"field 'cost' must be above 0, not {cost:g}")


def check_coverage(coverage: float) -> None:
    """Refuse a coverage without sense.

    Raises:
        ValueError: naming the field.
    """
    if not 0 <= coverage < 1:
        raise ValueError(f"field 'coverage' is a share from 0 up to but not including 1, not {coverage:g}")


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not positive.

    Raises:
        ValueError: naming the field.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"field 'temperature' must be above 0, not {temperature:g}")


def asked(recall: float | None, cost: float | None) -> dict[str, float]:
    """What was stated, by the field's name."""
    return {name: value for name, value in (("recall", recall), ("cost", cost)) if value is not None}


def nothing() -> dict[str, Any]:
    """The shape of `Task.calibration` before anything is measured."""
    return {"temperature": None, "ece": None, "bins": [], "bins_before": [], "conformal": None, "threshold": None, "notes": {}}


def temperature_note(temperature: float) -> dict[str, str]:
    """Why a temperature is 1."""
    if temperature != 1:
        return {}
    return {"temperature": f"stayed at 1: fewer than {LEAST_ROWS} validation rows, or no other made them more likely"}


def coverage_note(coverage: float, fitted: bool) -> dict[str, str]:
    """Why nothing conformal was fitted."""
    if fitted:
        return {}
    if not coverage:
        return {"conformal": "not asked for (coverage 0)"}
    return {"conformal": f"not fitted: a coverage of {coverage:.4g} needs at least {least_rows(coverage)} validation rows"}


def groups_note(groups: npt.NDArray[Any] | None) -> dict[str, str]:
    """What a conformal guarantee is worth where rows belong together."""
    if groups is None:
        return {}
    return {
        "conformal": "promises its coverage for rows that are exchangeable with the validation rows; rows of a group are alike, so what "
        "was measured on the test rows is what counts, with its interval by whole groups"
    }
