"""A data set without faults as a `View`, in which tests plant them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from tunesmith.core.findings import Finding, View
from tunesmith.gate import inspect

TEXT = (
    "the a of and in on with my your our this that was is very not card account bank money letter branch morning evening "
    "weather price order parcel phone screen battery window garden kitchen train ticket station doctor nurse ward fever river "
    "stone bridge market bond stock team match player goal season film actor scene book author chapter music concert song "
    "city street house school teacher lesson child"
)
WORDS = TEXT.split()
SHARES = {"train": 240, "validation": 60, "test": 60}


def sentence(rng: Random, length: int | None = None) -> str:
    """Words drawn at random: two of them are never near."""
    return " ".join(rng.choice(WORDS) for _ in range(length or rng.randint(9, 24)))


def clean_rows(seed: int = 0) -> list[dict[str, Any]]:
    """Rows without faults: different texts of three classes, with columns that tell nothing."""
    rng = Random(seed)
    return [
        {"text": sentence(rng), "length": str(rng.randint(1, 500)), "channel": rng.choice(["app", "mail", "desk"]), "label": "abc"[i % 3]}
        for i in range(sum(SHARES.values()))
    ]


def clean_splits() -> dict[str, list[int]]:
    """Row numbers of each split, mixed."""
    order = Random(1).sample(range(sum(SHARES.values())), sum(SHARES.values()))
    ends = np.cumsum(list(SHARES.values()))
    return {split: sorted(order[end - size : end]) for (split, size), end in zip(SHARES.items(), ends, strict=True)}


def view(
    rows: Sequence[Mapping[str, Any]],
    splits: Mapping[str, Sequence[int]],
    inputs: Mapping[str, str] | None = None,
    targets: Mapping[int, Any] | None = None,
    **more: Any,
) -> View:
    """Rows as inspections see them; classes are the different labels unless targets are given.

    Args:
        rows: cells by column.
        splits: split -> row numbers.
        inputs: input column -> kind.
        targets: row number -> target.
        more: further fields of the view.
    """
    columns = tuple(rows[0])
    if targets is None:
        more["classes"] = sorted({row["label"] for row in rows})
        targets = {number: more["classes"].index(row["label"]) for number, row in enumerate(rows)}

    def read(numbers: Any, wanted: Sequence[str] | None) -> Iterator[dict[str, Any]]:
        for number in numbers:
            yield {column: rows[int(number)][column] for column in wanted or columns}

    several = any(np.ndim(target) for target in targets.values())
    return View(
        columns=columns,
        inputs={"text": "text"} if inputs is None else inputs,
        label=("label",),
        group=more.pop("group", None),
        time=more.pop("time", None),
        splits={split: np.asarray(numbers, np.int64) for split, numbers in splits.items()},
        answers=more.pop("answers", "labels" if several else "classes" if more.get("classes") else "numbers"),
        targets={split: np.asarray([targets[number] for number in numbers]) for split, numbers in splits.items()},
        classes=more.pop("classes", ()),
        read=read,
        raw=more.pop("raw", read),
        origin=lambda number: ("rows.csv", f"row {number + 1}"),
        rows=len(rows),
        **more,
    )


def found(of: View, name: str) -> dict[str, Finding]:
    """What one inspection finds, by name; each name occurs once."""
    findings = inspect(of, [name]).findings
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding for finding in findings}
