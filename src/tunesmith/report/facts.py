"""What a finished run left in its folder, read for the pages and tables that are made of it.

Every key of metrics.json but `test` may be absent or null: older runs lack some, tasks have no use for others.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import recipe as recipes
from tunesmith.core import registry
from tunesmith.core.contracts import ScoreTable
from tunesmith.core.errors import DataError, UnknownNameError, UsageError
from tunesmith.core.files import plain_json, read_json
from tunesmith.core.run import Run


@dataclass(frozen=True, eq=False)
class Facts:
    """A run as its files tell it.

    Attributes:
        run: its folder.
        metrics: what metrics.json holds, or will hold.
        recipe: plain values of recipe.yaml.
        environment: versions and machine.
        log: records of logs/metrics.jsonl.
        tables: scores that are more than one number, from report/.
    """

    run: Run
    metrics: Mapping[str, Any]
    recipe: Mapping[str, Any]
    environment: Mapping[str, Any]
    log: Sequence[Mapping[str, Any]] = ()
    tables: Sequence[ScoreTable] = ()

    def named(self, part: str) -> str:
        """The name that the recipe gives its task, backbone, adapter, optimizer or schedule."""
        value = self.recipe.get(part)
        name = value.get("name", value.get("source")) if isinstance(value, Mapping) else value
        return Path(str(name)).name if name and Path(str(name)).is_dir() else str(name or part)

    @property
    def data(self) -> str:
        """What the data is called."""
        paths = (self.recipe.get("data") or {}).get("path") or []
        return Path(paths[0]).stem if paths else "rows in memory"

    def column_names(self, part: str) -> list[str]:
        """The `inputs` or the `label` columns."""
        return list((self.recipe.get("data") or {}).get(part) or [])

    @property
    def directions(self) -> Mapping[str, str]:
        """Score -> `max` or `min`, the task's own first; empty where the task comes from a package that is not installed here."""
        try:
            found: Mapping[str, str] = registry.create("tasks", self.named("task"), self._task_options).directions()
        except UnknownNameError:
            return {}
        return found

    @property
    def _task_options(self) -> dict[str, Any]:
        task = self.recipe.get("task")
        return {key: value for key, value in task.items() if key != "name"} if isinstance(task, Mapping) else {}

    @property
    def main(self) -> str:
        """The score that decides."""
        test = self.metrics["test"]
        monitor = (self.recipe.get("training") or {}).get("monitor")
        first = (self.part("verdict") or {}).get("metric"), monitor, *self.directions, *scores(test)
        return next((name for name in first if name and name in test), "")

    def part(self, key: str) -> Any:
        """A key of metrics.json; None where it is absent or empty."""
        return self.metrics.get(key) or None


def scores(found: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among scores; counts of rows, steps and epochs are left out."""
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("rows", "step", "epoch")
    }


def read(folder: Path, metrics: Mapping[str, Any] | None = None) -> Facts:
    """Read a run folder.

    Args:
        folder: of the run.
        metrics: what metrics.json will hold; None reads it.

    Raises:
        UsageError: it is no run folder, or the run has not ended.
        DataError: a file of it is damaged.
    """
    run = Run(folder)
    if not folder.is_dir():
        raise UsageError(f"the run {folder} does not exist; check the name and the folder ({folder.absolute().parent})")
    if not run.recipe.is_file():
        raise UsageError(f"{folder} is not a run folder (it holds no recipe.yaml); give what `tunesmith tune` printed as 'run'")
    if metrics is None and not run.metrics.is_file():
        raise UsageError(f"the run {folder} has not ended (no metrics.json); finish it with: tunesmith tune --resume {folder}")
    try:
        metrics = read_json(run.metrics) if metrics is None else plain_json(dict(metrics))
        environment_path = folder / "environment.json"
        environment = read_json(environment_path) if environment_path.is_file() else {}
        lines = run.log.read_text(encoding="utf-8").splitlines() if run.log.is_file() else []
        log = [json.loads(line) for line in lines]
    except ValueError as error:
        raise DataError(f"a file of the run {folder} is damaged: {error}; run its recipe again") from error
    if not isinstance(metrics.get("test"), Mapping):
        raise DataError(f"{run.metrics} holds no test scores; run the recipe again")
    return Facts(run, metrics, recipes.read_yaml(run.recipe), environment, log, _tables(run.report))


def _tables(report: Path) -> list[ScoreTable]:
    """The tables that lie as CSV in a run's report; a square one with the same names on both sides is a matrix."""
    found = []
    for path in sorted(report.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as handle:
            head, *rows = csv.reader(handle)
        index = [row[0] for row in rows]
        found.append(ScoreTable(path.stem, index, head[1:], [[float(cell) for cell in row[1:]] for row in rows], index == head[1:]))
    return found
