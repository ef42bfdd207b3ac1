"""Each network of a fusion changes in a way of its own: LoRA on the texts, the pictures as they are, all of the sounds.

    {"text": "lora", "image": "head", "audio": {"name": "lora", "rank": 4}}

What is not named is adapted as its kind is by default: transformers by LoRA, convolutions not at all. What is new in the fusion (what joins
the vectors, networks that begin at random) trains as under every adapter. Every part is a model without a head to its own adapter, which
puts its layers into the network in place; so the whole runs, is saved and is merged part by part.

It cannot take adapters that stand in front of a whole network instead of in its layers (prompt, prefix), nor fit a head in one go (probe),
and all parts share one learning rate: the smallest that their adapters recommend.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from tunesmith.adapters._peft import PeftAdapter
from tunesmith.core import registry
from tunesmith.core.contracts import Adapter, Defaults
from tunesmith.core.errors import AdapterError, UnknownNameError

if TYPE_CHECKING:
    import torch

    from tunesmith.core.model import Model

KEPT = "_mixed_parts"
"""Where a model keeps its parts."""


@dataclass(frozen=True)
class Part:
    """A network of the fusion.

    Attributes:
        name: of the network among those of the fusion.
        adapter: changes it.
        model: the network as a model without a head.
    """

    name: str
    adapter: Adapter
    model: Model


@final
@dataclass(frozen=True)
class Mixed(Adapter):
    """An adapter of its own for each network of a fusion."""

    name: ClassVar[str] = "mixed"
    parts: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "help": "modality, or modality:COLUMN -> adapter, or one with its fields ({name: lora, rank: 4}); head leaves it as it is"
        },
    )

    def __post_init__(self) -> None:
        for told in self.parts.values():
            name = told.get("name") if isinstance(told, Mapping) else told
            if not isinstance(name, str):
                raise ValueError(f"field 'parts' gives each part the name of an adapter, or its fields with a name (got {told!r})")
            made = _made(told)
            if made.penalties() is not None or made.name == self.name or (isinstance(made, PeftAdapter) and made.lengthens):
                raise ValueError(
                    f"field 'parts' cannot take the adapter '{made.name}': it does not change the layers of a network in place"
                )

    def fits(self, traits: set[str]) -> str | None:
        return None if "fusion" in traits else f"needs several networks (fusion); this one is {', '.join(sorted(traits))}"

    def defaults(self, traits: set[str]) -> Defaults:
        rates = [made.defaults(traits).lr for made in map(_made, self.parts.values()) if made.name != "head"]
        return Defaults(lr=min(rates, default=1e-3))

    def apply(self, model: Model, seed: int) -> None:
        if not model.backbone.parts_of(model._bare[0]):
            raise AdapterError("adapter 'mixed' needs a backbone of several networks; use --adapter lora, head or full")
        for parameter in model.network.parameters():
            parameter.requires_grad = False
        for part in self._parts(model):
            part.adapter.apply(part.model, seed)
        for new in model.fresh():
            new.requires_grad_(True)

    def _parts(self, model: Model) -> list[Part]:
        """The networks that are adapted, each with its adapter; those that are new as a whole are none of them.

        Raises:
            UnknownNameError: a part is named that there is not.
            AdapterError: an adapter does not fit its part.
        """
        if KEPT not in model.__dict__:
            model.__dict__[KEPT] = self._divided(model)
        found: list[Part] = model.__dict__[KEPT]
        return found

    def _divided(self, model: Model) -> list[Part]:
        from tunesmith.core.model import Bare
        from tunesmith.core.model import Model as Made

        bare = model._bare[0]
        every = model.backbone.parts_of(bare)
        known = {name for key in every for name in (key, key.partition(":")[0])}
        for name in self.parts:
            if name not in known:
                raise UnknownNameError("part of this fusion called", name, known)
        names = {id(network): name for name, network in bare.named_children()}
        new = {id(part) for part in model.fresh()}
        found: dict[str, Part] = {}
        for key, (backbone, network) in every.items():
            name = names[id(network)]
            if name in found or id(network) in new:
                continue
            told = self.parts.get(key, self.parts.get(key.partition(":")[0]))
            made = _made(told) if told is not None else _default(backbone.traits())
            if reason := made.fits(backbone.traits()):
                raise AdapterError(f"adapter '{made.name}' does not fit the part {key}: it {reason}")
            found[name] = Part(name, made, Made(backbone, network, Bare()))
        return list(found.values())

    def begin(self, model: Model, step: int, total_steps: int) -> None:
        for part in self._parts(model):
            part.adapter.begin(part.model, step, total_steps)

    def stepped(self, model: Model, step: int, total_steps: int) -> bool:
        changed = [part.adapter.stepped(part.model, step, total_steps) for part in self._parts(model)]
        return any(changed)

    def may_rest(self, parameter: str) -> bool:
        return any(_made(told).may_rest(parameter) for told in self.parts.values())

    def state(self, model: Model) -> dict[str, torch.Tensor]:
        return {f"{part.name}/{key}": tensor for part in self._parts(model) for key, tensor in part.adapter.state(part.model).items()}

    def restore(self, model: Model, state: Mapping[str, torch.Tensor]) -> None:
        for part in self._parts(model):
            start = f"{part.name}/"
            part.adapter.restore(part.model, {key.removeprefix(start): tensor for key, tensor in state.items() if key.startswith(start)})

    def save(self, model: Model, folder: Path) -> bool:
        saved = [part.adapter.save(part.model, folder / part.name) for part in self._parts(model)]
        return any(saved)

    def load(self, model: Model, folder: Path) -> None:
        for part in self._parts(model):
            if (folder / part.name).is_dir():
                part.adapter.load(part.model, folder / part.name)

    def base_weights(self, model: Model) -> dict[str, torch.Tensor]:
        parts = {part.name: part for part in self._parts(model)}
        found: dict[str, torch.Tensor] = {}
        for name, network in model._bare[0].named_children():
            own = parts[name].adapter.base_weights(parts[name].model) if name in parts else network.state_dict()
            found.update({f"{name}.{key}": tensor for key, tensor in own.items()})
        return found

    def merge(self, model: Model) -> bool:
        merged = [part.adapter.merge(part.model) for part in self._parts(model)]
        return any(merged)

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def _made(told: Any) -> Adapter:
    """An adapter by its name, or by its name and fields."""
    options = {key: value for key, value in told.items() if key != "name"} if isinstance(told, Mapping) else {}
    made: Adapter = registry.create("adapters", told["name"] if isinstance(told, Mapping) else told, options)
    return made


def _default(traits: set[str]) -> Adapter:
    """How a network is adapted where nothing is said."""
    return _made("lora" if "transformer" in traits else "head")
