"""Finds out what the user brought: a table, a set of tables, folders of pictures or sounds, a Hugging Face dataset, rows in memory.

The answer is a list of parts, each a reader with the split it was given for (or None), and a sentence saying what was seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError, require
from tunesmith.core.kinds import ENDINGS, FILE, SHOWN
from tunesmith.data.fasta import FastaFolderReader, is_fasta
from tunesmith.data.readers import TABLES, FolderReader, MemoryReader, Reader, ending_of, reader_of
from tunesmith.data.values import distinct

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

CLEANING_LOG = "cleaning_log.csv"
"""What a cleaned copy says about itself; it stands among the data and is none."""


@dataclass(frozen=True)
class Part:
    """One source of rows and the split it was given for."""

    reader: Reader
    split: str | None = None


@dataclass(frozen=True)
class Source:
    """What the user brought.

    Attributes:
        parts: all sources of rows.
        described: what was seen, in words.
        name: what to call it.
        notes: what was seen but is not used.
        folder: the folder that was given, where its parts are files or folders in it.
        keys: the splits as they were called, one a part, where a mapping was given.
    """

    parts: list[Part]
    described: str
    name: str
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None
    keys: tuple[str, ...] = ()


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
        parts = [_in_memory_part(value, _split_name(str(key)), encoding, delimiter) for key, value in data.items()]
        return Source(parts, f"data for {', '.join(p.split or '' for p in parts)}", "rows", keys=tuple(map(str, data)))
    if isinstance(data, list | tuple) and data and all(isinstance(item, str | Path) for item in data):
        return _from_paths([str(item) for item in data], encoding, delimiter)
    return Source([Part(_memory(data))], "rows in memory", "rows")


def _in_memory_part(value: Any, split: str, encoding: str, delimiter: str | None) -> Part:
    if isinstance(value, str | Path):
        return _one_part(Path(value), split, encoding, delimiter)
    return Part(_memory(value), split)


def _split_name(name: str) -> str:
    if name.lower() not in SPLITS:
        raise DataError(f"there is no split called {name!r}; splits are train, validation and test")
    return SPLITS[name.lower()]


def _memory(data: Any) -> Reader:
    if hasattr(data, "itertuples") and hasattr(data, "columns"):  # pandas
        distinct([str(name) for name in data.columns], "the DataFrame")
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
        if len({Path(path).resolve() for path in paths}) < len(paths):
            raise DataError(f"one file was given for two splits ({', '.join(paths)}); a test on the training rows would prove nothing")
        splits = ("train", "test") if len(paths) == 2 else ("train", "validation", "test")
        parts = [_one_part(Path(path), split, encoding, delimiter) for path, split in zip(paths, splits, strict=True)]
        return Source(parts, " and ".join(f"{path} for {part.split}" for path, part in zip(paths, parts, strict=True)), name)
    path = Path(paths[0])
    if path.is_dir():
        return _from_folder(path, encoding, delimiter)
    if path.exists() or ending_of(path) in TABLES or not _is_hub_id(paths[0]):
        reader = reader_of(path, encoding, delimiter)
        return Source([Part(reader)], f"one table, {path}", name)
    return _from_hub(paths[0])


def _one_part(path: Path, split: str, encoding: str, delimiter: str | None) -> Part:
    if path.is_dir() and any(map(is_fasta, path.rglob("*"))):
        return Part(FastaFolderReader(path, encoding), split)
    if path.is_dir():
        return Part(FolderReader(path, _kind_in([path]) or "image"), split)
    return Part(reader_of(path, encoding, delimiter), split)


def _from_folder(folder: Path, encoding: str, delimiter: str | None) -> Source:
    if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
        datasets = require("datasets", "reading a folder written by datasets.save_to_disk")
        return _from_datasets(datasets.load_from_disk(str(folder)), f"a saved Hugging Face dataset, {folder}", folder.name)
    found = sorted(p for p in [*folder.glob("*"), *folder.glob("data/*")] if p.is_file() and ending_of(p) in TABLES)
    tables = [table for table in found if table.name != CLEANING_LOG]
    named = [(table, _split_of(table.name)) for table in tables]
    if any(split == "train" for _, split in named):
        parts = [Part(reader_of(table, encoding, delimiter), split) for table, split in named if split]
        used = ", ".join(f"{table.name} for {split}" for table, split in named if split)
        rest = [table.name for table, split in named if not split]
        return Source(parts, f"a folder of tables, {folder}: {used}", folder.name, _unused(rest), folder)
    if len(tables) == 1:
        part = Part(reader_of(tables[0], encoding, delimiter))
        return Source([part], f"a folder with one table, {tables[0]}", folder.name, folder=folder)
    if tables and all(map(is_fasta, tables)):
        return Source([Part(FastaFolderReader(folder, encoding))], f"one FASTA file per class, {folder}", folder.name, folder=folder)
    if tables:
        raise DataError(
            f"{folder} holds {len(tables)} tables ({', '.join(t.name for t in tables[:5])}) and none is called train; "
            "name the one to read, or up to three: train, validation, test"
        )
    if any(map(is_fasta, folder.rglob("*"))):
        return _from_fasta_folders(folder, encoding)
    return _from_classes(folder)


def _from_fasta_folders(folder: Path, encoding: str) -> Source:
    """Folders of FASTA files: one per class, or train and test with a file or folder per class each."""
    folders = [p for p in sorted(folder.iterdir()) if p.is_dir() and any(map(is_fasta, p.rglob("*")))]
    splits = [(p, SPLITS[p.name.lower()]) for p in folders if p.name.lower() in SPLITS]
    if any(split == "train" for _, split in splits):
        parts = [Part(FastaFolderReader(p, encoding), split) for p, split in splits]
        rest = _unused([p.name for p in folders if p.name.lower() not in SPLITS])
        used = ", ".join(p.name for p, _ in splits)
        return Source(parts, f"FASTA files per class in {used}, {folder}", folder.name, rest, folder)
    return Source([Part(FastaFolderReader(folder, encoding))], f"one folder of FASTA files per class, {folder}", folder.name, folder=folder)


def _split_of(name: str) -> str | None:
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def _from_classes(folder: Path) -> Source:
    folders = [p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    splits = [(p, SPLITS[p.name.lower()]) for p in folders if p.name.lower() in SPLITS]
    if any(split == "train" for _, split in splits):
        kind = _kind_in([p for p, _ in splits]) or "image"
        parts = [Part(FolderReader(p, kind), split) for p, split in splits]
        rest = _unused([p.name for p in folders if p.name.lower() not in SPLITS])
        empty = [note for p, _ in splits for note in _empty_classes(p, kind)]
        used = ", ".join(p.name for p, _ in splits)
        return Source(parts, f"folders of {SHOWN[kind]} per class in {used}, {folder}", folder.name, rest + empty, folder)
    if found := _kind_in(folders):
        part = Part(FolderReader(folder, found))
        return Source([part], f"one folder of {SHOWN[found]} per class, {folder}", folder.name, _empty_classes(folder, found), folder)
    inside = ", ".join(sorted(p.name for p in folder.iterdir())[:6]) or "nothing"
    raise DataError(
        f"{folder} holds no data tunesmith knows (it holds {inside}); expected one folder of pictures or sounds per class, "
        f"a table ({', '.join(TABLES)}), tables called train/validation/test, or a saved Hugging Face dataset"
    )


def _unused(names: list[str]) -> list[str]:
    return [f"not used, because the name says no split: {', '.join(names)}"] if names else []


def _empty_classes(folder: Path, kind: str) -> list[str]:
    names = [p.name for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".") and not _holds(p, kind)]
    return [f"no {FILE[kind]} in the folder {folder.name}/{name}: there is no such class" for name in names]


def _kind_in(folders: Sequence[Path]) -> str | None:
    """The kind of files that some folders hold: that of the first that is of any."""
    files = (path.suffix.lower() for folder in folders for path in folder.rglob("*"))
    return next((kind for ending in files for kind in ENDINGS if ending in ENDINGS[kind]), None)


def _holds(folder: Path, kind: str) -> bool:
    return any(p.suffix.lower() in ENDINGS[kind] for p in folder.rglob("*"))


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
    if not hasattr(loaded, "keys"):
        return Source([Part(_dataset_reader(loaded, name))], described, name)
    if len(loaded) == 1:
        return Source([Part(_dataset_reader(dataset, key)) for key, dataset in loaded.items()], described, name)
    parts = [Part(_dataset_reader(dataset, key), SPLITS[key.lower()]) for key, dataset in loaded.items() if key.lower() in SPLITS]
    if not any(part.split == "train" for part in parts):
        raise DataError(f"{described} holds {', '.join(loaded)} and none is called train; save the one to use by itself")
    return Source(parts, described, name, _unused([key for key in loaded if key.lower() not in SPLITS]))


def _dataset_reader(dataset: Any, label: str) -> Reader:
    return MemoryReader(lambda: _dataset_rows(dataset), label=label)


def _dataset_rows(dataset: Any) -> Any:
    """Rows of a `datasets.Dataset` with class numbers as their names, and with pictures and sounds undecoded."""
    datasets = require("datasets", "reading a Hugging Face dataset")
    dataset = dataset.with_format(None)
    for column, feature in dataset.features.items():
        if isinstance(feature, datasets.Image | datasets.Audio):
            dataset = dataset.cast_column(column, type(feature)(decode=False))
    names = {column: found for column, feature in dataset.features.items() if (found := _class_names(feature))}
    for row in dataset:
        for column, classes in names.items():
            value = row[column]
            many = isinstance(value, list)
            row[column] = [_class_name(item, classes) for item in value] if many else _class_name(value, classes)
        yield row


def _class_names(feature: Any) -> list[str] | None:
    """Names of the classes of a column of classes, or of lists of them."""
    found: list[str] | None = getattr(getattr(feature, "feature", feature), "names", None)
    return found


def _class_name(value: Any, classes: list[str]) -> str | None:
    return classes[value] if value is not None and 0 <= value < len(classes) else None
