"""Reads off the values what each column is, which is the label, and which task that makes, and says why.

Nothing is guessed in silence: every decision becomes a `Decision` with its reason and the flag that overrules it, and a decision
that two readings fit equally well is refused with a question instead.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterable

from tunesmith.core import registry
from tunesmith.core.cells import is_missing, is_number
from tunesmith.core.errors import DataError, UnknownNameError
from tunesmith.core.kinds import MODALITY, PATHS, SHOWN, modality_of
from tunesmith.core.series import MOMENTS, steps_of
from tunesmith.data.column_kinds import SAMPLE, kind_of, overruled
from tunesmith.data.columns import chosen, described
from tunesmith.data.decisions import Columns, Decision
from tunesmith.data.infer_windows import infer_windows
from tunesmith.data.label_task import LABEL_NAMES, task_of
from tunesmith.data.split_column import split_column_of
from tunesmith.data.table import Table
from tunesmith.data.values import Value
from tunesmith.recipe import DataRecipe

TRANSCRIPTS = ("transcript", "transcription", "text", "sentence", "words", "utterance", "normalized_text")
"""What a column of texts beside a column of sounds is called where it holds what is said in them."""


HEADER = ("id", "description")
"""Columns beside DNA that say whose it is: no inputs unless they are named."""


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
    if task is not None and registry.find("tasks", task).load().answers == "series":
        return infer_windows(table, recipe, task)
    for name in [*(recipe.inputs or []), *(recipe.label or []), *filter(None, [recipe.group, recipe.time])]:
        if name not in table.columns:
            raise UnknownNameError("column", name, table.columns)
    used = Counter([*(recipe.inputs or []), *(recipe.label or [])])
    if used and used.most_common(1)[0][1] > 1:
        raise DataError(f"column '{used.most_common(1)[0][0]}' is named twice in --inputs and --label; a column is an input or the label")
    sample = {name: table.sample(name, SAMPLE) for name in table.columns}
    decisions: list[Decision] = []
    split = split_column_of(sample, recipe, decisions)
    family = registry.find("tasks", task).load() if task is not None else None
    labelled = family is None or family.labelled
    label = recipe.label or (_transcripts(sample, recipe, split, task, decisions) if labelled else [])
    label = label or ([_label_column(sample, recipe, split, decisions)] if labelled else [])
    if recipe.label:
        decisions.append(Decision("label", ", ".join(label), "as given", "--label"))
    elif not labelled:
        decisions.append(Decision("label", "none", f"task '{task}' makes it of the inputs", "--label"))
    said = task is None and _said(sample, label, recipe, {split, recipe.group, recipe.time})
    if said:
        family = registry.find("tasks", "ctc").load()
    needed = family.needs[0] if family is not None and family.needs and recipe.modality is None else None
    if family is not None and needed:
        recipe = dataclasses.replace(recipe, modality=needed)
    useless = _useless(table, sample, {name for name in table.columns if name not in {*(recipe.inputs or []), *label}})
    group = recipe.group if recipe.group and kind_of(sample[recipe.group]) not in PATHS else None  # pictures that repeat are inputs too
    kinds, modality = _inputs(sample, recipe, {*label, split, group, recipe.time}, useless, decisions)
    if family is not None and needed:
        decisions[-1] = dataclasses.replace(decisions[-1], why=f"task '{family.name}' reads it")
    if said:
        why = f"column '{label[0]}' holds what is said in the sounds (a checkpoint of Whisper: --task transcription)"
        task = "ctc"
        decisions.append(Decision("task", task, why, "--task"))
    elif task is None:
        task, why = task_of(table, label)
        decisions.append(Decision("task", task, why, "--task"))
    else:
        decisions.append(Decision("task", task, "as given", "--task"))
    told = {name: kind_of(values) for name, values in sample.items()} | (given := overruled(recipe, sample)) | kinds
    uses = {**dict.fromkeys(kinds, "read"), **dict.fromkeys(label, "label")}
    uses |= {name: use for name, use in ((split, "split"), (recipe.group, "group"), (recipe.time, "time")) if name}
    every = described(sample, told, uses, useless, given)
    return Columns(list(kinds), kinds, modality, label, task, split, decisions, every=every)


def _transcripts(
    sample: dict[str, list[Value]], recipe: DataRecipe, split: str | None, task: str | None, decisions: list[Decision]
) -> list[str] | None:
    """The column of transcripts of a table with sounds, where no column is called a label."""
    free = [name for name in sample if name not in {split, recipe.group, recipe.time, *(recipe.inputs or [])}]
    if task in ("classification", "multilabel", "regression") or any(name.lower() in LABEL_NAMES for name in free):
        return None
    if not any(kind_of(values) == "audio" for values in sample.values()):
        return None
    for wanted in TRANSCRIPTS:
        for name in free:
            if name.lower() == wanted and kind_of(sample[name]) == "text":
                decisions.append(Decision("label", name, "the table holds sounds, and its name says that it is what they say", "--label"))
                return [name]
    return None


def _said(sample: dict[str, list[Value]], label: list[str], recipe: DataRecipe, taken: set[str | None]) -> bool:
    """Whether the label is what is said in a column of sounds: by its name, or as it was given and holds several words."""
    if len(label) != 1 or recipe.modality not in (None, "audio") or kind_of(sample[label[0]]) != "text":
        return False
    free = recipe.inputs or [name for name in sample if name not in taken | set(label)]
    sounds = [name for name in free if kind_of(sample[name]) == "audio"]
    if not sounds or (recipe.inputs and len(sounds) < len(free)):
        return False
    return label[0].lower() in TRANSCRIPTS or (recipe.label is not None and any(" " in str(value or "") for value in sample[label[0]]))


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
    dated = any(kind_of(sample[name]) == "date" for name in sample)
    series = "; numbers over time are forecast with --task forecasting" if dated else ""
    raise DataError(f"which column is the label? Columns: {', '.join(sample)}; {why}. Name it with --label COLUMN{series}")


IDENTIFIER = re.compile(r"(.*[_\W])?(id|ids|uuid|guid|index|idx|key|row|rownum|number|no|nr)", re.IGNORECASE)
GAPS = 3
"""Mean step up to which whole numbers that only rise are taken to count rows, some of which have gone."""

CODE = re.compile(r"(?=[\w-]*\d)[\w-]{1,40}")
"""A word with a digit in it, as numbers of customers and orders are written."""


def _useless(table: Table, sample: dict[str, list[Value]], free: Iterable[str]) -> dict[str, str]:
    """Columns that tell rows apart but nothing of them, or that tell nothing, with the reason.

    Judged by the first rows, and where these speak against a column, by all of it.
    """
    found = {}
    for name in free:
        values = sample[name]
        if not values or kind_of(values) not in ("number", "text", "category"):
            continue
        different = set(values)
        if len(different) == 1 and not is_missing(values[0]) and len(table.whole(name).unique()) == 1:
            found[name] = "the same in every row"
        elif len(different) == len(values) >= 10 and (why := _names_rows(name, values)) and len(table.whole(name).unique()) == len(table):
            found[name] = why
    return found


def _names_rows(name: str, values: list[Value]) -> str | None:
    """Why a column of values that are all different is taken for one that names rows; None where it is not."""
    texts = [str(value) for value in values]
    if all(re.fullmatch(r"-?\d+", text) for text in texts):
        steps = [int(after) - int(before) for before, after in itertools.pairwise(texts)]
        counting = min(steps) > 0 and sum(steps) <= GAPS * len(steps)
        if counting or IDENTIFIER.fullmatch(name):
            return "an identifier: a different whole number in every row" + (", counting up" if counting else "")
        return None
    words = sum(CODE.fullmatch(text) is not None for text in texts)
    if words == len(texts) or (IDENTIFIER.fullmatch(name) and all(len(text.split()) == 1 for text in texts)):
        return "an identifier: a different word in every row"
    return None


def _inputs(
    sample: dict[str, list[Value]], recipe: DataRecipe, taken: set[str | None], useless: dict[str, str], decisions: list[Decision]
) -> tuple[dict[str, str], str]:
    """Inputs with their kinds, and the modality they make together."""
    kinds = {name: kind_of(values) for name, values in sample.items()} | overruled(recipe, sample)
    reads = registry.find("backbones", recipe.modality).load().reads if recipe.modality else ()
    steps: list[str] = []
    if recipe.inputs:
        inputs = list(recipe.inputs)
        decisions.append(Decision("inputs", ", ".join(inputs), "as given", "--inputs"))
    else:
        free = [name for name in sample if name not in taken]
        usable = {name: kinds[name] for name in free if name not in useless}
        steps = _steps({name: kinds[name] for name in free}, recipe.modality, reads)
        inputs = steps or _chosen(usable, reads)
        if not inputs and useless:
            useless = {}
            inputs = _chosen({name: kinds[name] for name in free}, reads)
        if not inputs:
            told = ", ".join(f"{name} ({kinds[name]})" for name in sample)
            raise DataError(f"no input column was found. Columns: {told}. Name the input with --inputs COLUMN")
        unused = [f"{name} ({useless.get(name, kinds[name])})" for name in free if name not in inputs]
        why = _held({name: SHOWN[kinds[name]] + _gaps(sample[name], kinds[name]) for name in inputs if not steps})
        why = f"{len(steps)} columns of numbers that are numbered: the steps of one series" if steps else why
        shown = f"{steps[0]} to {steps[-1]}" if steps else ", ".join(inputs)
        decisions.append(Decision("inputs", shown, why + (f"; not used: {', '.join(unused)}" if unused else ""), "--inputs"))
    found = {name: kinds[name] if kinds[name] in MODALITY else "text" for name in inputs}
    if reads:  # what it does not read it is given as its own kind: a text backbone reads numbers as they are written
        written = "number" if "number" in reads else reads[0]
        found = {name: kind if kind in reads else written if kinds[name] == "empty" else reads[0] for name, kind in found.items()}
    elif not recipe.modality and list(found.values()) == ["category"]:
        found = dict.fromkeys(found, "text")
    if steps:
        found = dict.fromkeys(steps, "number")
    modality = recipe.modality or ("series" if steps else modality_of(found.values()))
    decisions.append(Decision("modality", modality, "as given" if recipe.modality else "from the inputs", "--modality"))
    return found, modality


def _held(held: dict[str, str]) -> str:
    """What columns hold, those that hold the same told together where there are many."""
    if len(held) <= 3:
        return "; ".join(f"{name} holds {what}" for name, what in held.items())
    return "; ".join(f"{what} in {', '.join(name for name in held if held[name] == what)}" for what in dict.fromkeys(held.values()))


def _gaps(values: list[Value], kind: str) -> str:
    """How missing cells of a table are written, where they are not just empty, and that a column of numbers holds others."""
    if MODALITY.get(kind) != "tabular":
        return ""
    marks = sorted({str(value).strip() for value in values if value not in (None, "") and is_missing(value)})
    told = [f"{' and '.join(map(repr, marks))} {'is' if len(marks) == 1 else 'are'} read as missing"] if marks else []
    if kind == "number":
        wrong = [str(value) for value in values if not is_missing(value) and not is_number(str(value))]
        told += [f"{len(wrong)} of the first {len(values)} rows hold none, such as {wrong[0][:20]!r}"] if wrong else []
    return f" ({'; '.join(told)})" if told else ""


def _steps(kinds: dict[str, str], modality: str | None, reads: tuple[str, ...]) -> list[str]:
    """Columns that are the steps of one series, by their names, where nothing else can be read; all numbers where a series is asked for."""
    if modality not in (None, "series") or any(MODALITY.get(kind, "tabular") != "tabular" for kind in kinds.values()):
        return []
    numbers = [name for name, kind in kinds.items() if kind in ("number", "empty")]
    return steps_of(numbers, MOMENTS) or (numbers if modality == "series" and "number" in reads else [])


def _chosen(kinds: dict[str, str], reads: tuple[str, ...]) -> list[str]:
    """Inputs among free columns: what the wanted backbone reads, else what can be read."""
    if reads:
        found = [name for name, kind in kinds.items() if kind in reads]
        own = [name for name in found if kinds[name] == reads[0]]  # series before numbers
        return (own if reads[0] == "series" and own else found) or [
            name for name, kind in kinds.items() if kind == "category" and "text" in reads
        ]
    if "dna" in kinds.values():  # a FASTA header names a record
        kinds = {name: kind for name, kind in kinds.items() if name not in HEADER}
    return chosen(kinds)
