"""What readers of a single file share: its name in messages, where paths in it start from, and its rows of its pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunesmith.data.bad_rows import BadRows
from tunesmith.data.values import Located, Value

Piece = tuple[str, str, dict[str, Value] | None]
"""Where a piece of a file's text begins (`line 17`), the text, and the row it holds; None where it holds none that can be read."""


@dataclass(frozen=True)
class OneFile(ABC):
    """A reader of one file (see `readers.Reader`)."""

    path: Path

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        return self.path.parent

    @abstractmethod
    def rows(self, bad: BadRows) -> Iterator[Located]: ...


@dataclass(frozen=True)
class InPieces(OneFile):
    """A reader that cuts the text of its file into pieces, each of them a row or no row."""

    def rows(self, bad: BadRows) -> Iterator[Located]:
        for where, _, row in self.pieces(bad):
            if row is not None:
                yield where, row

    @abstractmethod
    def pieces(self, bad: BadRows) -> Iterator[Piece]:
        """The whole text in pieces; what is no row but should be one goes to `bad`."""
