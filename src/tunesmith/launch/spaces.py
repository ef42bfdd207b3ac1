"""Pictures and texts as vectors of one space, by the bundle of a contrastive run or by a CLIP or SigLIP that nothing was trained of.

Each side is read without the other, in a stream: a million pictures are searched in the memory of one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import nn

from tunesmith.core import bundle as bundles
from tunesmith.core import registry
from tunesmith.core.arrays import Floats
from tunesmith.core.contracts import Backbone, Batch, Features, Row, Task
from tunesmith.core.errors import BackboneError, RowError, UsageError
from tunesmith.core.model import Model
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.table import with_paths
from tunesmith.evaluate import streaming
from tunesmith.launch.inference import parts_of

Side = Literal["image", "text"]
PLACE: dict[Side, int] = {"image": 0, "text": 1}
T = TypeVar("T")
Found = tuple[tuple[str, str], Row]
"""Where a row stands, file and place, and the row."""


class _Half(nn.Module):
    """The head of one side by itself."""

    def __init__(self, space: Any, place: int) -> None:
        super().__init__()
        self.space, self.place = space, place

    def forward(self, features: Features) -> torch.Tensor:
        """(rows, width) vectors of length 1."""
        found: torch.Tensor = self.space.side(self.place, features.pooled)
        return found


class Space:
    """Both encoders of a model, and the scale of their cosines.

    Args:
        source: bundle of a contrastive run, or a folder or hub id of a CLIP or SigLIP.

    Raises:
        UsageError, BackboneError: it holds no such model.
    """

    def __init__(self, source: str) -> None:
        model = _opened(source)
        sides = model.backbone.sides(model.network)
        assert sides is not None, "a contrastive task reads pairs"
        head: Any = model.head
        self.scale = float(head.log_scale.detach().exp())
        self._models = {
            side: Model(*sides.towers[place], _Half(head.space, place)).eval()  # the towers keep what an adapter put into them
            for side, place in PLACE.items()
        }

    def backbone(self, side: Side) -> Backbone:
        """What reads a side."""
        return self._models[side].backbone

    def vectors(self, side: Side, rows: Iterable[tuple[T, Row]]) -> Iterator[tuple[list[tuple[T, Row]], Floats]]:
        """Vectors of length 1 of rows, (rows, width), a window of rows at a time."""
        yield from streaming.outputs(self._models[side], _said, rows)

    def texts(self, texts: list[str]) -> Floats:
        """(texts, width) vectors of texts."""
        column = self.backbone("text").columns[0]
        return np.concatenate([found for _, found in self.vectors("text", ((None, {column: text}) for text in texts))])

    def usable(self, side: Side, inputs: Any, bad: BadRows) -> Iterator[Found]:
        """Rows of files that hold what a side reads; others go to `bad`."""
        backbone = self.backbone(side)
        columns, pictures = list(backbone.columns), side == "image"
        for part in parts_of(inputs, columns, dict.fromkeys(columns, "image") if pictures else {}):
            first = True
            for where, row in part.reader.rows(bad):
                if first and not set(columns) & set(row):
                    raise UsageError(f"{part.reader.label} has no column called {columns[0]}, which this model reads: {', '.join(row)}")
                first = False
                whole = with_paths(dict(row), part.reader.root, columns if pictures else [])
                try:
                    backbone.usable(whole)
                except RowError as error:
                    bad.add(part.reader.label, where, str(error))
                    continue
                yield (part.reader.label, where), whole


def _said(model: Model, batch: Batch) -> Floats:
    found: Floats = model(batch).float().cpu().numpy()
    return found


def _opened(source: str) -> Model:
    """The model of a bundle or a checkpoint."""
    folder = Path(source).expanduser()
    if (folder / "checksums.json").is_file() or (folder / "recipe.yaml").is_file():
        bundle = bundles.load(folder)
        if bundle.task.answers != "pairs":
            raise UsageError(
                f"{source} is a bundle of task '{bundle.task.name}'; pictures and texts are held together by --task contrastive"
            )
        return bundle.model
    backbone: Any = registry.create("backbones", "dual_encoder", {"source": source})
    backbone.traits()  # which says what is wrong with the source
    if backbone.logit[0] is None:
        raise BackboneError(f"{source} holds two encoders that no training has put into one space; train them with --task contrastive")
    task: Task = registry.create("tasks", "contrastive", {})
    return task.build(backbone).eval()
