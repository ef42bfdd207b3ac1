"""Reading the text of single cells."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence


def is_number(text: str) -> bool:
    """Whether a text is a finite decimal number."""
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def split_labels(value: str, separators: Sequence[str] = ("|", ";")) -> list[str]:
    """The labels in one cell of a multi-label column: a JSON list, or parts between `|` or `;`.

    Example:
        >>> split_labels('["a", "b"]'), split_labels("a | b"), split_labels("a")
        (['a', 'b'], ['a', 'b'], ['a'])
    """
    if value.startswith("["):
        try:
            return [str(item) for item in json.loads(value)]
        except json.JSONDecodeError:
            pass
    for mark in separators:
        if mark in value:
            return [part.strip() for part in value.split(mark) if part.strip()]
    return [value.strip()]
