"""Whether classification does better than chance, said plainly: a table of scores hides that 0.55 may be nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def no_better(
    scores: Mapping[str, Any], constant: Mapping[str, Any], intervals: Mapping[str, Sequence[float]], level: float = 0.95
) -> str | None:
    """A sentence where classes are told apart no better than by chance; None where they are, or where that cannot be told.

    Chance may have done it where the interval of the accuracy reaches down to what always saying the same class gets, and that of the
    AUROC, which does not care how frequent classes are, to 0.5.

    Args:
        scores: of the test split.
        constant: of the best constant prediction, on the same rows.
        intervals: score -> both ends.
        level: of the intervals.

    Example:
        >>> no_better({"accuracy": 0.53, "rows": 200}, {"accuracy": 0.52}, {"accuracy": (0.46, 0.6)})
        'This does no better than chance: accuracy 0.530 (95% interval 0.460 to 0.600), and always saying the same class gets 0.520.'
        >>> no_better({"accuracy": 0.7}, {"accuracy": 0.52}, {"accuracy": (0.64, 0.76)}) is None
        True
    """
    parts = []
    for name, floor, told in (("accuracy", constant.get("accuracy"), "always saying the same class gets"), ("auroc", 0.5, "chance is")):
        value, pair = scores.get(name), intervals.get(name)
        if value is None or pair is None or floor is None:
            continue
        if pair[0] > floor:
            return None
        shown = "AUROC" if name == "auroc" else name
        parts.append(f"{shown} {value:.3f} ({level:.0%} interval {pair[0]:.3f} to {pair[1]:.3f}), and {told} {floor:.3f}")
    return f"This does no better than chance: {'; '.join(parts)}." if parts else None
