"""Simple facts about rows, which a label should not follow from: other columns, lengths of texts, the outside of pictures and sounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunesmith.core.errors import RowError
from tunesmith.core.findings import View
from tunesmith.core.kinds import PATHS
from tunesmith.core.sounds import heard
from tunesmith.gate._columns import Fact, fact
from tunesmith.gate._pictures import brightness, seen
from tunesmith.gate._rows import Places
from tunesmith.gate._texts import words

MOST_COLUMNS = 200


@dataclass(frozen=True, eq=False)
class Sample:
    """Places of rows in the training and the validation split."""

    train: Places
    validation: Places

    def of(self, split: str) -> Places:
        """Those of a split."""
        return self.train if split == "train" else self.validation


def column_facts(view: View, sample: Sample) -> Iterator[tuple[str, Fact]]:
    """Of each column that is neither label, group, picture nor sound its cells; with its name."""
    columns = [name for name in view.columns if name not in view.label and name != view.group and view.inputs.get(name) not in PATHS]
    columns = columns[:MOST_COLUMNS]
    cells: dict[str, list[list[object]]] = {name: [] for name in columns}
    for split in ("train", "validation") if columns else ():
        rows = list(view.read(view.splits[split][sample.of(split)], columns))
        for name in columns:
            cells[name].append([row[name] for row in rows])
    for name, (train, validation) in cells.items():
        yield name, fact(f"column '{name}'", train, validation)


def text_facts(view: View, sample: Sample) -> Iterator[tuple[str, Fact]]:
    """How long the texts of each input column are; with its name."""
    for name in view.of_kind("text"):
        lengths: dict[str, list[tuple[float, float]]] = {}
        for split in ("train", "validation"):
            texts = (str(row[name] or "") for row in view.read(view.splits[split][sample.of(split)], [name]))
            lengths[split] = [(float(len(text)), float(len(words(text)))) for text in texts]
        train, validation = np.asarray(lengths["train"]), np.asarray(lengths["validation"])
        for place, what in enumerate(("characters", "words")):
            yield name, Fact(f"the number of {what} of '{name}'", train[:, place], validation[:, place])


def picture_facts(view: View, sample: Sample) -> Iterator[tuple[str, Fact]]:
    """Size, brightness, kind of file and maker of the camera of each input column of pictures; with its name."""
    for name in view.of_kind("image"):
        numbers = {split: view.splits[split][sample.of(split)] for split in ("train", "validation")}
        outside = {split: [seen(row[name]) for row in view.raw(numbers[split], [name])] for split in numbers}
        for attribute, what in (
            ("width", "the width"),
            ("height", "the height"),
            ("ending", "the file ending"),
            ("make", "the maker of the camera (EXIF)"),
        ):
            train, validation = ([getattr(one, attribute, None) or None for one in outside[split]] for split in numbers)
            yield name, fact(f"{what} of '{name}'", train, validation)
        train, validation = ([brightness(row[name]) for row in view.read(numbers[split], [name])] for split in numbers)
        yield name, fact(f"the mean brightness of '{name}'", train, validation)


def sound_facts(view: View, sample: Sample) -> Iterator[tuple[str, Fact]]:
    """Length, loudness, sampling rate, channels and kind of file of each input column of sounds; with its name."""
    for name in view.of_kind("audio"):
        outside = {
            split: [_outside(row[name], name) for row in view.raw(view.splits[split][sample.of(split)], [name])]
            for split in ("train", "validation")
        }
        for place, what in enumerate(("the length", "the loudness", "the sampling rate", "the number of channels", "the file ending")):
            train, validation = ([one[place] for one in outside[split]] for split in ("train", "validation"))
            yield name, fact(f"{what} of '{name}'", train, validation)


def _outside(value: str | bytes, column: str) -> tuple[object, ...]:
    """Seconds, decibels, samples a second, channels and ending; of a sound that cannot be read any more nothing."""
    try:
        found = heard(value, column)
    except RowError:
        return (None,) * 5
    ending = Path(value).suffix.lower() or None if isinstance(value, str) else None
    return found.outline.seconds, 10 * np.log10(found.power + 1e-10), found.outline.rate, str(found.outline.channels), ending
