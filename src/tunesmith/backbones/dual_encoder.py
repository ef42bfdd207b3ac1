"""Pictures and texts in pairs: one encoder a side, their vectors side by side.

    {"image": "photos/17.jpg", "text": "a red bus on a road"}  ->  [picture vector | text vector]

The source is a folder of a CLIP or SigLIP, whose vectors lie in one space, or two encoders (`timm:mobilenetv3_small_100+minilm`), whose
common space the task's head learns. Choices: each side is a backbone of its own (`image`, `text`), so that a picture or a text can be
encoded without the other; the first column holds the pictures, all others make the text. Rows of one picture stay on one side of a split.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, final

from tunesmith.backbones import _checkpoints, _towers
from tunesmith.core import registry
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row, Sides
from tunesmith.core.errors import BackboneError, RowError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

SOURCE = "a folder or hub id of a CLIP or SigLIP, or two encoders as IMAGE+TEXT, such as timm:mobilenetv3_small_100+minilm"


@final
@dataclass(frozen=True)
class DualEncoder(Backbone):
    """Pairs of a picture and a text: a CLIP, a SigLIP, or any two encoders."""

    name: ClassVar[str] = "dual_encoder"
    reads: ClassVar[tuple[str, ...]] = ("image", "text")
    augments: ClassVar[bool] = True
    source: str = field(default="timm:mobilenetv3_small_100+minilm", metadata={"help": SOURCE})
    columns: tuple[str, ...] = field(default=("image", "text"), metadata={"help": "input columns: that of the pictures, those of texts"})
    image: dict[str, Any] = field(default_factory=dict, metadata={"help": "fields of the image backbone, such as source or weights"})
    text: dict[str, Any] = field(default_factory=dict, metadata={"help": "fields of the text backbone, such as max_length"})
    scale: float | None = field(default=None, metadata={"help": "what cosines are multiplied by; read from a CLIP or SigLIP"})
    bias: float = field(default=0.0, metadata={"help": "what is added to them; read from a SigLIP"})

    @classmethod
    def options_for(cls, kinds: Mapping[str, str]) -> dict[str, Any]:
        pictures = [name for name, kind in kinds.items() if kind == "image"]
        texts = [name for name in kinds if name not in pictures]
        if len(pictures) != 1 or not texts:
            told = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
            raise UsageError(f"a dual encoder reads one column of pictures and at least one of texts (got {told}); name them with --inputs")
        return {"columns": [*pictures, *texts]}

    @functools.cached_property
    def parts(self) -> dict[str, Backbone]:
        """Side -> its backbone."""
        pictures, texts = self._sources
        image = {"source": pictures, **self.image, "columns": self.columns[:1]}
        text = {"source": texts, **self.text, "columns": self.columns[1:]}
        return {"image": registry.create("backbones", "image", image), "text": registry.create("backbones", "text", text)}

    @functools.cached_property
    def _sources(self) -> tuple[str, str]:
        """Where each side comes from."""
        if "source" in self.image and "source" in self.text:
            return self.image["source"], self.text["source"]
        pictures, plus, texts = self.source.partition("+")
        if plus and not Path(self.source).expanduser().exists():
            return pictures.strip(), texts.strip()
        if not self._whole:
            raise BackboneError(f"{self.source} is no CLIP or SigLIP, so it cannot read pictures and texts; name {SOURCE}")
        return self.source, self.source

    @functools.cached_property
    def _whole(self) -> Path | None:
        """Folder of the checkpoint that brings both sides, where the source is one."""
        alone = "+" not in self.source or Path(self.source).expanduser().exists()
        named = ":" not in self.source and ("/" in self.source or Path(self.source).expanduser().is_dir())
        if not (alone and named) or "source" in self.image:
            return None
        folder = _checkpoints.locate(self.source)
        path = folder / "config.json"
        if not path.is_file():
            raise BackboneError(f"{folder} holds no config.json, so it is no checkpoint in hub format")
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
        return folder if kind in _towers.FAMILIES else None

    @functools.cached_property
    def logit(self) -> tuple[float | None, float]:
        """Scale and bias, resolved."""
        if self.scale is not None or self._whole is None:
            return self.scale, self.bias
        return _towers.logit(self._whole)

    @property
    def repeated(self) -> str:
        return self.columns[0]

    def sides(self, network: nn.Module) -> Sides:
        towers = [(part, getattr(network, side)) for side, part in self.parts.items()]
        widths = [part.width(own) for part, own in towers]
        return Sides((towers[0], towers[1]), (widths[0], widths[1]), *self.logit)

    def traits(self) -> set[str]:
        kinds = set().union(*(part.traits() for part in self.parts.values()))
        return {"dual_encoder"} | (kinds - {"text", "image", "decoder", "tower"})

    def open(self) -> nn.Module:
        from torch import nn

        return nn.ModuleDict({side: part.open() for side, part in self.parts.items()})

    def check(self, row: Row) -> str | None:
        self._one(row)
        remarks = [part.check(row) for part in self.parts.values()]
        return next((remark for remark in remarks if remark), None)

    def usable(self, row: Row) -> None:
        self._one(row)
        for part in self.parts.values():
            part.usable(row)

    def _one(self, row: Row) -> None:
        """Refuse a cell that holds a list of captions.

        Raises:
            RowError: it does.
        """
        for column in self.columns[1:]:
            value = str(row.get(column) or "")
            if value.startswith('["') and value.endswith('"]'):
                raise RowError("the cell holds a list of texts; write one row for each of them, with the picture beside it", column)

    def readiness(self) -> str | None:
        return self.parts["image"].readiness()

    def ready(self, row: Row) -> Row:
        return self.parts["image"].ready(row)

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        return {side: part.encode(row, rng) for side, part in self.parts.items()}

    def collate(self, items: Sequence[Encoded]) -> Batch:
        return {side: part.collate([item[side] for item in items]) for side, part in self.parts.items()}

    def features(self, network: nn.Module, batch: Batch) -> Features:
        import torch

        found = [part.features(getattr(network, side), batch[side]).pooled for side, part in self.parts.items()]
        assert all(pooled is not None for pooled in found), "a side gives no pooled features"
        return Features(pooled=torch.cat([pooled for pooled in found if pooled is not None], dim=-1))  # (batch, sum of widths)

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """Blocks of both sides, aligned at the output: the last holds the last of each."""
        from torch import nn

        lists = [part.blocks(getattr(network, side)) for side, part in self.parts.items()]
        depth = max(map(len, lists))
        return [nn.ModuleList([blocks[i - depth] for blocks in lists if len(blocks) >= depth - i]) for i in range(depth)]

    def width(self, network: nn.Module) -> int:
        return sum(part.width(getattr(network, side)) for side, part in self.parts.items())

    def input_spec(self) -> list[InputSpec]:
        return [spec for part in self.parts.values() for spec in part.input_spec()]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        found: npt.NDArray[np.int64] = np.stack([part.sizes(rows) for part in self.parts.values()]).sum(axis=0)
        return found

    def save_memory(self, network: nn.Module) -> None:
        for side, part in self.parts.items():
            part.save_memory(getattr(network, side))

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        for side, part in self.parts.items():
            own = {key.removeprefix(f"{side}."): tensor for key, tensor in weights.items() if key.startswith(f"{side}.")}
            part.save(getattr(network, side), own, folder / side)

    def moved(self, folder: Path) -> DualEncoder:
        def within(options: dict[str, Any], side: str) -> dict[str, Any]:
            return {**options, "source": str(folder / side), "weights": None, "scratch": False}

        image, text = within(self.image, "image"), within(self.text, "text")
        return dataclasses.replace(self, image=image, text=text, scale=self.logit[0], bias=self.logit[1])

    def settings(self) -> dict[str, Any]:
        resolved = {side: part.settings() for side, part in self.parts.items()}
        for options in resolved.values():
            options.pop("columns")
        return {"source": self.source, "columns": self.columns, **resolved, "scale": self.logit[0], "bias": self.logit[1]}

    def origin(self) -> dict[str, Any]:
        return {"source": self.source, "parts": {side: part.origin() for side, part in self.parts.items()}}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        return {**self.parts["image"].sample(code, rng), **self.parts["text"].sample(code, rng)}
