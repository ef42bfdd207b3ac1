"""What the adapters of PEFT share: its own configurations and file format, put on a backbone's network in place.

The weights of the network itself are saved as they stand under the adapter (PiSSA changes them), so that
`PeftModel.from_pretrained(AutoModel.from_pretrained(bundle/backbone), bundle/adapter)` is the adapted network, without tunesmith.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith.core.contracts import Adapter
from tunesmith.core.errors import AdapterError, require

if TYPE_CHECKING:
    import torch

    from tunesmith.core.model import Model

LONG = "a " * (1 << 14)


class PeftAdapter(Adapter):
    """A parameter-efficient method of PEFT."""

    mergeable: ClassVar[bool] = True
    lengthens: ClassVar[bool] = False  # whether it adds to the texts' tokens

    @abstractmethod
    def config(self, peft: Any, model: Model) -> Any:
        """PEFT's configuration of this method for this network.

        Raises:
            AdapterError: nothing in the network fits.
        """

    def apply(self, model: Model, seed: int) -> None:
        peft = require("peft", f"the adapter '{self.name}'")
        with _explained(self.name):
            config = self.config(peft, model)
            if "text" in (traits := model.backbone.traits()) and "tower" not in traits:  # which PEFT would give arguments it does not take
                config.task_type = peft.TaskType.FEATURE_EXTRACTION
            model.__dict__["_own_names"] = list(model.network.state_dict())
            model.network = peft.get_peft_model(model.network, config)
        if self.lengthens:
            model.network.register_forward_pre_hook(_without_segments, with_kwargs=True)
        _prove(self.name, model, self.lengthens)
        for part in model.fresh():
            part.requires_grad_(True)

    def save(self, model: Model, folder: Path) -> bool:
        if _is_merged(model):
            return False
        network: Any = model.network
        with _explained(self.name):
            network.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = "../backbone"
        if config.get("init_lora_weights") not in (None, True, False):
            config["init_lora_weights"] = True  # the base weights already are what that start made of them
        path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
        (folder / "README.md").unlink(missing_ok=True)  # a card of placeholders; the bundle has its own
        return True

    def load(self, model: Model, folder: Path) -> None:
        peft = require("peft", f"the adapter '{self.name}'")
        model.__dict__["_own_names"] = list(model.network.state_dict())
        with _explained(self.name):
            model.network = peft.PeftModel.from_pretrained(model.network, str(folder))
        if self.lengthens:
            model.network.register_forward_pre_hook(_without_segments, with_kwargs=True)

    def base_weights(self, model: Model) -> dict[str, torch.Tensor]:
        if _is_merged(model):
            return dict(model.network.state_dict())
        own = set(model.__dict__["_own_names"])
        network: Any = model.network
        found = {}
        for name, tensor in network.get_base_model().state_dict().items():
            plain = name.replace(".base_layer.", ".")
            if plain in own:
                found[plain] = tensor
        missing = own - set(found)
        assert not missing, f"weights of the backbone not found under the adapter: {sorted(missing)[:3]}"
        return found

    def merge(self, model: Model) -> bool:
        if not self.mergeable or _is_merged(model):
            return False
        network: Any = model.network
        model.network = network.merge_and_unload()
        return True

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Errors of PEFT about layers it does not know become an AdapterError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints about defaults that are set on purpose, and about ranks that AdaLoRA took away
            yield
    except (ValueError, TypeError, NotImplementedError, AttributeError, KeyError) as error:
        raise AdapterError(
            f"adapter '{name}' does not fit this backbone: {str(error)[:300]}; see which do with: tunesmith list adapters"
        ) from error


def _without_segments(network: Any, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """PEFT leaves segment numbers out when it adds tokens, with a warning in every step."""
    return args, {name: value for name, value in given.items() if name != "token_type_ids"}


def _is_merged(model: Model) -> bool:
    """Whether the adapter has been folded into the network's own weights."""
    return model.network is model._bare[0]


def _prove(name: str, model: Model, lengthens: bool) -> None:
    """Run one made-up example forth and back, so that a network which has no use for the adapter is refused before it trains.

    Raises:
        AdapterError: the network fails under the adapter, or its output does not depend on all that was added.
    """
    _try(name, model, model.backbone.sample(0, Random(0)))
    deaf = [n for n, p in model.network.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad(set_to_none=True)
    if deaf:
        raise AdapterError(f"adapter '{name}' does not fit this backbone: it does not use {deaf[0]} and {len(deaf) - 1} more tensors")
    if lengthens:
        try:
            _try(name, model, {spec.column: LONG for spec in model.backbone.input_spec()})
        except AdapterError as error:
            raise AdapterError(
                f"adapter '{name}': the longest texts and the learned tokens together are longer than the backbone can read; "
                "lower backbone.max_length or the adapter's field 'tokens'"
            ) from error
        model.zero_grad(set_to_none=True)


def _try(name: str, model: Model, row: dict[str, Any]) -> None:
    before = model.training
    model.eval()
    try:
        outputs = model({"inputs": model.backbone.collate([model.backbone.encode(row)])})
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        if first.requires_grad:
            first.square().sum().backward()
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, NotImplementedError) as error:
        raise AdapterError(f"adapter '{name}' does not fit this backbone, which fails with it: {str(error)[:300]}") from error
    finally:
        model.train(before)


def needs(traits: set[str], *wanted: str) -> str | None:
    """A reason where none of the wanted traits is there."""
    if traits & set(wanted):
        return None
    return f"needs a backbone of kind {' or '.join(wanted)}; this one is {', '.join(sorted(traits))}"
