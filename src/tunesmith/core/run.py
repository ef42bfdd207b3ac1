"""The run folder: one recipe filled it.

recipe.yaml           resolved: reproduces the run
environment.json      versions, machine
metrics.json          test and validation scores, checks, cost
predictions.parquet   the test split, row by row
bad_rows.csv          rows that could not be used, where there are any
logs/                 metrics.jsonl, event files
report.html           all of it for people, in one file
report/               classification report, confusion matrix, learning curves
bundle/               the folder that ships
work/                 rows and checkpoints while the run lasts
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tunesmith.core.errors import OutputError, UsageError
from tunesmith.core.files import disk_errors

PACKAGES = (
    "tunesmith",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "timm",
    "torchvision",
    "tokenizers",
    "numpy",
    "pyarrow",
    "scikit-learn",
)


@dataclass(frozen=True)
class Run:
    """Names of the places in a run folder."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.yaml"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions.parquet"

    @property
    def bad_rows(self) -> Path:
        return self.folder / "bad_rows.csv"

    @property
    def log(self) -> Path:
        return self.folder / "logs" / "metrics.jsonl"

    @property
    def page(self) -> Path:
        return self.folder / "report.html"

    @property
    def report(self) -> Path:
        return self.folder / "report"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def checkpoints(self) -> Path:
        return self.work / "checkpoints"


def new(out: str | None, name: str) -> Run:
    """A new, empty run folder: `out`, or the next free runs/NAME-N.

    Raises:
        OutputError: `out` exists and holds something.
    """
    if out is None:
        stem = re.sub(r"[^\w-]+", "-", name).strip("-") or "run"
        number = 1
        while (folder := Path("runs") / f"{stem}-{number}").exists():
            number += 1
    else:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            again = "; to go on with an interrupted run use --resume" if (folder / "recipe.yaml").exists() else ""
            raise OutputError(
                f"the output folder {folder} exists and is not empty; nothing is overwritten: choose another --out or remove it{again}"
            )
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return Run(folder)


def existing(folder: str) -> Run:
    """A run that was interrupted.

    Raises:
        UsageError: the folder holds no run, or one that had not begun to train.
    """
    run = Run(Path(folder))
    if not run.folder.is_dir():
        raise UsageError(f"the run {folder} does not exist; check the name and the folder ({Path(folder).absolute().parent})")
    if not run.recipe.is_file():
        raise UsageError(
            f"{folder} holds no run that can be resumed (no recipe.yaml); start it anew with another --out, or remove the folder"
        )
    return run


def environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    import os

    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "packages": versions,
    }
