"""The whole configuration of a run: one dataclass tree = the YAML = the command-line flags = the arguments in Python.

`None` means "tunesmith decides": what it decided and why is printed, and the resolved recipe written into the run has no such
field left, so that it reproduces the run. A choice among registered names (task, backbone, adapter, optimizer, schedule) is
written as a name, or as a mapping with the name and the fields of that implementation:

    data: {path: [messages.csv], label: [intent]}
    adapter: {name: lora, rank: 16}
    training: {epochs: 3}
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunesmith.core.checking import checked
from tunesmith.core.errors import RecipeError, UnknownNameError


def option(default: Any, help: str) -> Any:
    """A dataclass field with its help text, which the command line and the docs show."""
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass
class DataRecipe:
    """Where the rows come from and what their columns mean."""

    path: list[str] = option([], "a file, a folder, up to three files (train, [validation,] test), or a dataset id of a hub")
    inputs: list[str] | None = option(None, "input column(s)")
    label: list[str] | None = option(None, "label column; several columns of 0 and 1 make a multi-label task")
    kinds: list[str] | None = option(None, "what columns hold, where it is told wrongly: zip=category,note=text")
    modality: str | None = option(None, "what reads the input columns; see: tunesmith list backbones")
    split: str | None = option(None, "'given', or shares of train,validation,test such as 0.8,0.1,0.1")
    group: str | None = option(None, "column whose equal values (one patient, one customer) stay on one side of the split")
    time: str | None = option(None, "column of dates or numbers: train on the past, test on the future")
    purge: str | None = option(
        None,
        "how long after its --time a label is known: a column of moments, 5 (different times) or 2d; what reaches into the next split goes",
    )
    embargo: str | None = option(None, "how long each split waits after the one before it: 5 (different times) or 2d")
    series_id: str | None = option(None, "column that tells several series apart, where the rows are time points of more than one")
    order: str | None = option(None, "column by which the time points of a series are put in order; default: --time")
    values: list[str] | None = option(None, "columns that time points measure; default: those of numbers")
    window: int | None = option(None, "cut series of time points into windows of so many steps, each a row; default: a series is a row")
    stride: int = option(1, "steps from one window to the next")
    direction: str | None = option(None, "column of prices: the label of a window is whether they are up or down --horizon steps later")
    horizon: int = option(1, "steps from the end of a window to the price it is compared with")
    known: list[str] | None = option(
        None, "column(s) whose numbers are known in advance for the time that is forecast (a calendar, a price)"
    )
    stamps: Literal["even", "order"] = option(
        "even", "time points lie on even steps, gaps count as missing; or one after the other in order"
    )
    encoding: str = option("utf-8", "text encoding of CSV, TSV and JSONL files")
    delimiter: str | None = option(None, "column separator of CSV files")
    max_bad_rows: float = option(0.05, "unusable rows that are tolerated: a share below 1, or a number of rows")
    rare_classes: Literal["error", "drop"] = option("error", "what to do with classes too small to appear in every split")
    limit: int | None = option(None, "use at most this many training rows (drawn by the seed)")

    def __post_init__(self) -> None:
        if self.group and self.time:
            raise ValueError("fields 'group' and 'time' exclude each other: a split is either by group or by time")
        if self.split not in (None, "given"):
            shares(self.split or "")
        for name in ("purge", "embargo"):
            if getattr(self, name) and not self.time:
                raise ValueError(f"field '{name}' needs field 'time': a split by time is what it belongs to")
        for name in ("stride", "horizon"):
            if getattr(self, name) < 1:
                raise ValueError(f"field '{name}' must be at least 1")
        if self.window is not None and self.window < 2:
            raise ValueError("field 'window' must be at least 2")
        if not 0 <= self.max_bad_rows < math.inf:
            raise ValueError("field 'max_bad_rows' must not be negative")


@dataclass
class TrainingRecipe:
    """How long and how fast the weights change."""

    epochs: int | None = option(None, "passes over the training rows; default: 5, or more of few rows where weights begin at random")
    batch_size: int = option(32, "rows whose gradients make one step, on all devices together")
    accumulate: int = option(1, "pieces a batch is computed in (less memory, same result)")
    lr: float | None = option(None, "learning rate; each adapter has its own default")
    head_lr: float | None = option(None, "learning rate of the head; default: the larger of --lr and 1e-3")
    layer_decay: float = option(1.0, "factor on the learning rate from each block to the one before it")
    warmup: float = option(0.06, "share of the steps in which the rate rises from 0")
    clip: float = option(1.0, "largest gradient norm; 0 for no limit")
    ema: float = option(0.0, "decay of an exponential moving average of the weights, such as 0.99; 0 for none")
    precision: Literal["fp32", "bf16", "fp16"] | None = option(None, "number format of the forward pass; default: what --tuning finds")
    tuning: Literal["off", "auto", "max"] = option(
        "auto", "try ways to make steps faster on this machine (threads, compiling, bf16): none, those that pay in this run, all"
    )
    memory_gb: float | None = option(None, "memory a piece of a batch may keep; default: 0.125 on a processor, half of a GPU's")
    gradient_checkpointing: bool = option(False, "compute activations again in the backward pass: slower, less memory")
    patience: int | None = option(None, "stop after this many evaluations without improvement")
    monitor: str | None = option(None, "validation metric that decides which weights are kept; default: the task's own")
    find_lr: bool = option(False, "sweep learning rates first and take the one the sweep suggests")
    dropout: bool | None = option(None, "whether the backbone's own dropout acts; default: only where the backbone's own weights change")
    augment: bool = option(True, "random changes of training rows: crops and flips of pictures, speed, noise and hidden parts of sounds")
    views: int = option(0, "random changes of each row that come again and again, so that features can be cached; 0: always new ones")
    feature_cache: Literal["auto", "off"] = option("auto", "compute what is frozen once per row, and keep it on disk for later runs")
    cache_gb: float = option(10.0, "size that kept features may reach, of all runs together; the least lately used go first")
    workers: int | None = option(None, "processes that read and encode rows; default: what --tuning finds")
    levers: list[str] | None = option(None, "ways to make steps faster, such as fused,compile; default: what --tuning finds")
    time_limit: str | None = option(None, "what the whole run may take, such as 10m, 1h30m or 90s; the best model within it")
    checkpoint_steps: int | None = option(None, "write a checkpoint every so many steps besides the one each epoch")

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"field '{name}' must be at least 1")
        if self.accumulate > self.batch_size:
            raise ValueError(f"field 'accumulate' ({self.accumulate}) is larger than field 'batch_size' ({self.batch_size})")
        if self.checkpoint_steps is not None and self.checkpoint_steps < 1:
            raise ValueError("field 'checkpoint_steps' must be at least 1")
        if not 0 <= self.clip < math.inf:
            raise ValueError("field 'clip' must be 0 (no limit) or more")
        if self.patience is not None and self.patience < 1:
            raise ValueError("field 'patience' must be at least 1")
        if self.memory_gb is not None and not 0 < self.memory_gb < math.inf:
            raise ValueError("field 'memory_gb' must be above 0")
        if self.time_limit is not None:
            seconds(self.time_limit)
        if self.views < 0:
            raise ValueError("field 'views' must not be negative")
        if not 0 < self.cache_gb < math.inf:
            raise ValueError("field 'cache_gb' must be above 0")
        if self.workers is not None and self.workers < 0:
            raise ValueError("field 'workers' must not be negative")
        if not 0 <= self.warmup <= 1:
            raise ValueError("field 'warmup' is a share of the steps, between 0 and 1")
        if not 0 <= self.ema < 1:
            raise ValueError("field 'ema' must be at least 0 and below 1")
        if not 0 < self.layer_decay <= 1:
            raise ValueError("field 'layer_decay' must be above 0 and at most 1")

    @property
    def passes(self) -> int:
        """Epochs of a recipe without gaps."""
        assert self.epochs is not None, "launch/resolve.py fills it"
        return self.epochs


@dataclass
class ProofRecipe:
    """What a run shows of its data and of its result."""

    gate: bool = option(True, "inspect the data before training: repeated rows, leaks between splits, wrong labels, shift, ...")
    allow_data_errors: bool = option(False, "train although the data holds errors, such as test rows in the training split")
    scoreboard: bool = option(True, "try cheap ways on the same rows, to tell whether adapting was worth it")
    compare: list[str] | None = option(None, "adapters to train on the same rows beside the chosen one, such as full,bitfit")
    slices: list[str] | None = option(None, "columns by whose values scores are shown; default: those of few values, and numbers")
    fairness: list[str] | None = option(
        None, "columns of groups (sex, age, ...) between which a classification is compared; no inputs need be"
    )


def seconds(text: str) -> float:
    """Seconds of a time such as `10m`, `1h30m`, `90s` or `90`.

    Example:
        >>> seconds("1h30m"), seconds("90")
        (5400.0, 90.0)
    """
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    total = sum(float(part) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True) if part) if found else 0.0
    if not total:
        raise ValueError(f"field 'time_limit' is a time above 0, such as 10m, 1h30m or 90s (got {text!r})")
    return total


@dataclass
class Choice:
    """A registered name and the fields of that implementation that differ from their defaults."""

    name: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Recipe:
    """The whole configuration of a run."""

    data: DataRecipe = field(default_factory=DataRecipe)
    task: Choice = option(None, "what is learned; see: tunesmith list tasks")
    backbone: Choice = option(None, "pretrained network: a hub id, a local folder, timm:NAME, torchvision:NAME, or minilm")
    adapter: Choice = option(None, "how the weights may change; see: tunesmith list adapters")
    optimizer: Choice = option(None, "see: tunesmith list optimizers")
    schedule: Choice = option(None, "course of the learning rate; see: tunesmith list schedules")
    weights: str | None = option(None, "file with the backbone's weights (safetensors, or a torch file read without code)")
    scratch: bool = option(False, "start from random weights")
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    proof: ProofRecipe = field(default_factory=ProofRecipe)
    trackers: list[str] = option(["jsonl", "progress"], "where metrics go besides metrics.json; see: tunesmith list trackers")
    seed: int = option(0, "decides everything that is random")
    out: str | None = option(None, "folder of the run; default: runs/<name of the data>-<number>")
    allow_failed_checks: bool = option(False, "exit with 0 although a check failed")

    def __post_init__(self) -> None:
        for part in CHOICES:
            if getattr(self, part) is None:
                setattr(self, part, Choice())
        if not 0 <= self.seed < 2**32:
            raise ValueError("field 'seed' must be a whole number from 0 to 4294967295")
        if self.scratch and self.weights:
            raise ValueError("fields 'scratch' and 'weights' exclude each other: random weights, or those of a file")


CHOICES = ("task", "backbone", "adapter", "optimizer", "schedule")
PARTS = {"data": DataRecipe, "training": TrainingRecipe, "proof": ProofRecipe}


def shares(text: str) -> tuple[float, float, float]:
    """Shares of train, validation and test.

    Example:
        >>> shares("80,10,10")
        (0.8, 0.1, 0.1)
    """
    try:
        numbers = [float(part) for part in text.replace("/", ",").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(0 < number < math.inf for number in numbers):
        raise ValueError(f"field 'split' is 'given' or three positive shares of train,validation,test such as 0.8,0.1,0.1 (got {text!r})")
    total = sum(numbers)
    return (numbers[0] / total, numbers[1] / total, numbers[2] / total)


def leaves() -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Every field a flag can set, as (path, field): `data.label`, `training.lr`, `seed`."""
    for item in dataclasses.fields(Recipe):
        if item.name in PARTS:
            for inner in dataclasses.fields(PARTS[item.name]):
                yield f"{item.name}.{inner.name}", inner
        else:
            yield item.name, item


def from_plain(values: Mapping[str, Any]) -> Recipe:
    """A recipe from nested plain values, as YAML has them.

    Raises:
        RecipeError: a wrong type or a contradiction.
        UnknownNameError: a field that does not exist, with the nearest ones.

    Example:
        >>> from_plain({"adapter": {"name": "lora", "rank": 4}, "training": {"lr": 0.001}}).adapter.options
        {'rank': 4}
    """
    known = [f.name for f in dataclasses.fields(Recipe)]
    tree: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise UnknownNameError("field of the recipe called", key, known)
        if key in PARTS:
            if value is not None and not isinstance(value, Mapping):
                raise RecipeError(f"recipe part '{key}' is a mapping of its fields (got {value!r})")
            tree[key] = checked(PARTS[key], value or {}, f"recipe part '{key}'")
        elif key in CHOICES:
            tree[key] = _choice(key, value)
        else:
            tree[key] = value
    try:
        return checked(Recipe, tree, "recipe")
    except ValueError as error:
        raise RecipeError(f"recipe: {error}") from error


def _choice(key: str, value: Any) -> Choice:
    if value is None or isinstance(value, str):
        return Choice(value)
    if isinstance(value, Choice):
        return value
    if isinstance(value, Mapping):
        options = {str(k): v for k, v in value.items() if k != "name"}
        return Choice(value.get("name"), options)
    raise RecipeError(f"recipe field '{key}' is a name or a mapping with 'name' (got {value!r})")


def to_plain(recipe: Recipe) -> dict[str, Any]:
    """The nested plain values of a recipe; the inverse of `from_plain`."""
    plain = dataclasses.asdict(recipe)
    for key in CHOICES:
        choice = getattr(recipe, key)
        plain[key] = {"name": choice.name, **choice.options} if choice.options else choice.name
    return plain


def to_yaml(recipe: Recipe) -> str:
    """The recipe as YAML."""
    import yaml

    return yaml.safe_dump(to_plain(recipe), sort_keys=False, allow_unicode=True, width=120)


def read_yaml(path: Path) -> dict[str, Any]:
    """The plain values of a recipe file.

    Raises:
        RecipeError: no such file, or not a mapping in YAML.
    """
    import yaml

    if not path.is_file():
        raise RecipeError(f"recipe file {path} does not exist")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe file {path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"recipe file {path} must hold a mapping of fields, such as 'adapter: lora'")
    return values


def put(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set a nested value by its dotted path; a choice given as a name becomes a mapping when a field of it is set.

    Example:
        >>> tree = {"adapter": "lora"}; put(tree, "adapter.rank", 4); tree
        {'adapter': {'name': 'lora', 'rank': 4}}
    """
    *parents, last = path.split(".")
    node = tree
    for parent in parents:
        inner = node.get(parent)
        if not isinstance(inner, dict):
            inner = {} if inner is None else {"name": inner}
            node[parent] = inner
        node = inner
    if not parents and last in CHOICES and isinstance(node.get(last), dict) and isinstance(value, str):
        same = node[last].get("name") == value
        node[last] = {**(node[last] if same else {}), "name": value}
    else:
        node[last] = value
