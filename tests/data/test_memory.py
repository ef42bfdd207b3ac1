"""What is kept of rows takes a few bytes each, and says the same as plain lists and dicts would."""

from __future__ import annotations

import pickle
import random
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.backbones.text import Text
from tunesmith.core import registry
from tunesmith.data import prepare, table
from tunesmith.data.infer import infer
from tunesmith.data.labels import Collector, Labels, Targets, ranks
from tunesmith.data.prepare import Divided, Read
from tunesmith.data.readers import MemoryReader
from tunesmith.data.sources import Part, Source
from tunesmith.data.split import quotas
from tunesmith.engine.batches import Examples, Loader, Plan, sizes_of
from tunesmith.recipe import DataRecipe

NAMES = ("train", "validation", "test")


def divided(tmp_path: Path, rows: Any, checkpoints: Path, **fields: Any) -> tuple[Read, Divided]:
    recipe = DataRecipe(**fields)
    was = prepare.read(recipe, rows, tmp_path / "rows.arrow")
    columns = infer(was.table, recipe, None)
    task = registry.create("tasks", columns.task, {"label": columns.label})
    backbone = registry.create("backbones", "text", {"columns": columns.inputs, "source": str(checkpoints / "bert")})
    return was, prepare.divide(was, columns.split, recipe, task, backbone, 5)


LABELS: dict[str, list[Any]] = {
    "names": [random.Random(i).choice(["b", "a", "ü", "c d"]) for i in range(300)],
    "lists": [tuple(random.Random(i).sample("abcde", i % 4)) for i in range(300)],
    "numbers": [random.Random(i).gauss(0, 1) for i in range(300)],
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_the_list_they_were_made_of(kind: str) -> None:
    given = LABELS[kind]
    collector = Collector()
    for raw in given:
        collector.add(raw)
    labels = collector.labels()
    assert len(labels) == 300
    assert list(labels) == given == [labels[i] for i in range(300)]
    chosen = np.random.default_rng(0).permutation(300)[:77]
    assert list(labels.take(chosen)) == [given[i] for i in chosen]
    assert list(labels[10:20]) == given[10:20]
    assert Counter(labels) == Counter(given)
    with pytest.raises(IndexError):
        labels[300]
    empty: list[int] = []
    assert list(labels.take(np.asarray(empty, np.int64))) == []


def test_ranks_are_those_of_numpy() -> None:
    texts = [random.Random(i).choice(["b", "ba", "a", "", "Z", "é", "\U0001f600", "\uffff"]) for i in range(200)]
    np.testing.assert_array_equal(ranks(texts, len(texts)), np.unique(texts, return_inverse=True)[1])


def test_splits_and_targets_are_those_of_plain_lists(tmp_path: Path, checkpoints: Path) -> None:
    """The stratified split worked out anew from the labels as Python's lists hold them."""
    rng = random.Random(0)
    rows = [{"text": f"some words {i}", "label": rng.choice(["c", "a", "a", "ü"])} for i in range(3000)]
    rows[7]["text"] = " "
    _, found = divided(tmp_path, rows, checkpoints)
    usable = [i for i in range(3000) if i != 7]
    names, codes, sizes = np.unique([rows[i]["label"] for i in usable], return_inverse=True, return_counts=True)
    generator, counts = np.random.default_rng(5), quotas(sizes, (0.8, 0.1, 0.1))
    parts: dict[str, list[int]] = {name: [] for name in NAMES}
    for code in range(len(names)):
        members = generator.permutation(np.arange(len(usable))[codes == code])
        for name, piece in zip(NAMES, np.split(members, np.cumsum(counts[code])[:-1]), strict=True):
            parts[name] += [usable[i] for i in piece]
    for name in NAMES:
        assert found.splits[name].tolist() == sorted(parts[name])
    assert dict(found.targets) == {i: sorted({"a", "c", "ü"}).index(rows[i]["label"]) for i in usable}
    assert 7 not in found.targets
    assert 3000 not in found.targets


@pytest.mark.parametrize("kind", LABELS)
def test_a_division_comes_back_from_its_files(tmp_path: Path, kind: str) -> None:
    name = {"names": "classification", "lists": "multilabel", "numbers": "regression"}[kind]
    collector = Collector()
    for raw in LABELS[kind]:
        collector.add(raw)
    task = registry.create("tasks", name, {}).fit(collector.labels())
    numbers = np.arange(300) * 2
    splits = {"train": numbers[:200], "validation": numbers[200:250], "test": numbers[250:]}
    given = Divided(splits, task, Text(columns=("a", "b")), Targets(task, numbers.astype(np.int32), collector.labels()), numbers)
    prepare.store_division(given, tmp_path)
    again = prepare.restored_division(tmp_path, name, "text")
    assert again.task == task
    assert again.backbone == given.backbone
    assert {key: value.tolist() for key, value in again.splits.items()} == {key: value.tolist() for key, value in splits.items()}
    assert dict(again.targets) == {2 * i: task.target(raw) for i, raw in enumerate(LABELS[kind])}


@pytest.mark.parametrize("columns", [None, ["n"], ["n", "n"], []])
def test_rows_in_bulk_are_rows_one_by_one(tmp_path: Path, columns: list[str] | None) -> None:
    rows = [{"text": f"t{i}", "n": None if i % 5 == 0 else str(i)} for i in range(5000)]
    made = prepare.read(DataRecipe(), rows, tmp_path / "rows.arrow").table
    rng = np.random.default_rng(0)
    for numbers in (range(5000), np.sort(rng.permutation(5000)[:900]), rng.permutation(5000)[:900], [4999, 4999, 0], []):
        expected = [{key: value for key, value in made[int(i)].items() if columns is None or key in columns} for i in numbers]
        assert list(made.rows(numbers, columns)) == expected
    assert list(pickle.loads(pickle.dumps(made)).rows([3, 4000])) == [made[3], made[4000]]


def test_chunks_with_pictures_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "CHUNK_BYTES", 1000)
    located = ((str(i), {"image": bytes(300), "label": "a"}) for i in range(10))
    assert [len(chunk) for chunk in table.chunks(iter(located))] == [4, 4, 2]


ROWS = 60_000


@pytest.mark.parametrize(("kind", "bound"), [("names", 34), ("lists", 46), ("numbers", 38)])
def test_bytes_a_row(tmp_path: Path, checkpoints: Path, kind: str, bound: int) -> None:
    """What stays of each row when it has been divided, measured and planned: numbers twice, label, mark of the input, size."""
    label = {"names": lambda i: f"class {i % 7}", "lists": lambda i: f"a{i % 30}|b{i % 41}", "numbers": lambda i: i / 7}[kind]
    recipe = DataRecipe()
    rows = ({"text": f"words {i}", "label": label(i)} for i in range(ROWS))
    was = prepare.read(recipe, [{"text": "x", "label": "a"}], tmp_path / "first.arrow")  # what is made once is made now
    source = Source([Part(MemoryReader(lambda: rows))], "rows", "rows")
    made, _ = table.build(source, tmp_path / "rows.arrow", was.bad)
    columns = infer(made, recipe, None)
    task = registry.create("tasks", columns.task, {"label": columns.label})
    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    _ = backbone.length
    tracemalloc.start()
    found = prepare.divide(Read(made, [None], was.bad, "", ""), None, recipe, task, backbone, 0)
    sizes = sizes_of(made, found.splits["train"], backbone)
    kept, peak = tracemalloc.get_traced_memory()
    loader = Loader(Plan(found.splits["train"], sizes, 32, 1, 0), Examples(made, found.targets, backbone), found.task, augment=True)
    next(iter(loader.batches(0)))
    planned = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept / ROWS < bound
    assert peak / ROWS < 150
    assert planned <= max(peak, kept + 40 * ROWS)
    assert isinstance(found.targets.labels, Labels)


def test_a_label_column_of_many_different_values_is_looked_at_without_keeping_them(tmp_path: Path) -> None:
    rows = [{"text": f"words {i}", "label": str(i / 7)} for i in range(30_000)]
    made = prepare.read(DataRecipe(), rows, tmp_path / "rows.arrow").table
    tracemalloc.start()
    found = infer(made, DataRecipe(), None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.task == "regression"
    assert peak < 12_000_000
