"""What stands around a backbone hands every hook of the contract on: one that is added to the contract must not be forgotten here."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tunesmith.core.around import Around
from tunesmith.core.contracts import Backbone

OWN = {"features", "options_for", "fit"}
"""Its own, of the class, and what comes before."""


def hooks() -> list[str]:
    return sorted(n for n, value in vars(Backbone).items() if not n.startswith("_") and (callable(value) or isinstance(value, property)))


class Inner:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[object, ...]]] = []

    def __getattr__(self, name: str) -> object:
        if isinstance(vars(Backbone)[name], property):
            self.asked.append((name, ()))
            return name
        return lambda *given: self.asked.append((name, given))


class Outer(Around):
    name = "outer"

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def features(self, network: Any, batch: Any) -> Any:
        return None


@pytest.mark.parametrize("name", [name for name in hooks() if name not in OWN])
def test_every_hook_is_handed_on_with_its_arguments(name: str) -> None:
    inner, given = Inner(), ()
    found = getattr(Outer(inner), name)
    if not isinstance(vars(Backbone)[name], property):
        given = tuple(range(len(inspect.signature(found).parameters)))
        found(*given)
    assert inner.asked == [(name, given)]


def test_the_hooks_that_are_its_own_are_hooks() -> None:
    assert {"features", "fit"} <= set(hooks())
