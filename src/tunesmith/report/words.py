"""Numbers and findings as people read them; no HTML here, so that page, card and terminal say the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.core.contracts import Prediction

NAMES = {
    "f1": "F1",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "weighted_f1": "weighted F1",
    "balanced_accuracy": "balanced accuracy",
    "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss",
    "log_loss": "log loss",
    "mcc": "MCC",
    "auroc": "AUROC",
    "rmse": "RMSE",
    "mae": "MAE",
    "mrr": "MRR",
    "r2": "R²",
    "wer": "WER",
    "cer": "CER",
    "row_wer": "WER by row",
    "rmse_log": "RMSE of logarithms",
    "r2_log": "R² of logarithms",
    "mse_standardised": "MSE (standardised)",
    "mae_standardised": "MAE (standardised)",
    "mase": "MASE",
    "smape": "sMAPE",
    "crps": "CRPS",
    "scaled_crps": "scaled CRPS",
}


def metric(name: str) -> str:
    """A score's name as the field writes it.

    Example:
        >>> metric("macro_f1"), metric("average_precision")
        ('macro F1', 'average precision')
    """
    return NAMES.get(name, name.replace("_", " "))


def number(value: Any) -> str:
    """A score: three decimals, more figures only where it is large or tiny; nothing where there is none.

    Example:
        >>> number(0.83192), number(1234.5), number(0.00012), number(4), number(None)
        ('0.832', '1,234.5', '0.00012', '4', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "not finite"
    if abs(value) >= 100:
        return f"{value:,.1f}"
    return f"{value:.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2g}"


def signed(value: float) -> str:
    """A difference with its sign.

    Example:
        >>> signed(0.02), signed(-0.02), signed(0.0)
        ('+0.020', '-0.020', '0.000')
    """
    return ("+" if value > 0 else "-" if value < 0 else "") + number(abs(float(value)))


def interval(pair: Sequence[float] | None) -> str:
    """Both ends of an interval.

    Example:
        >>> interval([0.8, 0.86]), interval(None)
        ('[0.800, 0.860]', '')
    """
    return f"[{number(float(pair[0]))}, {number(float(pair[1]))}]" if pair else ""


def share(value: float) -> str:
    """A share in percent.

    Example:
        >>> share(0.905), share(0.003), share(1)
        ('90%', '0.3%', '100%')
    """
    return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}"


def shares(pair: Sequence[float] | None) -> str:
    """Both ends of an interval of a share, in percent.

    Example:
        >>> shares([0.893, 0.929])
        '[89%, 93%]'
    """
    return f"[{share(pair[0])}, {share(pair[1])}]" if pair else ""


def sentence(text: str) -> str:
    """The text with a capital at its beginning.

    Example:
        >>> sentence("macro F1 0.8.")
        'Macro F1 0.8.'
    """
    return text[:1].upper() + text[1:]


def probability(p: float) -> str:
    """A p-value.

    Example:
        >>> probability(0.0312), probability(1e-9)
        ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def duration(seconds: float) -> str:
    """A time.

    Example:
        >>> duration(0.04), duration(42.3), duration(150), duration(9000)
        ('0.04 s', '42 s', '2.5 min', '2.5 h')
    """
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 100:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def gigabytes(value: float) -> str:
    """Memory or disk, given in GB.

    Example:
        >>> gigabytes(1.416), gigabytes(0.5)
        ('1.4 GB', '512 MB')
    """
    return f"{value:.1f} GB" if value >= 1 else f"{value * 1024:.0f} MB"


def counted(count: int, noun: str, several: str | None = None) -> str:
    """A count with its noun.

    Example:
        >>> counted(1, "row"), counted(1200, "row")
        ('1 row', '1,200 rows')
    """
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def said(value: Any) -> str:
    """A target or a prediction in a few words.

    Example:
        >>> said({"label": "a", "probability": 0.9}), said(["a", "b"]), said([]), said(2.5)
        ('a', 'a, b', 'none', '2.500')
    """
    if isinstance(value, Mapping):
        prediction: Prediction = dict(value)
        value = next((prediction[key] for key in ("label", "labels", "value", "text") if key in prediction), prediction)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return number(value)


def ends(scale: tuple[float, float]) -> str:
    """A range.

    Example:
        >>> ends((0.5, 1.0))
        '0.500 to 1.000'
    """
    return f"{number(scale[0])} to {number(scale[1])}"
