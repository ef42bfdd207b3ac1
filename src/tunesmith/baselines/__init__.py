"""Cheap ways to do a task, which adapting has to beat; one file a way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunesmith.core import memory, registry
from tunesmith.core.errors import TunesmithError, require
from tunesmith.core.outcomes import Baseline, Given, Said
from tunesmith.core.spending import Meter, Spent

if TYPE_CHECKING:
    from tunesmith.core.arrays import Floats


@dataclass(frozen=True, eq=False)
class Tried:
    """A baseline, and what became of it.

    Attributes:
        name: as registered.
        said: its predictions; None where it was left out.
        skipped: why it was left out; empty where it was not.
        spent: what it cost, with the features of the backbone where it used them; None where it was left out.
    """

    name: str
    said: Said | None
    skipped: str
    spent: Spent | None


def tried(given: Given, names: Sequence[str] | None = None, features: Spent | None = None) -> list[Tried]:
    """Try baselines one after the other.

    Args:
        given: what they may use.
        names: which; None for all that are registered. One that does not suit the data, or that fails with an error meant for
            users, is left out with the reason; any other error is a fault and is raised.
        features: what computing `given.features` cost, which is added to the cost of each baseline that asks for them.

    Raises:
        UnknownNameError: no baseline of such a name.
    """
    return [_tried(registry.find("baselines", name).name, given, features) for name in names or registry.entries("baselines")]


def _tried(name: str, given: Given, features: Spent | None) -> Tried:
    baseline: Baseline = registry.create("baselines", name, {})
    reason = None if given.answers in baseline.answers else f"it gives {' or '.join(baseline.answers)}, not {given.answers}"
    reason = reason or baseline.fits(given)
    if reason is not None:
        return Tried(name, None, reason, None)
    asked: list[str] = []

    def noted(split: str) -> Floats | None:
        asked.append(split)
        return given.features(split)

    try:
        for module in baseline.needs:
            require(module, f"the baseline '{name}'")
        with Meter() as meter:
            said = baseline.said(replace(given, features=noted))
    except TunesmithError as error:
        return Tried(name, None, str(error), None)
    except (MemoryError, RuntimeError) as error:
        if not memory.ran_out(error):
            raise
        return Tried(name, None, "memory ran out", None)
    return Tried(name, said, "", features + meter.spent if features is not None and asked else meter.spent)
