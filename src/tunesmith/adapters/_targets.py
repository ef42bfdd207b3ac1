"""Which layers of a network an adapter changes, read off the network itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.core.errors import AdapterError

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.core.model import Model

ATTENTION = re.compile(r"(^|[._])(attn|attention|self_attn|self_attention|selfattention)([._]|$)", re.I)
QUERY_VALUE = re.compile(r"(query|value|q_proj|v_proj|q_lin|v_lin|qkv|c_attn|in_proj|query_key_value|query_proj|value_proj)$")
KEY_VALUE = re.compile(r"((^|\.)[kv]|key|value|k_proj|v_proj|k_lin|v_lin|qkv|c_attn|query_key_value|key_proj|value_proj)$")


@dataclass
class Layers:
    """Names of the layers of a network, by what they are."""

    attention: list[str]
    linear: list[str]
    convolution: list[str]
    norm: list[str]


def layers_of(model: Model, last: int | None = None) -> Layers:
    """The adaptable layers of the bare network: those that are new train as they are, so nothing is put beside them.

    Args:
        model: the model before an adapter is applied.
        last: only those in the last blocks, counted from the output; None for all.
    """
    from torch import nn

    allowed: set[int] | None = None
    if last is not None:
        blocks = model.blocks()
        if last > len(blocks):
            raise AdapterError(f"the backbone has {len(blocks)} blocks, fewer than the {last} that are to be adapted")
        allowed = {id(module) for block in blocks[-last:] for module in block.modules()}
    new = {id(module) for part in model.fresh() for module in part.modules()}
    found = Layers([], [], [], [])
    for name, module in model.network.named_modules():
        if not name or id(module) in new or (allowed is not None and id(module) not in allowed):
            continue
        if _is_linear(module):
            found.linear.append(name)
            if ATTENTION.search(name) or QUERY_VALUE.search(name) or KEY_VALUE.search(name):
                found.attention.append(name)
        elif type(module) is nn.Conv2d and module.groups == 1:
            # subclasses pad or scale in their own way, which a convolution beside them would not
            found.convolution.append(name)
        elif isinstance(module, nn.LayerNorm) or type(module).__name__.endswith(("RMSNorm", "LayerNorm2d", "LayerNorm")):
            found.norm.append(name)
    return found


def _is_linear(module: nn.Module) -> bool:
    from torch import nn

    if type(module) is nn.modules.linear.NonDynamicallyQuantizableLinear:
        return False  # torch's MultiheadAttention reads its weight and never calls it
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def exactly(model: Model, names: list[str]) -> list[str] | str:
    """`names` as PEFT's `target_modules`: it also takes names that end in one of them, so where that would add one, a pattern."""
    chosen = set(names)
    endings = tuple("." + name for name in names)
    if any(name.endswith(endings) for name, _ in model.network.named_modules() if name not in chosen):
        return "|".join(re.escape(name) for name in names)
    return names


def matmuls(model: Model, which: str | list[str], last: int | None, method: str, convolutions: bool = True) -> list[str]:
    """Names of layers whose weight is a matrix or a convolution.

    Args:
        model: the model before an adapter is applied.
        which: `attention` (projections of attention layers, or all convolutions where there are none), `all`, or endings of names.
        last: only in the last blocks.
        method: name of the adapter, for messages.
        convolutions: whether the method knows convolutions.

    Raises:
        AdapterError: nothing fits.
    """
    found = layers_of(model, last)
    everything = found.linear + (found.convolution if convolutions else [])
    if isinstance(which, list):
        names = [name for name in everything if any(name == end or name.endswith("." + end) for end in which)]
        if not names:
            shown = sorted({name.rsplit(".", 1)[-1] for name in everything})
            raise AdapterError(
                f"adapter '{method}': no layer ends in {', '.join(which)}; layers that can be adapted end in {', '.join(shown[:12])}"
            )
        return names
    names = found.attention if which == "attention" and found.attention else everything
    if not names:
        kinds = "linear or convolutional" if convolutions else "linear"
        raise AdapterError(f"adapter '{method}' needs {kinds} layers, and this backbone has none; use --adapter full, head or last_k")
    return names


def in_features(model: Model, names: list[str]) -> list[int]:
    """Inputs of each named layer."""
    sizes = []
    for name in names:
        module: Any = model.network.get_submodule(name)
        sizes.append(int(getattr(module, "in_features", 0) or getattr(module, "nx", 0) or getattr(module, "in_channels", 0)))
    return sizes
