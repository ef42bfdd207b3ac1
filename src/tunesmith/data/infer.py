"""Reads off the values what each column is, which is the label, and which task that makes, and says why.

Nothing is guessed in silence: every decision becomes a `Decision` with its reason and the flag that overrules it, and a decision
that two readings fit equally well is refused with a question instead.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tunesmith.core.cells import is_number, split_labels
from tunesmith.core.errors import DataError, UnknownNameError
from tunesmith.data.readers import PICTURES
from tunesmith.data.sources import SPLITS
from tunesmith.data.table import Table
from tunesmith.data.values import Value
from tunesmith.recipe import DataRecipe

SAMPLE = 5000
PARTS = 1 << 16
"""Labels of lists that are counted at most."""

LABEL_NAMES = ("label", "labels", "target", "class", "category", "intent", "sentiment", "y", "tags", "diagnosis", "topic", "outcome")


@dataclass(frozen=True)
class Decision:
    """One thing that was decided: what, the value, why, and how to overrule it."""

    what: str
    value: str
    why: str
    flag: str


@dataclass
class Columns:
    """What the columns mean; `kinds` says of each input whether it holds `text` or `image`."""

    inputs: list[str]
    kinds: dict[str, str]
    modality: str
    label: list[str]
    task: str
    split: str | None = None
    decisions: list[Decision] = field(default_factory=list)


def kind_of(values: Iterable[Value]) -> str:
    """What a column holds: `image`, `number`, `date`, `text`, `category` or `empty`.

    Example:
        >>> kind_of(["a.png", "b.png"]), kind_of(["1", "2.5", None]), kind_of(["red", "red", "blue"]), kind_of(["2024-01-31"])
        ('image', 'number', 'category', 'date')
    """
    seen = [value for value in values if value not in (None, "")]
    if not seen:
        return "empty"
    if any(isinstance(value, bytes) for value in seen):
        return "image"
    texts = [str(value) for value in seen]
    if sum(text.lower().endswith(PICTURES) for text in texts) >= 0.9 * len(texts):
        return "image"
    if all(is_number(text) for text in texts):
        return "number"
    if all(_is_date(text) for text in texts):
        return "date"
    longest = max(len(text) for text in texts)
    distinct = len(set(texts))
    if distinct <= max(2, 0.2 * len(texts)) and longest <= 60:
        return "category"
    return "text"


def _is_date(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def infer(table: Table, recipe: DataRecipe, task: str | None) -> Columns:
    """Decide inputs, label, modality and task of a table.

    Args:
        table: the rows.
        recipe: what the user said; it overrules.
        task: name of the task where the user said it.

    Raises:
        DataError: no label or input column can be told.
        UnknownNameError: a named column does not exist.
    """
    for name in [*(recipe.inputs or []), *(recipe.label or []), *filter(None, [recipe.group, recipe.time])]:
        if name not in table.columns:
            raise UnknownNameError("column", name, table.columns)
    used = Counter([*(recipe.inputs or []), *(recipe.label or [])])
    if used and used.most_common(1)[0][1] > 1:
        raise DataError(f"column '{used.most_common(1)[0][0]}' is named twice in --inputs and --label; a column is an input or the label")
    sample = {name: table.sample(name, SAMPLE) for name in table.columns}
    decisions: list[Decision] = []
    split = _split_column(sample, recipe, decisions)
    label = recipe.label or [_label_column(sample, recipe, split, decisions)]
    if recipe.label:
        decisions.append(Decision("label", ", ".join(label), "as given", "--label"))
    kinds, modality = _inputs(sample, recipe, {*label, split, recipe.group, recipe.time}, decisions)
    if task is None:
        task, why = task_of(table, label)
        decisions.append(Decision("task", task, why, "--task"))
    else:
        decisions.append(Decision("task", task, "as given", "--task"))
    return Columns(list(kinds), kinds, modality, label, task, split, decisions)


def _split_column(sample: dict[str, list[Value]], recipe: DataRecipe, decisions: list[Decision]) -> str | None:
    if recipe.split not in (None, "given"):
        return None
    for name in ("split", "set", "subset", "partition", "fold"):
        column = next((c for c in sample if c.lower() == name), None)
        if column and column not in (recipe.inputs or []) and column not in (recipe.label or []):
            values = {str(value).lower() for value in sample[column] if value}
            if values and values <= set(SPLITS):
                decisions.append(Decision("split", f"column '{column}'", f"it holds {', '.join(sorted(values))}", "--split 0.8,0.1,0.1"))
                return column
    return None


def _label_column(sample: dict[str, list[Value]], recipe: DataRecipe, split: str | None, decisions: list[Decision]) -> str:
    taken = {split, recipe.group, recipe.time, *(recipe.inputs or [])}
    free = [name for name in sample if name not in taken]
    for wanted in LABEL_NAMES:
        for name in free:
            if name.lower() == wanted:
                decisions.append(Decision("label", name, "its name says so", "--label"))
                return name
    few = [n for n in free if kind_of(sample[n]) == "category" or (kind_of(sample[n]) == "number" and 2 <= len(set(sample[n])) <= 20)]
    if len(few) == 1:
        decisions.append(Decision("label", few[0], f"the only column of few different values ({len(set(sample[few[0]]))})", "--label"))
        return few[0]
    why = "several could be" if few else "none is called label, target, class ... or holds few different values"
    raise DataError(f"which column is the label? Columns: {', '.join(sample)}; {why}. Name it with --label COLUMN")


def _inputs(
    sample: dict[str, list[Value]], recipe: DataRecipe, taken: set[str | None], decisions: list[Decision]
) -> tuple[dict[str, str], str]:
    """Inputs with their kinds, and the modality they make together."""
    kinds = {name: kind_of(values) for name, values in sample.items()}
    if recipe.inputs:
        found = {"image" if kinds[name] == "image" else "text" for name in recipe.inputs}
        inputs = list(recipe.inputs)
        decisions.append(Decision("inputs", ", ".join(inputs), "as given", "--inputs"))
    else:
        free = [name for name in sample if name not in taken]
        images = [name for name in free if kinds[name] == "image"]
        texts = [name for name in free if kinds[name] == "text"]
        if recipe.modality == "text" or not (images or texts):
            images, texts = [], texts or [name for name in free if kinds[name] == "category"]
        elif recipe.modality == "image":
            texts = []
        inputs = images + texts
        found = {"image"} if images else set()
        found |= {"text"} if texts else set()
        if not inputs:
            told = ", ".join(f"{name} ({kinds[name]})" for name in sample)
            raise DataError(f"no column of texts or pictures was found. Columns: {told}. Name the input with --inputs COLUMN")
        unused = [f"{name} ({kinds[name]})" for name in free if name not in inputs]
        why = "; ".join(f"{name} holds {_shown(kinds[name])}" for name in inputs)
        decisions.append(Decision("inputs", ", ".join(inputs), why + (f"; not used: {', '.join(unused)}" if unused else ""), "--inputs"))
    modality = recipe.modality or ("fusion" if len(found) > 1 else found.pop())
    decisions.append(Decision("modality", modality, "as given" if recipe.modality else "from the inputs", "--modality"))
    told_kind = {name: modality if modality in ("text", "image") else "image" if kinds[name] == "image" else "text" for name in inputs}
    return told_kind, modality


def _shown(kind: str) -> str:
    return {"image": "pictures", "text": "texts", "category": "short texts"}.get(kind, kind)


def task_of(table: Table, label: list[str]) -> tuple[str, str]:
    """The task that a label column makes, and why.

    Raises:
        DataError: the column names rows instead of classes, or holds one value.
    """
    if len(label) > 1:
        return "multilabel", f"{len(label)} label columns"
    found = _look(table, label[0])
    if not found.rows:
        raise DataError(f"label column '{label[0]}' is empty in every row; name another with --label COLUMN")
    first = found.first
    if found.count == 1:
        raise DataError(
            f"label column '{label[0]}' holds one class only ({first[0]!r} in all {found.rows} rows); there is nothing to tell apart. "
            "Add rows of other classes, or name another column with --label"
        )
    if found.numbers and (not found.whole or (found.count > 20 and found.count > 0.05 * found.rows)):
        return "regression", f"column '{label[0]}' holds {found.count} different numbers"
    if found.commas > 0.5 * found.count:
        raise DataError(
            f"label column '{label[0]}' holds numbers with a decimal comma ({found.comma!r}); "
            f"write them with a point ({found.comma.replace(',', '.')!r})"
        )
    if found.count > 0.5 * found.rows and found.letters > 80 * found.count:
        raise DataError(
            f"label column '{label[0]}' holds texts, not labels ({first[0][:60]!r} ...); "
            "name the label column with --label, the texts with --inputs"
        )
    if found.listed and (len(found.parts) < found.count or found.listed > 0.2 * found.count):
        return "multilabel", f"column '{label[0]}' holds lists of labels ({found.example!r})"
    if found.count == found.rows and found.rows > 2:
        raise DataError(
            f"label column '{label[0]}' has a different value in each of its {found.rows} rows ({first[0]!r}, {first[1]!r}, ...): it names "
            "rows, not classes. Name the right column with --label; for numbers to predict use --task regression"
        )
    return "classification", f"column '{label[0]}' holds {found.count} classes"


@dataclass
class _Seen:
    """What the different values of a label column are like: none of them is kept but the first ones and the labels of lists."""

    rows: int
    count: int = 0
    numbers: bool = True
    whole: bool = True
    commas: int = 0
    comma: str = ""
    letters: int = 0
    listed: int = 0
    example: str = ""
    first: list[str] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)

    def add(self, value: str) -> None:
        self.count += 1
        if len(self.first) < 2:
            self.first.append(value)
        self.letters += len(value)
        self.numbers = self.numbers and is_number(value)
        self.whole = self.whole and self.numbers and float(value).is_integer()
        if re.fullmatch(r"-?\d+,\d+", value):
            self.commas += 1
            self.comma = self.comma or value
        if value.startswith("[") or "|" in value or ";" in value:
            self.listed += 1
            self.example = self.example or value
        if len(self.parts) < PARTS:
            self.parts.update(split_labels(value))


def _look(table: Table, column: str) -> _Seen:
    whole = table.whole(column)
    found = _Seen(len(whole) - whole.null_count)
    different = whole.unique()
    for start in range(0, len(different), 1024):
        for value in different.slice(start, 1024).to_pylist():
            if value is not None:
                found.add(str(value))
    return found
