"""Rows that cannot be used: counted, named in a file, and tolerated up to a bound."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith.core.errors import DataError
from tunesmith.core.files import write_text


@dataclass(frozen=True)
class BadRow:
    """One unusable row: where it stands, why, and how many rows it stands for (a broken quote can swallow several lines)."""

    file: str
    where: str
    reason: str
    count: int = 1


@dataclass
class BadRows:
    """The unusable rows met so far. Names at most `keep` of them, counts all.

    Attributes:
        total: how many there are.
        asked: how many of these are usable, but were left out as the user asked; no bound holds for them.
    """

    keep: int = 10_000
    named: list[BadRow] = field(default_factory=list)
    total: int = 0
    asked: int = 0

    def add(self, file: str, where: str, reason: str, count: int = 1, asked: bool = False) -> None:
        """Count a row and remember its name."""
        self.total += count
        self.asked += count if asked else 0
        if len(self.named) < self.keep:
            self.named.append(BadRow(_writable(file), _writable(where), _writable(reason), count))

    def check(self, good: int, allowed: float) -> None:
        """Refuse to go on when too many rows are bad.

        Args:
            good: usable rows.
            allowed: a share of all rows where below 1, else a number of rows.

        Raises:
            DataError: with the first rows and their reasons.
        """
        rows, unusable = good + self.total, self.total - self.asked
        bound = allowed * rows if allowed < 1 else allowed
        if unusable > bound:
            shown = "\n".join(f"  {bad.file}, {bad.where}: {bad.reason}" for bad in self.named[:5])
            more = f"\n  ... and {self.total - 5} more" if self.total > 5 else ""
            raise DataError(
                f"{unusable} of {rows} rows cannot be used, more than --max-bad-rows {allowed:g} allows:\n{shown}{more}\n"
                "Mend these rows, or allow more with --max-bad-rows (a share below 1, or a number)."
            )

    def summary(self) -> str:
        """One line for people; empty when every row is usable."""
        if not self.total:
            return ""
        first = self.named[0]
        return f"{self.total} row(s) could not be used, first: {first.file}, {first.where}: {first.reason}"

    def write(self, path: Path) -> None:
        """Write the named rows as CSV (file, where, reason, count)."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "where", "reason", "count"])
        writer.writerows([bad.file, bad.where, bad.reason, bad.count] for bad in self.named)
        write_text(path, text.getvalue())


def _writable(text: str) -> str:
    """The text with what UTF-8 cannot hold (names of files in another encoding) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
