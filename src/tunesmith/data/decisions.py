"""What was decided of a table: each decision with its reason and the flag that overrules it, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunesmith.core.windows import Windows
from tunesmith.data.columns import Column


@dataclass(frozen=True)
class Decision:
    """One thing that was decided: what, the value, why, and how to overrule it."""

    what: str
    value: str
    why: str
    flag: str


@dataclass
class Columns:
    """What the columns mean.

    Attributes:
        kinds: what each input holds (`core.kinds`).
        windows: how rows make examples, where they are time points.
        every: what each column of the table is.
    """

    inputs: list[str]
    kinds: dict[str, str]
    modality: str
    label: list[str]
    task: str
    split: str | None = None
    decisions: list[Decision] = field(default_factory=list)
    windows: Windows | None = None
    every: list[Column] = field(default_factory=list)
