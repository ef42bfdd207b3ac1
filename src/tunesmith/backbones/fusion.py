"""Columns of several modalities in one row: each through its own backbone, their vectors made one (late fusion).

    {"description": "three rooms, garden", "photo": "houses/17.jpg", "rooms": "3"}  ->  [text | picture | numbers | which are there]

Choices: all columns of a modality that reads several (texts, numbers with categories) go through one backbone; others, such as pictures,
each make a vector of their own, by a shared network unless `shared` is off. Each vector is normalised to mean 0 and spread 1, so that none
drowns the others by its scale. A modality that is missing in a row has the mean vector, 0, and a flag says so: to a linear head that is a
learned vector for what is missing. In training whole modalities are left out at random, so that none is relied on alone. A row without any
is refused.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

from tunesmith.core import registry
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row
from tunesmith.core.errors import BackboneError, RowError
from tunesmith.core.kinds import MODALITY

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

SEVERAL = ("text", "tabular")
"""Modalities whose backbone makes one vector of several columns."""

JOINT = "joint.safetensors"


@final
@dataclass(frozen=True)
class Fusion(Backbone):
    """Texts, pictures, sounds, series, DNA, numbers and categories of one row, each through its own backbone."""

    name: ClassVar[str] = "fusion"
    augments: ClassVar[bool] = True
    columns: tuple[str, ...] = field(default=("text", "image"), metadata={"help": "input columns"})
    kinds: dict[str, str] = field(
        default_factory=lambda: {"text": "text", "image": "image"}, metadata={"help": "what each input column holds"}
    )
    parts: dict[str, dict[str, Any]] = field(
        default_factory=dict, metadata={"help": "fields of each modality's backbone, such as {image: {source: timm:resnet18}}"}
    )
    shared: bool = field(default=True, metadata={"help": "columns of one modality share a network"})
    how: Literal["concatenate", "gated", "attention"] = field(
        default="concatenate", metadata={"help": "how vectors become one: side by side, a gated mean, or attention over them"}
    )
    joint_width: int = field(default=128, metadata={"help": "width of the joint vector where `how` is gated or attention"})
    modality_dropout: float = field(default=0.1, metadata={"help": "share of modalities that are left out at random in training"})
    joint: str | None = field(default=None, metadata={"help": "file of the weights that make vectors one; written with a bundle"})

    def __post_init__(self) -> None:
        if not 0 <= self.modality_dropout < 1:
            raise ValueError("field 'modality_dropout' is a share, at least 0 and below 1")
        if self.joint_width < 4 or self.joint_width % 4:
            raise ValueError("field 'joint_width' must be a multiple of 4, above 0")
        if unknown := [column for column in self.columns if column not in self.kinds]:
            raise ValueError(f"field 'kinds' does not say what the column {unknown[0]} holds")

    @classmethod
    def options_for(cls, kinds: Mapping[str, str]) -> dict[str, Any]:
        return {"columns": list(kinds), "kinds": dict(kinds)}

    @functools.cached_property
    def members(self) -> dict[str, tuple[str, Backbone]]:
        """Vector -> (name of its network, backbone): `text`, `tabular`, or `image:COLUMN`."""
        by_modality: dict[str, list[str]] = {}
        for column in self.columns:
            by_modality.setdefault(MODALITY[self.kinds[column]], []).append(column)
        if unknown := set(self.parts) - {*by_modality, *(f"{m}_{c}" for m, columns in by_modality.items() for c in columns)}:
            raise BackboneError(f"backbone.parts names {', '.join(sorted(unknown))}; there are {', '.join(by_modality)}")
        found: dict[str, tuple[str, Backbone]] = {}
        for modality, columns in by_modality.items():
            if modality in SEVERAL:
                found[modality] = (modality, self._member(modality, modality, columns))
                continue
            for column in columns:
                network = modality if self.shared or len(columns) == 1 else f"{modality}_{column}"
                found[f"{modality}:{column}"] = (network, self._member(modality, network, [column]))
        return found

    def _member(self, modality: str, network: str, columns: list[str]) -> Backbone:
        family: type[Backbone] = registry.find("backbones", modality).load()
        options = {**self.parts.get(modality, {}), **self.parts.get(network, {})}
        made: Backbone = registry.create(
            "backbones", modality, {**options, **family.options_for({column: self.kinds[column] for column in columns})}
        )
        return made

    @functools.cached_property
    def networks(self) -> dict[str, Backbone]:
        """Name of a network -> the backbone that opens, divides and saves it."""
        return dict(reversed(list(self.members.values())))

    def traits(self) -> set[str]:
        parts = [part.traits() for part in self.networks.values()]
        common = {"untrained"} if all("untrained" in traits for traits in parts) else set()
        return {"fusion"} | (set().union(*parts) - {*MODALITY.values(), "decoder", "untrained"}) | common

    def fit(self, rows: Callable[[], Iterator[Row]], seed: int) -> Self:
        found = {}
        for name, part in self.networks.items():
            fitted = part.fit(lambda part=part: (row for row in rows() if _missing(part, row) is None), seed)  # type: ignore[misc]
            if fitted != part:
                found[name] = _settings(fitted)
        return dataclasses.replace(self, parts={**self.parts, **found}) if found else self

    def open(self) -> nn.Module:
        from torch import nn

        network = nn.ModuleDict({name: part.open() for name, part in sorted(self.networks.items())})
        if self.how != "concatenate":
            network["joint"] = self._joint(network)
        return network

    def _joint(self, network: nn.Module) -> nn.Module:
        from safetensors.torch import load_file

        from tunesmith.backbones._joint import Attention, Gated

        made = {"gated": Gated, "attention": Attention}[self.how](self._widths(network), self.joint_width)
        if self.joint:
            made.load_state_dict(load_file(self.joint))
        return made

    def _widths(self, network: nn.Module) -> dict[str, int]:
        """Width of each vector."""
        of = {name: part.width(getattr(network, name)) for name, part in self.networks.items()}
        return {key: of[name] for key, (name, _) in self.members.items()}

    def fresh(self, network: nn.Module) -> list[nn.Module]:
        names = [name for name, part in self.networks.items() if "untrained" in part.traits()]
        parts = [getattr(network, name) for name in [*names, *(["joint"] if self.how != "concatenate" else [])]]
        return [*parts, *(module for name, part in self.networks.items() if name not in names for module in part.fresh(getattr(network, name)))]

    def modalities(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for _, part in self.members.values():
            modality = part.name
            found[modality] = (*found.get(modality, ()), *part.columns)
        return found

    def check(self, row: Row) -> str | None:
        there = self._there(row)
        remarks = [part.check(row) for key, (_, part) in self.members.items() if key in there]
        if len(there) < len(self.members):
            remarks.append(f"without {', '.join(key for key in self.members if key not in there)}, which is allowed")
        return next((remark for remark in remarks if remark), None)

    def _there(self, row: Row) -> set[str]:
        """The vectors that a row has inputs for.

        Raises:
            RowError: it has none.
        """
        found = {key for key, (_, part) in self.members.items() if _missing(part, row) is None}
        if not found:
            raise RowError(f"every input is missing ({', '.join(self.columns)})", self.columns[0])
        return found

    def readiness(self) -> str | None:
        return next((told for _, part in self.members.values() if (told := part.readiness())), None)

    def ready(self, row: Row) -> Row:
        for _, part in self.members.values():
            if _missing(part, row) is None:
                row = part.ready(row)
        return row

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        there = sorted(self._there(row))
        if rng is not None and self.modality_dropout:
            stay = rng.choice(there)
            there = [key for key in there if key == stay or rng.random() >= self.modality_dropout]
        return {key: part.encode(row, rng) if key in there else None for key, (_, part) in self.members.items()}

    def collate(self, items: Sequence[Encoded]) -> Batch:
        """Of each vector the batch of the rows that have it (None where none has), and (rows, vectors) which have it."""
        import torch

        there = torch.tensor([[item[key] is not None for key in self.members] for item in items]).reshape(len(items), len(self.members))
        batch: Batch = {"there": there}
        for key, (_, part) in self.members.items():
            held = [item[key] for item in items if item[key] is not None]
            batch[key] = part.collate(held) if held else None
        return batch

    def features(self, network: nn.Module, batch: Batch) -> Features:
        import torch
        from torch.nn import functional as F

        there: torch.Tensor = batch["there"]
        vectors = []
        for place, (key, (name, part)) in enumerate(self.members.items()):
            if batch[key] is None:
                some = next(network.parameters())
                vectors.append(some.new_zeros(len(there), part.width(getattr(network, name))))
                continue
            pooled = part.features(getattr(network, name), batch[key]).pooled
            assert pooled is not None, f"part {key} gives no pooled features"
            pooled = F.layer_norm(pooled, pooled.shape[-1:])
            if len(pooled) < len(there):
                pooled = pooled.new_zeros(len(there), pooled.shape[-1]).index_copy(0, there[:, place].nonzero()[:, 0], pooled)
            vectors.append(pooled)
        if self.how == "concatenate":
            return Features(pooled=torch.cat([*vectors, there.to(vectors[0].dtype)], dim=-1))  # (batch, sum of widths + vectors)
        joint: torch.Tensor = network.get_submodule("joint")(vectors, there)
        return Features(pooled=joint)  # (batch, joint_width)

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """Blocks of the parts, aligned at the output: the last holds the last of each, and what makes vectors one."""
        from torch import nn

        lists = [part.blocks(getattr(network, name)) for name, part in sorted(self.networks.items())]
        if self.how != "concatenate":
            lists.append([network.get_submodule("joint")])
        depth = max(map(len, lists))
        return [nn.ModuleList([blocks[i - depth] for blocks in lists if len(blocks) >= depth - i]) for i in range(depth)]

    def width(self, network: nn.Module) -> int:
        return sum(self._widths(network).values()) + len(self.members) if self.how == "concatenate" else self.joint_width

    def input_spec(self) -> list[InputSpec]:
        specs = {spec.column: spec for _, part in self.members.values() for spec in part.input_spec()}
        return [specs[column] for column in self.columns if column in specs]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        found = np.zeros(len(rows), np.int64)
        for _, part in self.members.values():
            held = [place for place, row in enumerate(rows) if _missing(part, row) is None]
            found[held] += part.sizes([rows[place] for place in held])
        return found

    def save_memory(self, network: nn.Module) -> None:
        for name, part in self.networks.items():
            part.save_memory(getattr(network, name))

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        from safetensors.torch import save_file

        def own(name: str) -> dict[str, torch.Tensor]:
            return {key.removeprefix(f"{name}."): tensor for key, tensor in weights.items() if key.startswith(f"{name}.")}

        for name, part in self.networks.items():
            part.save(getattr(network, name), own(name), folder / name)
        if self.how != "concatenate":
            save_file({key: tensor.contiguous() for key, tensor in own("joint").items()}, folder / JOINT)

    def moved(self, folder: Path) -> Fusion:
        parts = {name: _settings(part.moved(folder / name)) for name, part in self.networks.items()}
        return dataclasses.replace(self, parts=parts, joint=str(folder / JOINT) if self.how != "concatenate" else None)

    def settings(self) -> dict[str, Any]:
        own = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**own, "parts": {name: _settings(part) for name, part in self.networks.items()}}

    def origin(self) -> dict[str, Any]:
        return {"source": "fusion", "parts": {name: part.origin() for name, part in sorted(self.networks.items())}}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for _, part in self.members.values():
            row.update(part.sample(code, rng))
        return {column: row[column] for column in self.columns}


def _settings(part: Backbone) -> dict[str, Any]:
    """A part's settings without what the columns say."""
    of_columns = type(part).options_for({column: "" for column in part.columns})
    return {key: value for key, value in part.settings().items() if key not in of_columns}


def _missing(part: Backbone, row: Row) -> str | None:
    """The columns of a part that are all empty in a row; None where one of them is not."""
    empty = [column for column in part.columns if row.get(column) is None or row.get(column) == ""]
    return ", ".join(empty) if len(empty) == len(part.columns) else None
