"""Finds implementations by name without importing them.

A file of an implementation room (`tasks/`, `adapters/`, ...) whose name does not begin with `_` is read as text, and
every top-level class with a literal `name = "..."` is registered. `presets = {"dora": {"dora": True}}` beside it adds names that
stand for the class with some fields set. Outside packages plug in by entry points of the group `tunesmith.<room>`, each
naming a class that carries `name`. Importing happens in `get`, so that `tunesmith list` stays cheap.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.core.errors import RecipeError, UnknownNameError

ROOMS = {
    "backbones": "backbones",
    "tasks": "tasks",
    "adapters": "adapters",
    "optimizers": "engine/optimizers.py",
    "schedules": "engine/schedules.py",
    "trackers": "trackers",
    "inspections": "gate",
    "baselines": "baselines",
}
"""Name of a room -> folder of its files, or the one file that holds them all."""


@dataclass(frozen=True)
class Entry:
    """Where an implementation lives: `module:attribute`, its one-line summary, and the fields a preset name fixes."""

    name: str
    module: str
    attribute: str
    summary: str
    preset: dict[str, Any] = field(default_factory=dict)

    def load(self) -> type[Any]:
        """Import the class."""
        return getattr(importlib.import_module(self.module), self.attribute)  # type: ignore[no-any-return]


@functools.cache
def entries(room: str) -> Mapping[str, Entry]:
    """Every registered name of a room, sorted.

    Example:
        >>> "classification" in entries("tasks")
        True
    """
    if room not in ROOMS:
        raise UnknownNameError("kind of implementation called", room, ROOMS)
    found: dict[str, Entry] = {}
    root = Path(__file__).parent.parent
    place = root / ROOMS[room]
    for file in [place] if place.is_file() else sorted(place.glob("*.py")):
        if not file.name.startswith("_"):
            module = ".".join(["tunesmith", *file.relative_to(root).with_suffix("").parts])
            found.update({entry.name: entry for entry in _read(file, module)})
    for point in importlib.metadata.entry_points(group=f"tunesmith.{room}"):
        module, _, attribute = point.value.partition(":")
        found[point.name] = Entry(point.name, module, attribute, f"from the package {point.dist.name if point.dist else module}")
    return dict(sorted(found.items()))


def _read(file: Path, module: str) -> list[Entry]:
    result = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        literals = _literals(node)
        name = literals.get("name")
        if not isinstance(name, str):
            continue
        summary = (ast.get_docstring(node) or "").split("\n")[0]
        result.append(Entry(name, module, node.name, summary))
        for other, preset in literals.get("presets", {}).items():
            described = preset.pop("summary", summary)
            result.append(Entry(other, module, node.name, described, preset))
    return result


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else item.target if isinstance(item, ast.AnnAssign) else None
        value = getattr(item, "value", None)
        if isinstance(target, ast.Name) and target.id in ("name", "presets") and value is not None:
            values[target.id] = ast.literal_eval(value)
    return values


def find(room: str, name: str) -> Entry:
    """The entry of a name; `-` and `_` are the same letter.

    Raises:
        UnknownNameError: with the nearest names.
    """
    known = entries(room)
    key = name.strip().lower().replace("-", "_")
    if key not in known:
        raise UnknownNameError(room.rstrip("s"), name, known)
    return known[key]


def create(room: str, name: str, options: Mapping[str, Any]) -> Any:
    """An instance of the named dataclass with `options` as its fields.

    Raises:
        UnknownNameError: no such name.
        RecipeError: an option the class does not have, or a value it refuses.
    """
    entry = find(room, name)
    cls = entry.load()
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in options:
        if key not in fields:
            raise UnknownNameError(f"option of {room.rstrip('s')} '{entry.name}' called", key, fields)
    from tunesmith.core.checking import checked

    try:
        return checked(cls, {**entry.preset, **options}, f"{room.rstrip('s')} '{entry.name}'")
    except ValueError as error:
        raise RecipeError(f"{room.rstrip('s')} '{entry.name}': {error}") from error
