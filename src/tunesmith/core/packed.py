"""Forward passes of a network that does not change, with its matrix products as the processor likes them best.

Weights of linear layers are reordered once (oneDNN's packed form) and multiplied with bias and GELU in the same operation; three
projections of one input are one product. On a processor this takes a MiniLM's forward pass from about 70% of the rate of a bare matrix
product to about 80%. The operations are those torch.compile emits; compiling itself would take half a minute.

Several threads may run and pack one network at once: what is replaced is the forward of a module as a whole, by one that gives the same for
the same input, so it does not matter at which modules of a pass packing begins or ends.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, final

import torch
from torch import nn

ROWS = 2048
"""Rows of the product for which weights are reordered; others work too."""

NARROW = 32
"""Width below which a product is too small to gain from it."""

TOLERANCE = 1e-4
PROJECTIONS = ("query", "key", "value")

Forward = Callable[..., torch.Tensor]


@dataclass
class _Use:
    """What stands in for the forwards of a network's modules, and how many contexts want it."""

    forwards: dict[nn.Module, Forward]
    wanted: int = 0


_LOCK = threading.Lock()
_USES: dict[nn.Module, _Use] = {}


@contextlib.contextmanager
def packed(network: nn.Module) -> Iterator[None]:
    """Run the linear layers of a network in evaluation mode by packed products within the context, where the machine has them.

    The results are those of the layers themselves to rounding, which is tried on each kind of layer. A pass with gradients, under autocast
    or on other numbers than float32 is the network's own. Weights must not change within. Contexts of one network may be nested or stand in
    several threads: the last one that ends puts the network's own forwards back.
    """
    if not _possible(network):
        yield
        return
    with _LOCK:
        if network not in _USES:
            _USES[network] = _Use(_forwards(network))
            for module, forward in _USES[network].forwards.items():
                module.__dict__["forward"] = forward
        _USES[network].wanted += 1
    try:
        yield
    finally:
        with _LOCK:
            use = _USES[network]
            use.wanted -= 1
            if use.wanted == 0:
                del _USES[network]
                for module, forward in use.forwards.items():
                    if module.__dict__.get("forward") is forward:
                        del module.__dict__["forward"]


def _possible(network: nn.Module) -> bool:
    first = next(network.parameters(), None)
    return (
        first is not None
        and first.device.type == "cpu"
        and not network.training
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def _forwards(network: nn.Module) -> dict[nn.Module, Forward]:
    """Forwards by packed products, for the modules that give the same by them."""
    found: dict[nn.Module, Forward] = {}
    done: set[nn.Module] = set()
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        for module in network.modules():  # what stands around layers comes before them
            if module in done or "forward" in module.__dict__:
                continue
            forwards = _projections(module) or _intermediate(module) or _linear(module)
            found.update(forwards)
            done.update(forwards, *(owner.children() for owner in forwards))
    return found


def _projections(module: nn.Module) -> dict[nn.Module, Forward]:
    """Three projections of one input, as attention has them."""
    layers = [layer for name in PROJECTIONS if _plain(layer := getattr(module, name, None))]
    if len(set(layers)) < len(PROJECTIONS) or len({layer.in_features for layer in layers}) > 1:
        return {}
    together = _Together(layers)
    x = _trial(layers[0].in_features)
    if not all(_close(together.part(place, x), layer.forward(x)) for place, layer in enumerate(layers)):
        return {}
    return {layer: _guarded(functools.partial(together.part, place), layer) for place, layer in enumerate(layers)}


def _intermediate(module: nn.Module) -> dict[nn.Module, Forward]:
    """A layer and its GELU, as BERT and its kin have them; only the two at once are replaced."""
    inner = dict(module.named_children())
    dense, act = inner.get("dense"), inner.get("intermediate_act_fn")
    if len(inner) != 2 or not _plain(dense) or act is None or type(act).__name__ != "GELUActivation" or _watched(act):
        return {}
    if len(inspect.signature(module.forward).parameters) != 1:
        return {}
    fused, x = _product(dense.weight, dense.bias, "gelu"), _trial(dense.in_features)
    return {module: _guarded(fused, module)} if _close(fused(x), module.forward(x)) else {}


def _linear(module: nn.Module) -> dict[nn.Module, Forward]:
    if not _plain(module):
        return {}
    product, x = _product(module.weight, module.bias, "none"), _trial(module.in_features)
    return {module: _guarded(product, module)} if _close(product(x), module.forward(x)) else {}


def _plain(module: Any) -> TypeGuard[nn.Linear]:
    """A linear layer as torch made it, of float32, that nobody watches."""
    return (
        type(module) is nn.Linear
        and min(module.in_features, module.out_features) >= NARROW
        and module.weight.dtype == torch.float32
        and not _watched(module)
    )


def _watched(module: nn.Module) -> bool:
    """Whether somebody is told of its passes, or has replaced its forward."""
    return bool(module._forward_hooks or module._forward_pre_hooks) or "forward" in module.__dict__


def _guarded(product: Callable[[torch.Tensor], torch.Tensor], module: nn.Module) -> Forward:
    """The product where it stands for the module's own forward, and that forward elsewhere."""
    own: Forward = module.forward

    def forward(*args: Any, **kwargs: Any) -> torch.Tensor:
        if len(args) == 1 and not kwargs and _usable(args[0]):
            return product(args[0])
        return own(*args, **kwargs)

    return forward


def _usable(x: torch.Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


def _product(weight: torch.Tensor, bias: torch.Tensor | None, after: str) -> Callable[[torch.Tensor], torch.Tensor]:
    ops = torch.ops.mkldnn
    reordered = ops._reorder_linear_weight(weight.detach(), ROWS)

    def product(x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = ops._linear_pointwise(x, reordered, bias, after, [], "none")
        return result

    return product


class _Kept(threading.local):
    """What the last product of a thread gave, as long as layers have not fetched their parts."""

    x: torch.Tensor | None = None
    version: int | None = None
    parts: dict[int, torch.Tensor]


@final
class _Together:
    """Layers of one input: the first that is asked computes all, the others take their parts.

    The input is known by being the same tensor, unchanged. Layers that turn out to be given different ones (attention across two sequences)
    are computed each for itself from then on.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self.own: list[Forward] = [layer.forward for layer in layers]
        self.widths = [layer.out_features for layer in layers]
        self.product = _product(torch.cat([layer.weight for layer in layers]), torch.cat([_bias(layer) for layer in layers]), "none")
        self.kept = _Kept()
        self.apart = False

    def part(self, place: int, x: torch.Tensor) -> torch.Tensor:
        """(..., out) what the layer at a place gives for (..., in)."""
        kept, version = self.kept, None if x.is_inference() else x._version  # tensors of inference mode count no changes
        if kept.x is not None and place in kept.parts and (kept.x is not x or kept.version != version):
            self.apart, kept.x = True, None
        if self.apart:
            return self.own[place](x)
        if kept.x is not x or place not in kept.parts:
            kept.x, kept.version, kept.parts = x, version, dict(enumerate(self.product(x).split(self.widths, dim=-1)))
        part = kept.parts.pop(place)
        if not kept.parts:
            kept.x = None
        return part


def _bias(layer: nn.Linear) -> torch.Tensor:
    bias: torch.Tensor | None = layer.bias
    return torch.zeros(layer.out_features) if bias is None else bias


def _trial(width: int) -> torch.Tensor:
    """(1, 3, width) an input to compare on."""
    return torch.linspace(-2, 2, 3 * width, dtype=torch.float32).reshape(1, 3, width)


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))
