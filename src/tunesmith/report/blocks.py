"""What a page is made of: sections of prose, tables, figures, entries and listings. The template knows these and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tunesmith.report.summary import Tone

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}


@dataclass(frozen=True)
class Cell:
    """What stands in one cell of a table.

    Attributes:
        text: escaped by the template.
        svg: a small drawing beside the text, from charts.py.
        tone: good, bad or open, which also gives the text a mark.
        heat: share from 0 to 1 by which the cell is filled; None for none.
        strong: whether it is the one to look at.
        picture: a picture as a data URI.
    """

    text: str = ""
    svg: str = ""
    tone: Tone = "plain"
    heat: float | None = None
    strong: bool = False
    picture: str = ""


@dataclass(frozen=True)
class Column:
    """A column: `number` stands to the right, `long` holds texts, `bar` drawings."""

    name: str
    kind: Literal["word", "number", "long", "bar"] = "word"


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Attributes:
        caption: what it shows.
        columns: as many as each row has cells.
        rows: cells, or texts that stand for cells.
        note: a line below it.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | str]]
    note: str = ""
    kind: str = field(default="table", init=False)

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, all as cells."""
        return [[Cell(item) if isinstance(item, str) else item for item in row] for row in self.rows]


@dataclass(frozen=True)
class Figure:
    """A chart with its caption and the names of its series (1 or 2, drawn by their mark)."""

    svg: str
    caption: str
    legend: Sequence[tuple[int, str]] = ()
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True)
class Figures:
    """Charts side by side where there is room."""

    figures: Sequence[Figure]
    kind: str = field(default="figures", init=False)


@dataclass(frozen=True)
class Entry:
    """Something that is told in a few lines: a finding.

    Attributes:
        title: its name.
        badge: one word that classes it.
        tone: how it is to be taken.
        text: sentences.
        items: examples.
    """

    title: str
    badge: str
    tone: Tone
    text: Sequence[str]
    items: Sequence[str] = ()


@dataclass(frozen=True)
class Entries:
    """Entries, one below the other."""

    entries: Sequence[Entry]
    kind: str = field(default="entries", init=False)


@dataclass(frozen=True)
class Listing:
    """Text as it stands in a file or on a command line."""

    text: str
    label: str
    kind: str = field(default="listing", init=False)


Block = Table | Figure | Figures | Entries | Listing


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        id: its anchor.
        title: its heading.
        prose: what is to be known of it, in sentences.
        blocks: what it shows.
    """

    id: str
    title: str
    prose: Sequence[str] = ()
    blocks: Sequence[Block] = ()


def embedded(path: Path) -> str:
    """A picture as a data URI; empty where there is no such file or it is no picture that browsers show."""
    kind = TYPES.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return ""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
