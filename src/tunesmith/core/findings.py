"""What the data gate is given, and what it finds: facts about the data that decide whether a result can be trusted.

View --Inspection.inspect--> Findings --launch/gate.py--> table, metrics.json, report, cleaned copy
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith.core.contracts import Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunesmith.core.arrays import Floats

    Reader = Callable[[Sequence[int] | npt.NDArray[np.int64], Sequence[str] | None], Iterator[Row]]

Severity = Literal["info", "warning", "error"]
"""`error` stops a run: its test scores would not mean what they say. `warning` is to be looked at; `info` is to be known."""

SPLITS = ("train", "validation", "test")
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Example:
    """One place where a finding shows.

    Attributes:
        row: number of the row in the table; None where the example is a column, a class, a file.
        shown: what stands there, in a line.
        beside: number of the row it collides with, where there is one.
    """

    row: int | None
    shown: str
    beside: int | None = None


@dataclass(frozen=True, eq=False)
class Finding:
    """Something the data holds that its owner should know.

    Attributes:
        name: what was found, in snake_case; one inspection may find several things.
        severity: see `Severity`.
        count: how many rows (or columns, classes) it concerns.
        of: how many were looked at.
        what: one sentence for a person, with the figures.
        advice: what to do, in one sentence.
        examples: at most MOST_EXAMPLES.
        leave_out: numbers of the rows that a cleaned copy leaves out; empty where leaving out rows mends nothing. Of two rows that say the
            same the one in training goes before the one in validation, and that before the one in test; within a split the later one.
        instead: for each of `leave_out` the row that stands for it and stays; empty where there is none.
    """

    name: str
    severity: Severity
    count: int
    of: int
    what: str
    advice: str
    examples: Sequence[Example] = ()
    leave_out: Sequence[int] = ()
    instead: Sequence[int] = ()


@dataclass(frozen=True, eq=False)
class View:
    """The divided data as inspections see it; rows are read when they are asked for.

    Attributes:
        columns: all columns of the table.
        inputs: input column -> its kind (`core.kinds`).
        label: label column(s).
        group: column whose equal values belong together, where the recipe names one.
        time: column of moments, where the recipe names one.
        splits: split -> numbers of its rows, ascending.
        answers: what is predicted, as `Task.answers`.
        targets: split -> (n,) class numbers (integers) or numbers (floats), (n, labels) of 0 and 1, or what else `Task.truth` makes.
        classes: names of the classes or labels; empty for numbers.
        read: (row numbers, columns) -> their rows; columns None for all. Pictures come as `Picture`, path or bytes.
        raw: the same with what the table itself holds, pictures as path or bytes: a `Picture` tells neither its file's name nor, where it
            was kept smaller, its size.
        origin: row number -> file and place in it.
        unreadable: rows that could not be used: how many, and the first of them in words.
        rows: how many rows were read, usable or not.
        features: split -> (n, width) pooled features of the backbone as it came; None where they were not computed.
        seed: decides what is drawn.
    """

    columns: tuple[str, ...]
    inputs: Mapping[str, str]
    label: tuple[str, ...]
    group: str | None
    time: str | None
    splits: Mapping[str, npt.NDArray[np.int64]]
    answers: str
    targets: Mapping[str, npt.NDArray[Any]]
    classes: Sequence[str]
    read: Reader
    raw: Reader
    origin: Callable[[int], tuple[str, str]]
    unreadable: tuple[int, Sequence[str]] = (0, ())
    rows: int = 0
    features: Callable[[str], Floats | None] = field(default=lambda split: None)
    seed: int = 0

    def of_kind(self, kind: str) -> list[str]:
        """Input columns of a kind."""
        return [column for column, found in self.inputs.items() if found == kind]


class Inspection(ABC):
    """Looks at the data for one kind of trouble.

    Attributes:
        answers: what must be predicted for it to make sense, as `Task.answers`; empty where that does not matter.
    """

    name: ClassVar[str]
    answers: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def applies(self, view: View) -> str | None:
        """Why there is nothing to inspect in such data, or None."""

    @abstractmethod
    def inspect(self, view: View) -> list[Finding]:
        """What was found; empty where all is well. Memory must not grow with the rows by more than some tens of bytes each."""
