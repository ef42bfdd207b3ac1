"""Texts and pictures of one row together: each kind through its own backbone, their vectors side by side (late fusion).

    {"description": "three rooms, garden", "photo": "houses/17.jpg"}  ->  [text vector | picture vector]

Choices: all text columns go through one text backbone, every picture column through one shared image backbone. Each part's vector is
normalised to mean 0 and spread 1, so that no part drowns the others by its scale. A row needs all its inputs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, final

from tunesmith.core import registry
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn


@final
@dataclass(frozen=True)
class Fusion(Backbone):
    """Texts and pictures of one row, each through its own backbone."""

    name: ClassVar[str] = "fusion"
    augments: ClassVar[bool] = True
    columns: tuple[str, ...] = field(default=("text", "image"), metadata={"help": "input columns"})
    pictures: tuple[str, ...] = field(default=("image",), metadata={"help": "those of the columns that hold pictures"})
    text: dict[str, Any] = field(default_factory=dict, metadata={"help": "fields of the text backbone, such as source"})
    image: dict[str, Any] = field(default_factory=dict, metadata={"help": "fields of the image backbone, such as source"})

    @classmethod
    def options_for(cls, kinds: Mapping[str, str]) -> dict[str, Any]:
        return {"columns": list(kinds), "pictures": [name for name, kind in kinds.items() if kind == "image"]}

    @functools.cached_property
    def parts(self) -> dict[str, tuple[str, Backbone]]:
        """Part -> (name of its network, backbone): one part for all texts, one for each picture column."""
        texts = [name for name in self.columns if name not in self.pictures]
        found: dict[str, tuple[str, Backbone]] = {}
        if texts:
            found["text"] = ("text", registry.create("backbones", "text", {**self.text, "columns": texts}))
        for column in self.pictures:
            found[f"image:{column}"] = ("image", registry.create("backbones", "image", {**self.image, "columns": [column]}))
        return found

    @functools.cached_property
    def networks(self) -> dict[str, Backbone]:
        """Name of a network -> the backbone that opens, divides and saves it."""
        return dict(reversed(list(self.parts.values())))

    def traits(self) -> set[str]:
        kinds = set().union(*(part.traits() for part in self.networks.values()))
        return {"fusion"} | (kinds - {"text", "image", "decoder"})

    def open(self) -> nn.Module:
        from torch import nn

        return nn.ModuleDict({name: part.open() for name, part in sorted(self.networks.items())})

    def check(self, row: Row) -> str | None:
        remarks = [part.check(row) for _, part in self.parts.values()]
        return next((remark for remark in remarks if remark), None)

    def readiness(self) -> str | None:
        return next((told for _, part in self.parts.values() if (told := part.readiness())), None)

    def ready(self, row: Row) -> Row:
        for _, part in self.parts.values():
            row = part.ready(row)
        return row

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        return {key: part.encode(row, rng) for key, (_, part) in self.parts.items()}

    def collate(self, items: Sequence[Encoded]) -> Batch:
        return {key: part.collate([item[key] for item in items]) for key, (_, part) in self.parts.items()}

    def features(self, network: nn.Module, batch: Batch) -> Features:
        import torch
        from torch.nn import functional as F

        found = []
        for key, (name, part) in self.parts.items():
            pooled = part.features(getattr(network, name), batch[key]).pooled
            assert pooled is not None, f"part {key} gives no pooled features"
            found.append(F.layer_norm(pooled, pooled.shape[-1:]))
        return Features(pooled=torch.cat(found, dim=-1))  # (batch, sum of widths)

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """Blocks of the parts, aligned at the output: the last holds the last of each."""
        from torch import nn

        lists = [part.blocks(getattr(network, name)) for name, part in sorted(self.networks.items())]
        depth = max(map(len, lists))
        return [nn.ModuleList([blocks[i - depth] for blocks in lists if len(blocks) >= depth - i]) for i in range(depth)]

    def width(self, network: nn.Module) -> int:
        return sum(part.width(getattr(network, name)) for name, part in self.parts.values())

    def input_spec(self) -> list[InputSpec]:
        specs = {spec.column: spec for _, part in self.parts.values() for spec in part.input_spec()}
        return [specs[column] for column in self.columns]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        found: npt.NDArray[np.int64] = np.stack([part.sizes(rows) for _, part in self.parts.values()]).sum(axis=0)
        return found

    def save_memory(self, network: nn.Module) -> None:
        for name, part in self.networks.items():
            part.save_memory(getattr(network, name))

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        for name, part in self.networks.items():
            own = {key.removeprefix(f"{name}."): tensor for key, tensor in weights.items() if key.startswith(f"{name}.")}
            part.save(getattr(network, name), own, folder / name)

    def moved(self, folder: Path) -> Fusion:
        def within(options: dict[str, Any], name: str) -> dict[str, Any]:
            return {**options, "source": str(folder / name), "weights": None, "scratch": False}

        return dataclasses.replace(self, text=within(self.text, "text"), image=within(self.image, "image"))

    def settings(self) -> dict[str, Any]:
        resolved = {name: part.settings() for name, part in self.networks.items()}
        for options in resolved.values():
            options.pop("columns")
        return {"columns": self.columns, "pictures": self.pictures, **resolved}

    def origin(self) -> dict[str, Any]:
        return {"source": "fusion", "parts": {name: part.origin() for name, part in sorted(self.networks.items())}}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for _, part in self.parts.values():
            row.update(part.sample(code, rng))
        return row
