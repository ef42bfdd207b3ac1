"""Raw labels of many rows in a few bytes each: numbers as they are, names and tuples of names by their places in a list of names.

["a", "b", "a"]          ->  names ["a", "b"], values [0, 1, 0]                         4 bytes a row
[("a", "b"), (), ("b",)] ->  names ["a", "b"], values [0, 1, 1], starts [0, 2, 2, 3]    8 bytes a row and 4 a name
[0.5, 2.0]               ->  names [], values [0.5, 2.0]                                8 bytes a row
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from tunesmith.core.contracts import Task

Rows = npt.NDArray[np.int64]
PIECE = 4096


@dataclass(frozen=True, eq=False)
class Labels(Sequence[Any]):
    """What `Task.raw` gave for (n,) rows.

    Attributes:
        names: every name once; empty where the labels are numbers.
        values: the numbers (float64), or places in `names` (int32).
        starts: (n + 1,) where each row's names begin in `values`; None where each row has one.
    """

    names: list[Any]
    values: npt.NDArray[Any]
    starts: Rows | None = None

    def __len__(self) -> int:
        return len(self.values) if self.starts is None else len(self.starts) - 1

    @overload
    def __getitem__(self, number: int) -> Any: ...
    @overload
    def __getitem__(self, number: slice) -> Labels: ...
    def __getitem__(self, number: int | slice) -> Any:
        if isinstance(number, slice):
            return self.take(np.arange(len(self))[number])
        if self.starts is not None:
            if not -len(self) <= number < len(self):
                raise IndexError(number)
            number %= len(self)
            return tuple(self.names[place] for place in self.values[self.starts[number] : self.starts[number + 1]])
        value = self.values[number]
        return self.names[value] if self.names else float(value)

    def __iter__(self) -> Iterator[Any]:
        if self.starts is not None:
            yield from (self[i] for i in range(len(self)))
            return
        for start in range(0, len(self), PIECE):
            piece = self.values[start : start + PIECE].tolist()
            yield from (map(self.names.__getitem__, piece) if self.names else piece)

    def take(self, positions: Rows) -> Labels:
        """Those at the positions, in their order."""
        if self.starts is None:
            return Labels(self.names, self.values[positions])
        lengths = np.diff(self.starts)[positions]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return Labels(self.names, self.values[np.repeat(self.starts[:-1][positions], lengths) + within], starts)


class Collector:
    """Takes in labels one by one; a task's labels are of one kind: numbers, names, or tuples of names."""

    def __init__(self) -> None:
        self.places: dict[Any, int] = {}
        self.values: array[Any] = array("i")
        self.starts = array("q", [0])

    def add(self, raw: Any) -> None:
        """Take in the next row's label."""
        if isinstance(raw, float):
            if self.values.typecode != "d":
                assert not self.values, "numbers among names"
                self.values = array("d")
            self.values.append(raw)
        elif isinstance(raw, tuple):
            self.values.extend([self._place(name) for name in raw])
            self.starts.append(len(self.values))
        else:
            self.values.append(self._place(raw))

    def _place(self, name: Any) -> int:
        return self.places.setdefault(name, len(self.places))

    def labels(self) -> Labels:
        """All that were taken in."""
        values = np.frombuffer(self.values, np.dtype(self.values.typecode)) if self.values else np.empty(0, np.int32)
        starts = np.frombuffer(self.starts, np.int64) if len(self.starts) > 1 else None
        return Labels(list(self.places), values, starts)


@dataclass(frozen=True, eq=False)
class Targets(Mapping[int, Any]):
    """Row number -> target, worked out when it is asked for.

    Attributes:
        task: fitted on the training rows.
        numbers: (n,) numbers of the rows, ascending.
        labels: their raw labels.
    """

    task: Task
    numbers: npt.NDArray[np.int32]
    labels: Labels

    def __getitem__(self, number: int) -> Any:
        place = int(np.searchsorted(self.numbers, number))
        if place == len(self.numbers) or self.numbers[place] != number:
            raise KeyError(number)
        return self.task.target(self.labels[place])

    def __iter__(self) -> Iterator[int]:
        return (number for start in range(0, len(self), PIECE) for number in self.numbers[start : start + PIECE].tolist())

    def __len__(self) -> int:
        return len(self.numbers)

    def stored(self) -> tuple[dict[str, npt.NDArray[Any]], list[Any]]:
        """Arrays and names that a resumed run needs."""
        starts = {} if self.labels.starts is None else {"starts": self.labels.starts}
        return {"numbers": self.numbers, "values": self.labels.values, **starts}, self.labels.names


def ranks(texts: Iterable[str], count: int) -> npt.NDArray[np.int32]:
    """Of each text its place among the different ones in sorted order.

    Example:
        >>> ranks(["b", "a", "b"], 3).tolist()
        [1, 0, 1]
    """
    places: dict[str, int] = {}
    codes = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int32, count)
    order = sorted(places)
    rank = np.empty(len(places), np.int32)
    rank[[places[text] for text in order]] = np.arange(len(order), dtype=np.int32)
    return rank[codes] if len(places) else codes
