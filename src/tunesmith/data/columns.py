"""Which columns of a table are read where nobody says it, and what every column is, as people are told.

Where there are texts, pictures, sounds, series or DNA, these are read, and numbers and categories beside them; not what tells where a row
comes from (identifiers, names of files, split, speaker), when it was written, or what its file is like. `--inputs` overrules it.

    image_frontal  image     read      names of files, such as 'images/2_frontal.jpg'
    area           number    read      numbers, such as '3343'
    house          number    not read  an identifier: a different whole number in every row, always rising
    price          number    label
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tunesmith.core.kinds import MODALITY, PATHS, SHOWN
from tunesmith.data.values import Value

ORIGIN = re.compile(
    r"(.*[_\W])?(id|ids|uuid|guid|index|idx|key|row|rownum|file|files|filename|path|url|uri|link|href|hash|md5|sha1|sha256|checksum|split|subset|fold|"
    r"partition)",
    re.IGNORECASE,
)
PERSON = re.compile(
    r"(.*[_\W])?(speaker|user|author|annotator|rater|worker|patient|subject|reviewer|customer)(_?(name|number|no))?", re.IGNORECASE
)
FILE = re.compile(r"seconds|duration|sampl(e|ing)_?rate|frames|bytes|(file_?)?size|width|height|channels", re.IGNORECASE)
SHOWN_LETTERS = 40


@dataclass(frozen=True)
class Column:
    """What a column is.

    Attributes:
        name: of the column.
        kind: a kind of `core.kinds`, or `empty`.
        use: `read`, `not read`, `label`, `split`, `group` or `time`.
        why: it has this kind, or is not read.
    """

    name: str
    kind: str
    use: str
    why: str


def chosen(kinds: Mapping[str, str]) -> list[str]:
    """Inputs among columns of these kinds: first pictures, sounds, series and DNA, then texts, then what belongs to a table.

    Example:
        >>> chosen({"note": "text", "photo": "image", "day": "date", "area": "number", "speaker": "category", "empty": "empty"})
        ['photo', 'note', 'area']
        >>> chosen({"day": "date", "area": "number"})
        ['day', 'area']
    """
    usable = {name: kind for name, kind in kinds.items() if kind in MODALITY}
    order = list(SHOWN)
    rich = sorted(_rich(usable), key=lambda name: (usable[name] == "text", order.index(usable[name])))
    cells = [name for name in usable if name not in rich]
    return rich + [name for name in cells if not rich or aside(name, usable) is None]


def aside(name: str, kinds: Mapping[str, str]) -> str | None:
    """Why a column of a table is not read beside texts, pictures and the like; None where it is.

    Args:
        name: of the column.
        kinds: of all columns.
    """
    if kinds[name] == "date":
        return "a date says when a row was written"
    if ORIGIN.fullmatch(name):
        return "its name says that it tells where a row comes from"
    if PERSON.fullmatch(name):
        return "its name says that it tells from whom a row is; --group keeps such rows together"
    if FILE.fullmatch(name) and set(PATHS) & set(kinds.values()):
        return "its name says that it tells what a file is like"
    return None


def _rich(kinds: Mapping[str, str]) -> list[str]:
    return [name for name, kind in kinds.items() if MODALITY.get(kind, "tabular") != "tabular"]


def reason(kind: str, values: Sequence[Value], given: bool) -> str:
    """Why a column is taken to be of its kind.

    Args:
        kind: of the column.
        values: its first ones.
        given: whether the user says so.
    """
    if given:
        return "as given"
    seen = [value for value in values if value not in (None, "")]
    if not seen:
        return "it holds nothing"
    if isinstance(seen[0], bytes):
        return "files of this kind, by their first bytes"
    text = " ".join(str(seen[0]).split())
    example = repr(text if len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 3]}...")
    if kind in PATHS:
        return f"names of files, such as {example}"
    if kind == "category":
        return f"{len(set(seen))} different words, such as {example}"
    return f"{SHOWN[kind]}, such as {example}"


def table(columns: Sequence[Column], most: int = 30) -> list[str]:
    """Columns as lines of one table, at most so many."""
    shown = columns if len(columns) <= most else columns[: most - 1]
    wide = [max(len(getattr(column, part)) for column in shown) for part in ("name", "kind", "use")]
    lines = [f"{c.name.ljust(wide[0])}  {c.kind.ljust(wide[1])}  {c.use.ljust(wide[2])}  {c.why}".rstrip() for c in shown]
    return lines if len(shown) == len(columns) else [*lines, f"and {len(columns) - len(shown)} more"]


def described(
    sample: Mapping[str, Sequence[Value]],
    kinds: Mapping[str, str],
    uses: Mapping[str, str],
    why_not: Mapping[str, str],
    given: Collection[str],
) -> list[Column]:
    """What every column is.

    Args:
        sample: column -> its first values.
        kinds: column -> kind.
        uses: column -> what it is used for; the others are not read.
        why_not: column -> why it is not read, where there is a reason of its own.
        given: columns whose kind the user says.
    """
    found = []
    for name, values in sample.items():
        use = uses.get(name, "not read")
        why = reason(kinds[name], values, name in given)
        if use == "not read":
            why = why_not.get(name) or aside(name, kinds) or why
        found.append(Column(name, kinds[name], use, "" if use in ("label", "split", "group", "time") else why))
    return found
