"""What each modality adds to a score, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.core.kinds import SHOWN
from tunesmith.report import words

CHANCE = 0.05
"""p from which on a difference may be chance."""


def named(item: Mapping[str, Any]) -> str:
    """What the columns of a modality hold, in words.

    Example:
        >>> named({"kinds": ["category", "number"]})
        'categories and numbers'
    """
    return words.listed([SHOWN[kind] for kind in item["kinds"]])


def gain(item: Mapping[str, Any]) -> float:
    """By how much the score is better with the modality than without."""
    return float(item["difference"]) * (1 if item["direction"] == "max" else -1)


def sentence(found: Sequence[Mapping[str, Any]]) -> str:
    """What each modality adds to the score, the most first; empty where that is not known.

    Example:
        >>> shared = {"metric": "r2", "direction": "max", "note": ""}
        >>> sentence([
        ...     {"kinds": ["image"], "difference": 0.01, "interval": [-0.02, 0.04], "p": 0.5, **shared},
        ...     {"kinds": ["number"], "difference": 0.7, "interval": [0.5, 0.9], "p": 0.0001, **shared},
        ... ])
        'Numbers add 0.700 R² [0.500, 0.900] to what the others give; pictures add 0.010 R² [-0.020, 0.040], which may be chance.'
    """
    known = sorted((item for item in found if "difference" in item), key=gain, reverse=True)
    if not known:
        return ""
    told = [_one(item, " to what the others give" if place == 0 else "") for place, item in enumerate(known)]
    return words.sentence("; ".join(told) + ".")


def _one(item: Mapping[str, Any], to: str) -> str:
    better = gain(item)
    pair = item["interval"]
    if pair and item["direction"] == "min":
        pair = [-pair[1], -pair[0]]
    told = f"{named(item)} {'add' if better >= 0 else 'take'} {words.number(abs(better))} {words.metric(item['metric'])}"
    told += f" {words.interval(pair if better >= 0 or not pair else [-pair[1], -pair[0]])}" if pair else ""
    told += to if better >= 0 else " from what the others give"
    return told + (", which may be chance" if item["p"] is None or item["p"] >= CHANCE else "")
