"""Forward passes of a network that does not change, with its matrix products as the processor likes them best.

Weights of linear layers are reordered once (oneDNN's packed form) and multiplied with bias and GELU in the same operation; three
projections of one input are one product. On a processor this takes a MiniLM's forward pass from about 70% of the rate of a bare matrix
product to about 80%. The operations are those torch.compile emits; compiling itself would take half a minute.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

ROWS = 2048
"""Rows of the product for which weights are reordered; others work too."""

NARROW = 32
"""Width below which a product is too small to gain from it."""

TOLERANCE = 1e-4
PROJECTIONS = ("query", "key", "value")

Forward = Callable[[torch.Tensor], torch.Tensor]


@contextlib.contextmanager
def packed(network: nn.Module) -> Iterator[None]:
    """Run the linear layers of a network in evaluation mode by packed products within the context, where the machine has them.

    The results are those of the layers themselves to rounding, which is tried on each kind of layer. Not for training: no gradient flows.
    """
    patched: list[nn.Module] = []

    def put(module: nn.Module, forward: Callable[..., Any]) -> None:
        module.__dict__["forward"] = forward
        patched.append(module)

    if _possible(network):
        with torch.inference_mode():
            for module in network.modules():
                _pack(module, put, patched)
    try:
        yield
    finally:
        for module in patched:
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


def _pack(module: nn.Module, put: Callable[[nn.Module, Callable[..., Any]], None], done: list[nn.Module]) -> None:
    """Pack a linear layer, or what stands around several of them."""
    layers = [getattr(module, name, None) for name in PROJECTIONS]
    if all(_plain(layer) for layer in layers) and len({layer.in_features for layer in layers}) == 1:  # type: ignore[union-attr]
        for layer, forward in zip(layers, _together([layer for layer in layers if isinstance(layer, nn.Linear)]), strict=True):
            put(layer, forward)  # type: ignore[arg-type]
        return
    dense, act = getattr(module, "dense", None), getattr(module, "intermediate_act_fn", None)
    if _plain(dense) and isinstance(act, nn.Module) and type(act).__name__ == "GELUActivation":
        fused = _product(dense.weight, dense.bias, "gelu")  # type: ignore[union-attr]
        if _same(fused, lambda x: act(dense(x)), dense.in_features):  # type: ignore[union-attr, misc]
            put(dense, fused)  # type: ignore[arg-type]
            put(act, lambda x: x)
            return
    if _plain(module) and not any(module is other for other in done):
        forward = _product(module.weight, module.bias, "none")  # type: ignore[arg-type]
        if _same(forward, module, module.in_features):  # type: ignore[arg-type]
            put(module, forward)


def _plain(module: Any) -> bool:
    """A linear layer as torch made it, of float32, that nobody watches."""
    return (
        type(module) is nn.Linear
        and min(module.in_features, module.out_features) >= NARROW
        and module.weight.dtype == torch.float32
        and "forward" not in module.__dict__
        and not module._forward_hooks
        and not module._forward_pre_hooks
    )


def _product(weight: torch.Tensor, bias: torch.Tensor | None, after: str) -> Forward:
    ops = torch.ops.mkldnn
    reordered = ops._reorder_linear_weight(weight.detach(), ROWS)

    def forward(x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = ops._linear_pointwise(x, reordered, bias, after, [], "none")
        return result

    return forward


def _together(layers: list[nn.Linear]) -> list[Forward]:
    """Forwards of layers of one input: the first computes all, the others take their share."""
    widths = [layer.out_features for layer in layers]
    product = _product(torch.cat([layer.weight for layer in layers]), torch.cat([_bias(layer) for layer in layers]), "none")
    kept: list[tuple[torch.Tensor, Sequence[torch.Tensor]] | None] = [None]

    def share(place: int) -> Forward:
        def forward(x: torch.Tensor) -> torch.Tensor:
            found = kept[0]  # taken once: another thread may put its own there
            if found is None or found[0] is not x:
                found = (x, product(x).split(widths, dim=-1))
            kept[0] = found if place + 1 < len(widths) else None
            return found[1][place]

        return forward

    return [share(place) for place in range(len(widths))]


def _bias(layer: nn.Linear) -> torch.Tensor:
    bias: torch.Tensor | None = layer.bias
    return torch.zeros(layer.out_features) if bias is None else bias


def _same(forward: Forward, layer: Callable[[torch.Tensor], Any], width: int) -> bool:
    """Whether the packed product gives what the layer gives."""
    x = torch.linspace(-2, 2, 3 * width).reshape(3, width)
    expected = layer(x)
    return torch.allclose(forward(x), expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))
