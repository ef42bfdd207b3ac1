"""The verb `check`: the data gate without a run, and the cleaned copy."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UsageError
from tunesmith.core.run import Run
from tunesmith.data import cleaned
from tunesmith.data.cleaned import Cleaned
from tunesmith.data.sources import open_source
from tunesmith.gate import leave_out
from tunesmith.launch import gate, preparing
from tunesmith.recipe import Recipe


@dataclass(frozen=True)
class Checked:
    """What the inspections found.

    Attributes:
        gate: as the key `gate` of metrics.json.
        copy: the cleaned copy; None where none was asked for.
    """

    gate: dict[str, Any]
    copy: Cleaned | None

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding["severity"] == "error" for finding in self.gate["findings"])


def check(recipe: Recipe, data: Any = None, *, fix: bool = False) -> Checked:
    """Inspect data as a run would, but without the features of a backbone; nothing is trained.

    Args:
        recipe: names the data; `out` is where the cleaned copy goes.
        data: rows in memory; None reads `recipe.data.path`.
        fix: write a copy without the rows that findings say to leave out.

    Raises:
        UsageError: a copy is asked for, and no folder for it.
        DataError: the data cannot be read or divided.
    """
    if fix and recipe.out is None:
        raise UsageError("--fix writes a cleaned copy: name its folder with --out FOLDER")
    source = open_source(data if data is not None else recipe.data.path, recipe.data.encoding, recipe.data.delimiter)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
        ready = preparing.prepared(recipe, data if data is not None else recipe.data.path, Run(Path(folder)))
        found, plain = gate.judged(gate.view(ready))
        copy = None
        if fix:
            assert recipe.out is not None
            inputs = [spec.column for spec in ready.parts.backbone.input_spec()]
            copy = cleaned.write(ready.was.table, source, leave_out(found.findings), Path(recipe.out), inputs=inputs)
    return Checked(plain, copy)
