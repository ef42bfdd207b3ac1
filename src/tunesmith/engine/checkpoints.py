"""Checkpoints: everything a killed run needs to go on as if nothing had happened.

    checkpoints/step-00000120/  weights.safetensors (trainable weights, buffers, averages, adapter state)
                                optimizer-main.pt   (torch file, read with weights_only)
                                state.json          (progress, random states of Python and NumPy)
                                random.safetensors  (random states of torch)

A checkpoint is written beside its place, flushed and renamed, so that one that can be seen is whole; older ones are then removed.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tunesmith.core.contracts import Adapter
from tunesmith.core.files import atomic, disk_errors, read_json, write_json
from tunesmith.core.fitting import Average, Progress
from tunesmith.core.model import Model


def moving(model: Model, names: set[str]) -> dict[str, torch.Tensor]:
    """The tensors training changes: the named parameters and all buffers."""
    own = {name: p.detach() for name, p in model.named_parameters() if name in names}
    return {**own, **{f"buffer:{name}": b for name, b in model.named_buffers()}}


def put(model: Model, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `moving` gave."""
    own: dict[str, torch.Tensor] = {**dict(model.named_parameters()), **{f"buffer:{n}": b for n, b in model.named_buffers()}}
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as safetensors; ones that share memory are written apart."""
    with disk_errors(path):
        save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, path)


def save(
    folder: Path,
    *,
    model: Model,
    names: set[str],
    adapter: Adapter,
    optimizers: Mapping[str, Any],
    averages: list[Average],
    progress: Progress,
) -> Path:
    """Write the checkpoint of the step that `progress` stands at, then remove older ones.

    Args:
        folder: `checkpoints` of the run.
        names: parameters that training changes.
    """
    path = folder / f"step-{progress.step:08d}"
    with atomic(path) as part:
        part.mkdir(parents=True)
        tensors = {f"model/{name}": tensor for name, tensor in moving(model, names).items()}
        tensors |= {f"adapter/{name}": tensor for name, tensor in adapter.state(model).items()}
        for number, average in enumerate(averages):
            tensors |= {f"average{number}/{name}": tensor for name, tensor in average.state().items()}
        save_tensors(tensors, part / "weights.safetensors")
        for phase, optimizer in optimizers.items():
            torch.save(optimizer.state_dict(), part / f"optimizer-{phase}.pt")
        states = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            states |= {f"cuda{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
        save_tensors(states, part / "random.safetensors")
        version, numbers, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state()
        write_json(
            part / "state.json",
            {
                "progress": dataclasses.asdict(progress),
                "python": [version, list(numbers), gauss],
                "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
            },
        )
    for old in folder.glob("step-*"):
        if old.name < path.name:
            shutil.rmtree(old)
    return path


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a run, or None."""
    found = sorted(folder.glob("step-*"))
    return found[-1] if found else None


def seconds_of(path: Path) -> float:
    """What training had taken when a checkpoint was written, evaluations included."""
    return float(read_json(path / "state.json")["progress"]["spent"])


def load(
    path: Path, *, model: Model, adapter: Adapter, optimizers: Mapping[str, Any], averages: list[Average], device: torch.device
) -> Progress:
    """Put everything back as it was when the checkpoint was written, and say where that was."""
    tensors = {name: tensor.to(device) for name, tensor in load_file(path / "weights.safetensors").items()}

    def group(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    put(model, group("model/"))
    adapter.restore(model, group("adapter/"))
    for number, average in enumerate(averages):
        average.restore(group(f"average{number}/"))
    for phase, optimizer in optimizers.items():
        optimizer.load_state_dict(torch.load(path / f"optimizer-{phase}.pt", map_location="cpu", weights_only=True))
    states = load_file(path / "random.safetensors")
    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available() and "cuda0" in states:
        torch.cuda.set_rng_state_all([states[key] for key in sorted(states) if key.startswith("cuda")])
    state = read_json(path / "state.json")
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.asarray(keys, np.uint32), position, has_gauss, cached))
    return Progress(**state["progress"])
