"""The bundle: the folder that ships.

    bundle.json          format, versions, and the settings that rebuild task, backbone and adapter
    backbone/            the network in its own library's hub format: config, weights in safetensors, tokenizer
    adapter/             what PEFT wrote, where there is an adapter
    head.safetensors     the task's head
    samples.json         made-up inputs with the outputs they must give
    README.md            what this is and how to use it
    checksums.json       SHA-256 of every other file

Everything is checked before anything is read: a missing, altered or additional weights file is refused. Weights are safetensors only.
"""

from __future__ import annotations

import base64
import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tunesmith.core import registry
from tunesmith.core.contracts import Adapter, Backbone, Prediction, Row, Task
from tunesmith.core.errors import BundleError, TunesmithError
from tunesmith.core.files import atomic, read_json, sha256, to_json, write_json, write_text

if TYPE_CHECKING:
    from tunesmith.core.arrays import Arrays
    from tunesmith.core.model import Model

FORMAT = 1
SAMPLES = 4


@dataclass
class Bundle:
    """A bundle whose files have been checked; its weights are read when they are first needed."""

    folder: Path
    task: Task
    backbone: Backbone
    adapter: Adapter
    about: dict[str, Any]

    @functools.cached_property
    def model(self) -> Model:
        """Network and head, in evaluation mode.

        Raises:
            BundleError: it cannot be rebuilt.
        """
        from safetensors.torch import load_file

        with _rebuilding(self.folder):
            model = self.task.build(self.backbone)
            if self.about["adapter"]["saved"]:
                self.adapter.load(model, self.folder / "adapter")
            model.head.load_state_dict(load_file(self.folder / "head.safetensors"))
        return model.eval()

    @functools.cached_property
    def light(self) -> Callable[[Sequence[Row]], list[Prediction]] | None:
        """The same predictions without torch, or None where backbone, adapter and head do not all have a form in numpy.

        Raises:
            BundleError: it cannot be rebuilt.
        """
        from safetensors.numpy import load_file

        with _rebuilding(self.folder):
            vectors = self.backbone.light(self._folded)
            head = self.task.light_head(load_file(self.folder / "head.safetensors")) if vectors is not None else None
        if vectors is None or head is None:
            return None
        return lambda rows: self.task.decode(head(vectors(rows)))

    def _folded(self, weights: Arrays) -> Arrays | None:
        return self.adapter.fold(weights, self.folder / "adapter") if self.about["adapter"]["saved"] else weights


@contextlib.contextmanager
def _rebuilding(folder: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, KeyError, TunesmithError) as error:
        raise BundleError(f"the bundle {folder} cannot be rebuilt: {error}") from error


def save(
    folder: Path, *, model: Model, task: Task, adapter: Adapter, about: dict[str, Any], card: str, samples: list[tuple[Row, Prediction]]
) -> None:
    """Write a bundle atomically.

    Args:
        folder: where; an existing bundle there is replaced once the new one is whole.
        model: the trained model.
        about: more facts for bundle.json (modality, how the row's path columns are called, versions).
        card: text of README.md.
        samples: made-up inputs with the model's own predictions.
    """
    from safetensors.torch import save_file

    with atomic(folder) as part:
        part.mkdir(parents=True)
        model.backbone.save(_bare(model), adapter.base_weights(model), part / "backbone")
        has_adapter = adapter.save(model, part / "adapter")
        save_file({name: tensor.contiguous() for name, tensor in model.head.state_dict().items()}, part / "head.safetensors")
        (part / "README.md").write_text(card, encoding="utf-8")
        shown = [{"input": _plain_row(row), "output": prediction} for row, prediction in samples]
        (part / "samples.json").write_text(to_json(shown), encoding="utf-8")
        parts = {
            "task": {"name": task.name, "settings": task.settings()},
            "backbone": {"name": model.backbone.name, "settings": _without_place(model.backbone.settings())},
            "adapter": {"name": adapter.name, "settings": adapter.settings(), "saved": has_adapter},
        }
        (part / "bundle.json").write_text(to_json({"format": FORMAT, **about, **parts}), encoding="utf-8")
        files = sorted(p for p in part.rglob("*") if p.is_file())
        for file in files:
            file.chmod(0o644)  # some libraries write for their own user only, and a bundle is there to be passed on
        (part / "checksums.json").write_text(to_json({str(p.relative_to(part)): sha256(p) for p in files}), encoding="utf-8")


def describe(folder: Path, card: str) -> None:
    """Put another card into a bundle: what a check of the bundle found can only be told once the bundle is there.

    Args:
        folder: a whole bundle.
        card: text of README.md.
    """
    write_text(folder / "README.md", card)
    (folder / "README.md").chmod(0o644)
    write_json(folder / "checksums.json", {**read_json(folder / "checksums.json"), "README.md": sha256(folder / "README.md")})


def _bare(model: Model) -> Any:
    return model._bare[0]


def _without_place(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without the paths of the machine that trained."""
    kept = {key: value for key, value in settings.items() if key not in ("source", "weights", "scratch", "joint")}
    return {key: _without_place(value) if isinstance(value, dict) else value for key, value in kept.items()}


def _plain_row(row: Row) -> dict[str, Any]:
    return {k: {"base64": base64.b64encode(v).decode()} if isinstance(v, bytes) else v for k, v in row.items()}


def sample_rows(backbone: Backbone) -> list[Row]:
    """Made-up inputs: nobody's data travels with a bundle."""
    return [backbone.sample(code, Random(code)) for code in range(SAMPLES)]


def stored_samples(folder: Path) -> list[tuple[Row, Prediction]]:
    """The made-up inputs of a bundle and the outputs they must give."""
    result: list[tuple[Row, Prediction]] = []
    for item in read_json(folder / "samples.json"):
        row = {k: base64.b64decode(v["base64"]) if isinstance(v, dict) else v for k, v in item["input"].items()}
        result.append((row, item["output"]))
    return result


def verify(folder: Path) -> dict[str, Any]:
    """Check that a bundle is whole and unaltered, and give its bundle.json.

    Raises:
        BundleError: what is missing, altered or new.
    """
    for run in (folder, folder.parent):
        if not (run / "bundle" / "checksums.json").is_file() and (run / "work").is_dir() and (run / "recipe.yaml").is_file():
            raise BundleError(f"the run {run} is not finished, so there is no bundle yet; go on with: tunesmith tune --resume {run}")
    if not folder.is_dir():
        raise BundleError(f"there is no bundle at {folder}; a run's bundle is its folder bundle/")
    if not (folder / "checksums.json").is_file() and (folder / "bundle" / "checksums.json").is_file():
        raise BundleError(f"{folder} is a run; its bundle is {folder / 'bundle'}")
    try:
        expected = read_json(folder / "checksums.json")
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder} is no bundle, or an incomplete one: checksums.json cannot be read ({error})") from error
    for name, digest in expected.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"the bundle {folder} names a file outside itself ({name}); do not use it")
        if not path.is_file():
            raise BundleError(f"the bundle {folder} is incomplete: {name} is missing; copy it again from where it was made")
        if sha256(path) != digest:
            raise BundleError(
                f"the bundle {folder} was altered or cut short: {name} does not have its checksum; copy it again from where it was made"
            )
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in expected and path.name != "checksums.json":
            raise BundleError(f"the bundle {folder} holds a file that does not belong to it: {path.relative_to(folder)}; remove it")
    about: dict[str, Any] = read_json(folder / "bundle.json")
    if about.get("format") != FORMAT:
        raise BundleError(f"the bundle {folder} has format {about.get('format')}; this version of tunesmith reads format {FORMAT}")
    return about


def load(folder: Path) -> Bundle:
    """Read a bundle, after checking it.

    Raises:
        BundleError: it is not whole, or its parts cannot be rebuilt.
    """
    about = verify(folder)

    def create(room: str, part: str) -> Any:
        return registry.create(room, about[part]["name"], about[part]["settings"])

    with _rebuilding(folder):
        task: Task = create("tasks", "task")
        backbone: Backbone = create("backbones", "backbone").moved(folder / "backbone")
        adapter: Adapter = create("adapters", "adapter")
    return Bundle(folder, task, backbone, adapter, about)
