"""The same verbs in Python: `tune` and `load`.

Arguments of `tune` are the recipe's fields by their last name, so that `--batch-size 16` is `batch_size=16`; a choice takes a name or a
mapping: `adapter={"name": "lora", "rank": 16}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith import recipe as recipes
from tunesmith.core.errors import UnknownNameError, UsageError
from tunesmith.launch import local
from tunesmith.launch.inference import Predictor
from tunesmith.launch.local import Result
from tunesmith.recipe import Recipe


def recipe_of(arguments: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe from flat arguments on top of nested plain values.

    Raises:
        UnknownNameError: an argument that is no field.
    """
    tree: dict[str, Any] = {key: dict(value) if isinstance(value, Mapping) else value for key, value in (base or {}).items()}
    places = {path.rsplit(".", 1)[-1]: path for path, _ in recipes.leaves()}
    for name, value in arguments.items():
        if value is None:
            continue
        if name not in places:
            raise UnknownNameError("argument", name, places)
        if name in ("label", "inputs", "path") and isinstance(value, str | Path):
            value = [str(value)]
        recipes.put(tree, places[name], str(value) if isinstance(value, Path) else value)
    return recipes.from_plain(tree)


def tune(
    data: Any = None, *, recipe: str | Path | Mapping[str, Any] | None = None, resume: str | Path | None = None, **arguments: Any
) -> Result:
    """Adapt a model to data; the whole of `tunesmith tune`.

    Args:
        data: a path (or up to three: train, validation, test), a dataset id, a DataFrame, a list of mappings, a `datasets` object, or a
            mapping from split names to such.
        recipe: file or nested mapping to start from.
        resume: folder of an interrupted run to go on with; nothing else is given then.
        arguments: fields of the recipe by their last name.

    Returns:
        The run: its folder, metrics and checks.

    Raises:
        TunesmithError: see `tunesmith.core.errors`.

    Example:
        `run = tunesmith.tune("messages.csv", label="intent", adapter="lora", epochs=3)`
    """
    if resume is not None:
        if data is not None or recipe is not None or arguments:
            raise UsageError("resume goes on with the run's own recipe; give no data, recipe or other argument beside it")
        return _first(local.resume(str(resume)))
    base = recipes.read_yaml(Path(recipe)) if isinstance(recipe, str | Path) else recipe
    in_memory = data is not None and not _is_path(data)
    if data is not None and not in_memory:
        arguments["path"] = [str(data)] if isinstance(data, str | Path) else [str(item) for item in data]
    return _first(local.launch(recipe_of(arguments, base), data if in_memory else None))


def _first(result: Result | None) -> Result:
    if result is None:
        raise SystemExit(0)  # one of several processes: the first one has the result
    return result


def _is_path(data: Any) -> bool:
    if isinstance(data, str | Path):
        return True
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(item, str | Path) for item in data)


def load(bundle: str | Path) -> Predictor:
    """Load a bundle, after checking that it is whole and unaltered.

    Raises:
        BundleError: it is not.
    """
    return Predictor(bundle)
