"""Finds out what the user brought: a table, a set of tables, folders of pictures, a Hugging Face dataset, rows in memory.

The answer is a list of parts, each a reader with the split it was given for (or None), and a sentence saying what was seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError, require
from tunesmith.data.readers import PICTURES, TABLES, FolderReader, MemoryReader, Reader, reader_of

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
}


@dataclass(frozen=True)
class Part:
    """One source of rows and the split it was given for."""

    reader: Reader
    split: str | None = None


@dataclass(frozen=True)
class Source:
    """All parts, and what was seen in words."""

    parts: list[Part]
    described: str
    name: str


def open_source(data: Any, encoding: str = "utf-8", delimiter: str | None = None) -> Source:
    """Find out what `data` is.

    Args:
        data: path(s), a dataset id, a pandas DataFrame, a list of mappings, a `datasets` object, or a mapping split -> one of these.
        encoding: text encoding of CSV, TSV and JSONL files.
        delimiter: column separator of CSV files; None finds it.

    Raises:
        DataError: nothing is there, or it is of no known kind.
    """
    if isinstance(data, str | Path):
        data = [data]
    if isinstance(data, dict):
        parts = [Part(_memory(value), _split_name(str(key))) for key, value in data.items()]
        return Source(parts, f"rows in memory for {', '.join(p.split or '' for p in parts)}", "rows")
    if isinstance(data, list | tuple) and data and all(isinstance(item, str | Path) for item in data):
        return _from_paths([str(item) for item in data], encoding, delimiter)
    return Source([Part(_memory(data))], "rows in memory", "rows")


def _split_name(name: str) -> str:
    if name.lower() not in SPLITS:
        raise DataError(f"there is no split called {name!r}; splits are train, validation and test")
    return SPLITS[name.lower()]


def _memory(data: Any) -> Reader:
    if hasattr(data, "to_dict") and hasattr(data, "columns"):  # pandas
        return MemoryReader(lambda: (dict(zip(data.columns, row, strict=True)) for row in data.itertuples(index=False, name=None)))
    if hasattr(data, "features") and hasattr(data, "cast_column"):
        return _dataset_reader(data, "dataset")
    if isinstance(data, Sequence) and all(isinstance(row, dict) for row in data):
        if not data:
            raise DataError("the list of rows is empty")
        return MemoryReader(lambda: data)
    raise DataError(f"no way to read rows from {type(data).__name__}; give a path, a DataFrame, a list of mappings or a datasets.Dataset")


def _from_paths(paths: list[str], encoding: str, delimiter: str | None) -> Source:
    if len(paths) > 3:
        raise DataError(f"{len(paths)} files were given; at most three are read: train, validation, test")
    name = Path(paths[0]).stem
    if len(paths) > 1:
        splits = ("train", "test") if len(paths) == 2 else ("train", "validation", "test")
        parts = [_one_part(Path(path), split, encoding, delimiter) for path, split in zip(paths, splits, strict=True)]
        return Source(parts, " and ".join(f"{path} for {part.split}" for path, part in zip(paths, parts, strict=True)), name)
    path = Path(paths[0])
    if path.is_dir():
        return _from_folder(path, encoding, delimiter)
    if path.exists() or path.suffix.lower() in TABLES or not _is_hub_id(paths[0]):
        reader = reader_of(path, encoding, delimiter)
        return Source([Part(reader)], f"one table, {path}", name)
    return _from_hub(paths[0])


def _one_part(path: Path, split: str, encoding: str, delimiter: str | None) -> Part:
    if path.is_dir():
        return Part(FolderReader(path), split)
    return Part(reader_of(path, encoding, delimiter), split)


def _from_folder(folder: Path, encoding: str, delimiter: str | None) -> Source:
    if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
        datasets = require("datasets", "reading a folder written by datasets.save_to_disk")
        return _from_datasets(datasets.load_from_disk(str(folder)), f"a saved Hugging Face dataset, {folder}", folder.name)
    tables = sorted(p for p in [*folder.glob("*"), *folder.glob("data/*")] if p.is_file() and p.suffix.lower() in TABLES)
    named = [(table, _split_of(table.name)) for table in tables]
    if any(split == "train" for _, split in named):
        parts = [Part(reader_of(table, encoding, delimiter), split) for table, split in named if split]
        used = ", ".join(f"{table.name} for {split}" for table, split in named if split)
        return Source(parts, f"a folder of tables, {folder}: {used}", folder.name)
    if len(tables) == 1:
        return Source([Part(reader_of(tables[0], encoding, delimiter))], f"a folder with one table, {tables[0]}", folder.name)
    if tables:
        raise DataError(
            f"{folder} holds {len(tables)} tables ({', '.join(t.name for t in tables[:5])}) and none is called train; "
            "name the one to read, or up to three: train, validation, test"
        )
    return _from_picture_folder(folder)


def _split_of(name: str) -> str | None:
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def _from_picture_folder(folder: Path) -> Source:
    folders = [p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    splits = [(p, SPLITS[p.name.lower()]) for p in folders if p.name.lower() in SPLITS]
    if any(split == "train" for _, split in splits):
        parts = [Part(FolderReader(p), split) for p, split in splits]
        return Source(parts, f"folders of pictures per class in {', '.join(p.name for p, _ in splits)}, {folder}", folder.name)
    if any(_has_pictures(p) for p in folders):
        return Source([Part(FolderReader(folder))], f"one folder of pictures per class, {folder}", folder.name)
    inside = ", ".join(sorted(p.name for p in folder.iterdir())[:6]) or "nothing"
    raise DataError(
        f"{folder} holds no data tunesmith knows (it holds {inside}); expected one folder of pictures per class, "
        f"a table ({', '.join(TABLES)}), tables called train/validation/test, or a saved Hugging Face dataset"
    )


def _has_pictures(folder: Path) -> bool:
    return any(p.suffix.lower() in PICTURES for p in folder.rglob("*"))


def _is_hub_id(text: str) -> bool:
    return re.fullmatch(r"(hf:)?[\w.-]+/[\w.-]+", text) is not None and not text.startswith((".", "/"))


def _from_hub(name: str) -> Source:
    datasets = require("datasets", f"reading the dataset '{name}' from a hub")
    try:
        loaded = datasets.load_dataset(name.removeprefix("hf:"))
    except (OSError, ConnectionError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{name} is no file or folder here, and the dataset could not be read from the hub "
            f"({type(error).__name__}: {str(error)[:200]}); "
            "check the path, or download the dataset elsewhere and give its folder"
        ) from error
    return _from_datasets(loaded, f"the dataset {name} of the hub", name.split("/")[-1])


def _from_datasets(loaded: Any, described: str, name: str) -> Source:
    if hasattr(loaded, "keys"):
        parts = [Part(_dataset_reader(dataset, key), SPLITS.get(key.lower())) for key, dataset in loaded.items()]
        parts = [part for part in parts if part.split] or parts[:1]
    else:
        parts = [Part(_dataset_reader(loaded, name))]
    return Source(parts, described, name)


def _dataset_reader(dataset: Any, label: str) -> Reader:
    return MemoryReader(lambda: _dataset_rows(dataset), label=label)


def _dataset_rows(dataset: Any) -> Any:
    """Rows of a `datasets.Dataset`, with class numbers as their names and pictures undecoded."""
    datasets = require("datasets", "reading a Hugging Face dataset")
    for column, feature in dataset.features.items():
        if isinstance(feature, datasets.Image):
            dataset = dataset.cast_column(column, datasets.Image(decode=False))
    names = {c: f.names for c, f in dataset.features.items() if isinstance(f, datasets.ClassLabel)}
    for row in dataset:
        for column, classes in names.items():
            value = row[column]
            row[column] = classes[value] if value is not None and 0 <= value < len(classes) else None
        yield row
