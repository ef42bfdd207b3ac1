"""tunesmith adapts foundation models to your own data, and proves the result.

    import tunesmith

    run = tunesmith.tune("messages.csv", label="intent", adapter="lora")
    tunesmith.load(run.bundle).predict(["where is my card?"])

Names are loaded when they are used, so that importing the package is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.api import load, tune
    from tunesmith.core.errors import TunesmithError
    from tunesmith.estimator import TunesmithClassifier, TunesmithRegressor
    from tunesmith.recipe import Recipe

__version__ = "0.1.0"
__all__ = ["Recipe", "TunesmithClassifier", "TunesmithError", "TunesmithRegressor", "__version__", "load", "tune"]

_HOMES = {
    "tune": "tunesmith.api",
    "load": "tunesmith.api",
    "Recipe": "tunesmith.recipe",
    "TunesmithError": "tunesmith.core.errors",
    "TunesmithClassifier": "tunesmith.estimator",
    "TunesmithRegressor": "tunesmith.estimator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
