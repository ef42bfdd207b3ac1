"""Reader of FASTA: a header line that begins with `>`, then a sequence over any number of lines.

    >seq1 kinase, exon 3 label=EI          {"id": "seq1", "description": "kinase, exon 3", "sequence": "ACGTAC", "label": "EI"}
    ACGT
    AC

The first word of a header is the id, the rest the description. A file may carry labels in two ways: as `key=value` words anywhere in the
description (`label=EI split=train patient=7`: each key becomes a column; a value with spaces is put in quotation marks), or as the last
part of ids that bars divide (`>seq1|EI`). The second is taken only where the last part of the id of every record among the first `LOOKED`
is one of few: databases put accession numbers between bars. A folder with one file per class, or one folder of files per class, gives
the name of file or folder as the label (`FastaFolderReader`).

A line that begins with `;` is a comment. A file ending in .gz is unpacked while it is read. Letters are not looked at here: what is no
DNA is named by whoever reads the column.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.one_file import InPieces, Piece
from tunesmith.data.text_files import decoding, open_text
from tunesmith.data.values import Located, Value

FASTA = (".fa", ".fasta", ".fna")
COLUMNS = ("id", "description", "sequence")
LOOKED = 1000
FEW = 0.2
"""Share of different values among ids' last parts up to which they are labels."""

_PAIR = re.compile(r"""(?<!\S)([A-Za-z_]\w*)=("[^"]*"|'[^']*'|\S+)""")


def is_fasta(path: Path) -> bool:
    """Whether a file is called like FASTA, packed or not.

    Example:
        >>> [is_fasta(Path(name)) for name in ("a.fa", "a.FASTA.gz", "a.csv.gz")]
        [True, True, False]
    """
    name = path.name.lower()
    return name.removesuffix(".gz").endswith(FASTA)


@dataclass(frozen=True)
class FastaReader(InPieces):
    """A FASTA file, one record at a time.

    Args:
        path: the file.
        encoding: text encoding of the headers.
        prefix: what the places of its records begin with, where it is one file of several.
    """

    encoding: str = "utf-8"
    prefix: str = ""

    def pieces(self, bad: BadRows) -> Iterator[Piece]:
        """The whole text in records; what is no record but should be one goes to `bad`."""
        columns, labelled = self._header
        for where, lines in self._records():
            row = None
            text = "".join(lines)
            letters = [line for line in lines if not line.startswith((">", ";"))]
            if not lines[0].startswith(">"):
                if "".join(letters).strip():
                    bad.add(self.label, where, "letters before the first header (a line that begins with '>')")
            else:
                head = _head(lines[0], labelled)
                sequence = "".join("".join(letters).split())
                if head is None:
                    bad.add(self.label, where, "a header without a name")
                elif not sequence:
                    bad.add(self.label, where, "a header without a sequence")
                else:
                    row = {column: head.get(column) for column in columns} | {"sequence": sequence}
            yield where, text, row

    @cached_property
    def _header(self) -> tuple[tuple[str, ...], bool]:
        """The columns, and whether the last part of an id is a label; read off the first records."""
        heads = []
        ends: Counter[str] = Counter()
        for _, lines in self._records():
            head = _head(lines[0], False) if lines[0].startswith(">") else None
            if head is not None:
                heads.append(head)
                name, bar, end = str(head["id"]).rpartition("|")
                ends[end if name and bar else ""] += 1
            if len(heads) == LOOKED:
                break
        if not heads:
            raise DataError(f"{self.path} holds no record: a FASTA record begins with a line such as '>name'")
        keys = list(dict.fromkeys(key for head in heads for key in head if key not in COLUMNS))
        labelled = "label" not in keys and "" not in ends and 2 <= len(ends) <= max(2, FEW * len(heads))
        return (*COLUMNS, *keys, *(["label"] if labelled else [])), labelled

    def _records(self) -> Iterator[tuple[str, list[str]]]:
        """The line where each record begins, and its lines; what stands before the first header comes first."""
        with open_fasta(self.path, self.encoding) as handle, decoding(self.path, self.encoding):
            lines: list[str] = []
            start = 1
            try:
                for number, line in enumerate(handle, start=1):
                    if lines and line.startswith(">"):
                        yield f"{self.prefix}line {start}", lines
                        lines, start = [], number
                    lines.append(line)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise DataError(f"{self.path} is damaged after line {start}: {error}") from error
            if lines:
                yield f"{self.prefix}line {start}", lines


@dataclass(frozen=True)
class FastaFolderReader:
    """A folder with one FASTA file, or one folder of FASTA files, per class: the columns of each record, and its class as `label`.

    Args:
        path: the folder.
        encoding: text encoding of the headers.
    """

    path: Path
    encoding: str = "utf-8"

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        return self.path

    def rows(self, bad: BadRows) -> Iterator[Located]:
        for place, reader in self.files():
            folder, inside, _ = place.partition("/")
            name = folder if inside else Path(folder.removesuffix(".gz")).stem
            for where, row in reader.rows(bad):
                yield where, {**{column: row[column] for column in COLUMNS}, "label": name}

    def files(self) -> Iterator[tuple[str, FastaReader]]:
        """Files with their paths that start from the folder, in order."""
        for entry in sorted(p for p in self.path.iterdir() if not p.name.startswith(".")):
            inside = sorted(p for p in entry.rglob("*") if is_fasta(p)) if entry.is_dir() else [entry] if is_fasta(entry) else []
            for file in inside:
                place = file.relative_to(self.path).as_posix()
                yield place, FastaReader(file, self.encoding, f"{place}, ")


def open_fasta(path: Path, encoding: str) -> Any:
    """The text of a file, unpacked where its name ends in .gz."""
    if path.suffix.lower() != ".gz":
        return open_text(path, encoding)
    return io.TextIOWrapper(gzip.open(path, "rb"), encoding, newline="")


def _head(line: str, labelled: bool) -> dict[str, Value] | None:
    """Columns of a header line; None where it names nothing.

    Example:
        >>> _head(">s1|EI exon 3 split=train", True)
        {'id': 's1', 'description': 'exon 3', 'label': 'EI', 'split': 'train'}
    """
    name, _, rest = line[1:].strip().replace("\t", " ").partition(" ")
    if not name:
        return None
    keys = {key: value.strip("\"'") or None for key, value in _PAIR.findall(rest)}
    description = " ".join(_PAIR.sub("", rest).split())
    found: dict[str, Value] = {"id": name, "description": description or None}
    if labelled:
        found["id"], _, found["label"] = name.rpartition("|")
    return found | {key: value for key, value in keys.items() if key not in COLUMNS}
