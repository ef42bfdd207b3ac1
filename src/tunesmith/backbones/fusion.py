"""Columns of several modalities in one row: each through its own backbone, their vectors made one (late fusion).

    {"description": "three rooms, garden", "photo": "houses/17.jpg", "rooms": "3"}  ->  [text | picture | numbers | which are there]

Choices: all columns of a modality that reads several (texts, numbers with categories) go through one backbone; others, such as pictures,
each make a vector of their own, by a shared network unless `shared` is off. Each vector is normalised to mean 0 and to a spread of 1 or,
of more than 64 values, of 64 / width: under Adam all weights move by about the rate, so a vector moves outputs by its width times its
spread, and pictures of 1,280 values would be learned by heart before a table of 64 is understood (houses: R2 -0.52 without, 0.74 with it).
A modality that is missing in a row has the mean vector, 0, and a flag says so: to a linear head that is a learned vector for what is
missing. In training whole modalities are left out at random, so that none is relied on alone. A row without any is refused.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

from tunesmith.backbones import _checkpoints
from tunesmith.core import registry
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, InputSpec, Row
from tunesmith.core.errors import RowError
from tunesmith.core.kinds import MODALITY, TOGETHER, is_empty, modality_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

JOINT = "joint.safetensors"

NARROW = 64
"""Width up to which a vector has spread 1; that of a wider one is less."""


@dataclass(frozen=True)
class Member:
    """Where a vector comes from.

    Attributes:
        network: name of its network among those of the fusion, a plain word; several columns may share one.
        options: key of `Fusion.parts` that describes it.
        backbone: reads its columns.
    """

    network: str
    options: str
    backbone: Backbone


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
    source: str = field(default="", metadata={"help": "source of the part beside numbers and categories, where there is only one"})
    weights: str | None = field(default=None, metadata={"help": "file of weights for the architecture of that source"})
    scratch: bool = field(default=False, metadata={"help": "random weights in every part"})

    def __post_init__(self) -> None:
        if not 0 <= self.modality_dropout < 1:
            raise ValueError("field 'modality_dropout' is a share, at least 0 and below 1")
        if self.joint_width < 4 or self.joint_width % 4:
            raise ValueError("field 'joint_width' must be a multiple of 4, above 0")
        if unknown := [column for column in self.columns if column not in self.kinds]:
            raise ValueError(f"field 'kinds' does not say what the column {unknown[0]} holds")
        known = [name for modality, columns in self.modalities().items() for name in (modality, *(f"{modality}:{c}" for c in columns))]
        if other := [name for name in self.parts if name not in known]:
            raise ValueError(f"field 'parts' describes {other[0]!r}; of these columns it can describe {', '.join(known)}")
        if (self.source or self.weights) and len(rich := self._rich()) != 1:
            raise ValueError(
                f"fields 'source' and 'weights' (--backbone, --weights) tell of one network, and these columns are read by "
                f"{' and '.join(rich) or 'none that is pretrained'}; give each its own, "
                f"as in --set backbone.parts.{(rich or known)[0]}.source=..."
            )

    def _rich(self) -> list[str]:
        """The modalities beside what stands in a table."""
        return [modality for modality in self.modalities() if modality != modality_of(("number",))]

    @classmethod
    def options_for(cls, kinds: Mapping[str, str]) -> dict[str, Any]:
        return {"columns": list(kinds), "kinds": dict(kinds)}

    @functools.cached_property
    def members(self) -> dict[str, Member]:
        """Vector -> where it comes from: `text`, `tabular`, or `image:COLUMN`."""
        found: dict[str, Member] = {}
        for modality, columns in self.modalities().items():
            if modality in TOGETHER:
                found[modality] = Member(modality, modality, self._part(modality, columns))
                continue
            for place, column in enumerate(columns):
                own = len(columns) > 1 and (not self.shared or f"{modality}:{column}" in self.parts)
                network, options = (f"{modality}_{place}", f"{modality}:{column}") if own else (modality, modality)
                found[f"{modality}:{column}"] = Member(network, options, self._part(modality, (column,)))
        return found

    def _part(self, modality: str, columns: Sequence[str]) -> Backbone:
        family: type[Backbone] = registry.find("backbones", modality).load()
        own = self.parts.get(f"{modality}:{columns[0]}", {}) if modality not in TOGETHER else {}
        said = {"source": self.source, "weights": self.weights} if modality in self._rich() else {}
        options = {key: value for key, value in said.items() if value} | self.parts.get(modality, {}) | own
        if self.scratch:
            options["scratch"] = True
        read = family.options_for({column: self.kinds[column] for column in columns})
        made: Backbone = registry.create("backbones", modality, {**read, **options})
        return made

    @functools.cached_property
    def networks(self) -> dict[str, Member]:
        """Name of a network -> the first of the vectors that it makes."""
        return {member.network: member for member in reversed(self.members.values())}

    def traits(self) -> set[str]:
        """Of the parts that are pretrained, as the others train whatever the adapter; of all where none is."""
        every = [member.backbone.traits() for member in self.networks.values()]
        pretrained = [traits for traits in every if "untrained" not in traits]
        new = {"fresh"} if self.how != "concatenate" or len(pretrained) < len(every) else set()
        return {"fusion"} | new | (set().union(*(pretrained or every)) - {*MODALITY.values(), "decoder"})

    def fit(self, rows: Callable[[], Iterator[Row]], seed: int) -> Self:
        found = {}
        for member in self.networks.values():
            part = member.backbone

            def having(part: Backbone = part) -> Iterator[Row]:
                return (row for row in rows() if self._has(part, row))

            fitted = part.fit(having, seed)
            if fitted != part:
                found[member.options] = _settings(fitted)
        return dataclasses.replace(self, parts={**self.parts, **found}) if found else self

    def open(self) -> nn.Module:
        from torch import nn

        network = nn.ModuleDict({name: member.backbone.open() for name, member in sorted(self.networks.items())})
        if self.how != "concatenate":
            network["joint"] = self._joint(network)
        return network

    def _joint(self, network: nn.Module) -> nn.Module:
        from tunesmith.backbones._joint import Attention, Gated

        made = {"gated": Gated, "attention": Attention}[self.how](self._widths(network), self.joint_width)
        if self.joint and not self.scratch:
            self.__dict__["_loaded"] = _checkpoints.fill(made, _checkpoints.read_weights(Path(self.joint)), self.joint)
        return made

    def _widths(self, network: nn.Module) -> dict[str, int]:
        """Width of each vector."""
        of = {name: member.backbone.width(getattr(network, name)) for name, member in self.networks.items()}
        return {key: of[member.network] for key, member in self.members.items()}

    def fresh(self, network: nn.Module) -> list[nn.Module]:
        found: list[nn.Module] = []
        for name, member in self.networks.items():
            own: nn.Module = getattr(network, name)
            found += [own] if "untrained" in member.backbone.traits() else member.backbone.fresh(own)
        return [*found, network.get_submodule("joint")] if self.how != "concatenate" else found

    def modalities(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for column in self.columns:
            modality = MODALITY[self.kinds[column]]
            found[modality] = (*found.get(modality, ()), column)
        return found

    def parts_of(self, network: nn.Module) -> dict[str, tuple[Backbone, nn.Module]]:
        return {key: (member.backbone, getattr(network, member.network)) for key, member in self.members.items()}

    def with_parts(self, parts: Mapping[str, Backbone]) -> Fusion:
        members = {key: dataclasses.replace(member, backbone=parts.get(key, member.backbone)) for key, member in self.members.items()}
        return self._sharing(members)

    def as_it_came(self) -> Fusion:
        return self._sharing(self.members, how="concatenate")

    def _sharing(self, members: dict[str, Member], **changes: Any) -> Fusion:
        """A copy with these backbones, which may know more than their options tell."""
        made = dataclasses.replace(self, **changes)
        made.__dict__["members"] = members
        return made

    def check(self, row: Row) -> str | None:
        there = self._there(row)
        remarks = [self.members[key].backbone.check(row) for key in there]
        if len(there) < len(self.members):
            remarks.append(f"without {', '.join(key for key in self.members if key not in there)}: predicted from the others")
        return next((remark for remark in remarks if remark), None)

    def usable(self, row: Row) -> None:
        for key in self._there(row):
            self.members[key].backbone.usable(row)

    def unseen(self, row: Row) -> list[str]:
        return [remark for key in self._there(row) for remark in self.members[key].backbone.unseen(row)]

    def typical(self) -> Row | None:
        found: dict[str, Any] = {}
        for member in self.members.values():
            found.update(member.backbone.typical() or {})
        return {column: found.get(column) for column in self.columns} if found else None  # what has no typical cell is missing

    def _has(self, part: Backbone, row: Row) -> bool:
        """Whether a row holds something in a column of a part."""
        return any(not is_empty(row.get(column), self.kinds[column]) for column in part.columns)

    def _there(self, row: Row) -> list[str]:
        """The vectors that a row has inputs for.

        Raises:
            RowError: it has none.
        """
        found = [key for key, member in self.members.items() if self._has(member.backbone, row)]
        if not found:
            raise RowError(f"no input at all: columns {', '.join(self.columns)} are empty")
        return found

    def readiness(self) -> str | None:
        told = {found for member in self.networks.values() if (found := member.backbone.readiness())}
        return ", ".join(sorted(told)) or None

    def ready(self, row: Row) -> Row:
        for key in self._there(row):
            row = self.members[key].backbone.ready(row)
        return row

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        there = self._there(row)
        if rng is not None and self.modality_dropout:
            there = self._left(there, rng)
        return {key: member.backbone.encode(row, rng) if key in there else None for key, member in self.members.items()}

    def _left(self, there: Sequence[str], rng: Random) -> list[str]:
        """What stays of vectors where modalities are left out at random, each as a whole, and of several columns of one each by itself."""
        share, stay = self.modality_dropout, rng.choice(there)
        of = {key: self.members[key].backbone.name for key in self.members}
        gone = {modality for modality in self.modalities() if rng.random() < share} - {of[stay]}
        several = {modality for modality, count in Counter(of.values()).items() if count > 1}
        return [key for key in there if key == stay or (of[key] not in gone and (of[key] not in several or rng.random() >= share))]

    def collate(self, items: Sequence[Encoded]) -> Batch:
        """Of each vector the batch of the rows that have it (None where none has), and (rows, vectors) which have it."""
        import torch

        there = torch.tensor([[item[key] is not None for key in self.members] for item in items]).reshape(len(items), len(self.members))
        batch: Batch = {"there": there}
        for key, member in self.members.items():
            held = [item[key] for item in items if item[key] is not None]
            batch[key] = member.backbone.collate(held) if held else None
        return batch

    def features(self, network: nn.Module, batch: Batch) -> Features:
        import torch
        from torch.nn import functional as F

        there: torch.Tensor = batch["there"]
        vectors = []
        for place, (key, member) in enumerate(self.members.items()):
            part, own = member.backbone, getattr(network, member.network)
            if batch[key] is None:
                vectors.append(next(network.parameters()).new_zeros(len(there), part.width(own)))
                continue
            pooled = part.features(own, batch[key]).pooled
            assert pooled is not None, f"part {key} gives no pooled features"
            pooled = F.layer_norm(pooled, pooled.shape[-1:]) * min(1.0, NARROW / pooled.shape[-1])
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

        lists = [member.backbone.blocks(getattr(network, name)) for name, member in sorted(self.networks.items())]
        if self.how != "concatenate":
            lists.append([network.get_submodule("joint")])
        depth = max(map(len, lists))
        return [nn.ModuleList([blocks[i - depth] for blocks in lists if len(blocks) >= depth - i]) for i in range(depth)]

    def width(self, network: nn.Module) -> int:
        return sum(self._widths(network).values()) + len(self.members) if self.how == "concatenate" else self.joint_width

    def input_spec(self) -> list[InputSpec]:
        specs = {spec.column: spec for member in self.members.values() for spec in member.backbone.input_spec()}
        return [specs[column] for column in self.columns]

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        found = np.zeros(len(rows), np.int64)
        for member in self.members.values():
            held = [place for place, row in enumerate(rows) if self._has(member.backbone, row)]
            found[held] += member.backbone.sizes([rows[place] for place in held])
        return found

    def save_memory(self, network: nn.Module) -> None:
        for name, member in self.networks.items():
            member.backbone.save_memory(getattr(network, name))

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        from safetensors.torch import save_file

        def own(name: str) -> dict[str, torch.Tensor]:
            return {key.removeprefix(f"{name}."): tensor for key, tensor in weights.items() if key.startswith(f"{name}.")}

        for name, member in self.networks.items():
            member.backbone.save(getattr(network, name), own(name), folder / name)
        if self.how != "concatenate":
            save_file({key: tensor.contiguous() for key, tensor in own("joint").items()}, folder / JOINT)

    def moved(self, folder: Path) -> Fusion:
        parts = {member.options: _settings(member.backbone.moved(folder / name)) for name, member in self.networks.items()}
        joint = str(folder / JOINT) if self.how != "concatenate" else None
        return dataclasses.replace(self, parts=parts, joint=joint, source="", weights=None, scratch=False)

    def settings(self) -> dict[str, Any]:
        own = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {
            **own,
            "source": "",
            "weights": None,
            "parts": {member.options: _settings(member.backbone) for member in self.networks.values()},
        }

    def origin(self) -> dict[str, Any]:
        parts = {name: member.backbone.origin() for name, member in sorted(self.networks.items())}
        loaded: _checkpoints.Loaded | None = self.__dict__.get("_loaded")
        return {"source": "fusion", "parts": {**parts, "joint": loaded.plain()} if loaded else parts}

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for member in self.members.values():
            row.update(member.backbone.sample(code, rng))
        return {column: row[column] for column in self.columns}


def _settings(part: Backbone) -> dict[str, Any]:
    """A part's settings without its columns, as another column may share its network."""
    return {key: value for key, value in part.settings().items() if key != "columns"}
