"""What every registered implementation carries: a summary, a final class, and a help text for each field."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from tunesmith.core import contracts, findings, fitting, outcomes, registry
from tunesmith.core.errors import RecipeError, UnknownNameError

BASES: dict[str, type[Any]] = {
    "backbones": contracts.Backbone,
    "tasks": contracts.Task,
    "adapters": contracts.Adapter,
    "optimizers": fitting.OptimizerSpec,
    "schedules": fitting.Schedule,
    "trackers": fitting.Callback,
    "inspections": findings.Inspection,
    "baselines": outcomes.Baseline,
}
EVERY = [(room, name) for room in registry.ROOMS for name in registry.entries(room)]


def test_every_room_is_in_the_table() -> None:
    assert set(BASES) == set(registry.ROOMS)


@pytest.mark.parametrize(("room", "name"), EVERY)
def test_class_is_final_and_described(room: str, name: str) -> None:
    entry = registry.find(room, name)
    cls = entry.load()
    assert issubclass(cls, BASES[room])
    assert not inspect.isabstract(cls)
    assert getattr(cls, "__final__", False)
    assert inspect.getdoc(cls)
    assert entry.summary.endswith((".", ")", "1"))
    assert name in (cls.name, *getattr(cls, "presets", {}))


@pytest.mark.parametrize(("room", "name"), [pair for pair in EVERY if pair[0] != "trackers"])
def test_every_field_has_a_help_text_and_a_default(room: str, name: str) -> None:
    cls = registry.find(room, name).load()
    for item in dataclasses.fields(cls):
        assert item.metadata.get("help"), f"{cls.__name__}.{item.name}"
        assert item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
    with pytest.raises(UnknownNameError, match="nosuchfield"):
        registry.create(room, name, {"nosuchfield": 1})


@pytest.mark.parametrize(("room", "name"), [pair for pair in EVERY if pair[0] != "trackers"])
def test_values_of_a_wrong_type_are_refused_by_name(room: str, name: str) -> None:
    cls = registry.find(room, name).load()
    for item in dataclasses.fields(cls):
        with pytest.raises(RecipeError, match=item.name):
            registry.create(room, name, {item.name: object()})


@pytest.mark.parametrize("room", registry.ROOMS)
def test_a_misspelt_name_answers_with_the_nearest(room: str) -> None:
    name = next(iter(registry.entries(room)))
    with pytest.raises(UnknownNameError, match=f"did you mean '{name}'"):
        registry.find(room, name + "x")
