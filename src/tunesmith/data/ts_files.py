"""Reader of the UCR and UEA archives' `.ts` files: one labelled series a line, after a header.

    @problemName BasicMotions
    @classLabel true Standing Running
    @data
    0.07,0.09,-0.3:1.2,?,0.4:Running      two channels, a missing value, the label

A row is `series` (JSON, see `core.series`), `label` where the file has labels, and, where values carry moments as in (0,1.5),(1,?),
`stamps`: `even` or `uneven`; uneven ones are put onto an even grid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunesmith.core.cells import is_number
from tunesmith.core.errors import DataError, RowError
from tunesmith.core.series import evenly, to_cell
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.one_file import OneFile
from tunesmith.data.split import moment
from tunesmith.data.text_files import decoding, open_text
from tunesmith.data.values import Located, Value

MISSING = ("?", "", "nan", "NaN")


@dataclass(frozen=True)
class _Header:
    """What the lines before the data say."""

    labelled: bool
    stamped: bool
    channels: int | None


@dataclass(frozen=True)
class TsReader(OneFile):
    """A `.ts` file."""

    encoding: str = "utf-8"

    def rows(self, bad: BadRows) -> Iterator[Located]:
        with open_text(self.path, self.encoding) as handle, decoding(self.path, self.encoding):
            told: dict[str, str] = {}
            header: _Header | None = None
            for number, line in enumerate(handle, start=1):
                text = line.strip()
                if not text or text.startswith("#"):
                    continue
                if header is None and text.startswith("@"):
                    key, _, value = text[1:].partition(" ")
                    if key.lower() == "data":
                        header = _header(self.path, told)
                    told[key.lower()] = value.strip()
                elif header is None:
                    raise DataError(f"{self.path}, line {number}: a line of data before @data; this is no .ts file of the UCR archive")
                else:
                    try:
                        yield f"line {number}", _row(text, header)
                    except RowError as error:
                        bad.add(self.label, f"line {number}", str(error))
            if header is None:
                raise DataError(f"{self.path} has no line @data; this is no .ts file of the UCR archive")


def _header(path: Path, told: dict[str, str]) -> _Header:
    def said(key: str) -> bool:
        return told.get(key, "false").split(" ")[0].lower() == "true"

    channels: int | None = None
    if said("univariate"):
        channels = 1
    elif "dimensions" in told or "dimension" in told:
        written = told.get("dimensions") or told["dimension"]
        if not written.isdigit():
            raise DataError(f"{path}: @dimensions is a whole number (got {written!r})")
        channels = int(written)
    return _Header(said("classlabel") or said("targetlabel"), said("timestamps"), channels)


def _row(text: str, header: _Header) -> dict[str, Value]:
    """A line of data.

    Raises:
        RowError: it cannot be read.
    """
    parts = re.split(r":(?=\s*\()|(?<=\)):", text) if header.stamped else text.split(":")  # moments may hold colons
    label = parts.pop().strip() if header.labelled else None
    if header.channels is not None and len(parts) != header.channels:
        raise RowError(f"{len(parts)} channels where the header says {header.channels}")
    if not parts:
        raise RowError("no channel before the label")
    row: dict[str, Value] = {"series": None}
    if header.stamped:
        row["series"], row["stamps"] = _stamped(parts)
    else:
        channels = [[_number(cell) for cell in part.split(",")] for part in parts]
        length = max(map(len, channels))
        row["series"] = to_cell(np.asarray([channel + [np.nan] * (length - len(channel)) for channel in channels]))
    if header.labelled:
        row["label"] = None if label in MISSING else label
    return row


def _number(text: str) -> float:
    cell = text.strip()
    if cell in MISSING:
        return np.nan
    if not is_number(cell):
        raise RowError(f"{cell[:40]!r} is no number", "series")
    return float(cell)


def _stamped(parts: list[str]) -> tuple[str, str]:
    """Channels of (moment, value) pairs on one even grid."""
    found: dict[float, dict[int, float]] = {}
    for channel, part in enumerate(parts):
        pairs = re.findall(r"\(([^()]*),([^(),]*)\)", part)
        if not pairs:
            raise RowError(f"{part[:40]!r} holds no pair such as (0,1.5)")
        for stamp, value in pairs:
            found.setdefault(moment(stamp.strip(), "series"), {})[channel] = _number(value)
    times = np.sort(np.fromiter(found, np.float64, len(found)))
    values = np.asarray([[found[time].get(channel, np.nan) for time in times.tolist()] for channel in range(len(parts))])
    grid, uneven = evenly(times, values)
    return to_cell(grid), "uneven" if uneven else "even"
