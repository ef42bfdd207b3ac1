"""Tables: numbers, categories and dates, read by tunesmith's own FT-Transformer.

    {"age": "39", "job": "clerk", "since": "2019-04-01"}  ->  one token a cell (a date: four)  ->  one vector

Choices: what numbers and categories look like is learned of the training rows (`_cells.py`) and travels with the bundle. A missing cell
(empty, ?, NA, null, ...) is a token of its own kind, so nothing is filled in. Categories that fewer than `rare` training rows have are
read as "other", and so is one that training never saw; what is no number in a column of numbers is refused, as nobody knows what it means.

The network begins with random weights (`small`), or with those of a folder that an earlier run has written (`RUN/bundle/backbone`), one
that was pretrained by the task `masked_cells`, say; columns, vocabularies and bins are then those of the folder.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, final

from tunesmith.backbones import _checkpoints
from tunesmith.backbones._cells import GONE, OTHER, SPECIAL, Learned, Scale, learn
from tunesmith.core.cells import DATE_PARTS, date_parts, is_missing, moment_in, number_in
from tunesmith.core.contracts import Backbone, Batch, Cells, Encoded, Features, InputSpec, Row
from tunesmith.core.errors import BackboneError, DataError, RowError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from tunesmith.core.arrays import Arrays, Floats

SMALL = "small"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODEL_TYPE = "tunesmith_tabular"
SHAPE = ("hidden", "depth", "heads", "bins")
"""Fields that a folder's weights were made for."""

NOT_KEPT = ("source", "weights", "scratch")


@final
@dataclass(frozen=True)
class Tabular(Backbone):
    """Numbers, categories and dates of a table through an FT-Transformer."""

    name: ClassVar[str] = "tabular"
    reads: ClassVar[tuple[str, ...]] = ("number", "category", "date")
    source: str = field(default=SMALL, metadata={"help": "small (random weights), or a folder that an earlier run has written"})
    columns: tuple[str, ...] = field(default=("value",), metadata={"help": "input columns"})
    kinds: tuple[str, ...] = field(default=("number",), metadata={"help": "what each of them holds: number, category or date"})
    knots: tuple[tuple[float, ...], ...] = field(default=(), metadata={"help": "ends of the bins of each number; learned"})
    words: tuple[tuple[str, ...], ...] = field(default=(), metadata={"help": "vocabulary of each category; learned"})
    usual: tuple[str | None, ...] = field(default=(), metadata={"help": "a typical cell of each column: median, most frequent; learned"})
    bins: int = field(default=16, metadata={"help": "bins of a number, by quantiles of the training rows"})
    rare: int = field(default=3, metadata={"help": "training rows below which a category is read as 'other'"})
    most: int = field(default=1000, metadata={"help": "categories of a column that are told apart; rarer ones are read as 'other'"})
    hidden: int = field(default=64, metadata={"help": "width of a token"})
    depth: int = field(default=2, metadata={"help": "layers of attention"})
    heads: int = field(default=4, metadata={"help": "heads of attention"})
    attention_dropout: float = field(default=0.0, metadata={"help": "share of attention weights dropped in training"})
    dropout: float = field(default=0.1, metadata={"help": "share of hidden values dropped in training"})
    weights: str | None = field(default=None, metadata={"help": "file of weights for the network of the source"})
    scratch: bool = field(default=False, metadata={"help": "random weights"})

    def __post_init__(self) -> None:
        if len(self.kinds) != len(self.columns):
            raise ValueError(f"fields 'kinds' and 'columns' go together: {len(self.kinds)} kinds for {len(self.columns)} columns")
        if wrong := [kind for kind in self.kinds if kind not in self.reads]:
            raise ValueError(f"field 'kinds' holds {wrong[0]!r}; a table is read as {', '.join(self.reads)}")
        if self.depth < 1 or self.bins < 2 or self.rare < 1 or self.most < 1:
            raise ValueError("fields 'depth', 'rare' and 'most' must be at least 1, and 'bins' at least 2")
        if self.heads < 1 or self.hidden % self.heads:
            raise ValueError(f"field 'hidden' ({self.hidden}) must be a multiple of field 'heads' ({self.heads})")

    @classmethod
    def options_for(cls, kinds: Mapping[str, str]) -> dict[str, Any]:
        return {"columns": list(kinds), "kinds": list(kinds.values())}

    # What is learned of the training rows

    def fit(self, rows: Callable[[], Iterator[Row]], seed: int) -> Tabular:
        if self._stored is not None:
            return self._of(self._stored)
        found = learn((self._parted(row) for row in rows()), self.bins, self.rare, self.most, seed)
        numbers, categories = self._names
        middles, modes = dict(zip(numbers, found.middles, strict=True)), dict(zip(categories, found.modes, strict=True))
        usual = [
            modes[column] if kind == "category" else _cell(middles[column, None if kind == "number" else DATE_PARTS[0]], kind)
            for column, kind in zip(self.columns, self.kinds, strict=True)
        ]
        return dataclasses.replace(self, knots=found.knots, words=found.words, usual=tuple(usual))

    @functools.cached_property
    def _stored(self) -> dict[str, Any] | None:
        """Settings of the folder that is the source; None for random weights."""
        if self.source == SMALL:
            return None
        path = Path(self.source).expanduser() / CONFIG
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BackboneError(
                f"--backbone {self.source} is no network for tables ({error}); give {SMALL}, or a folder that a run on tables has written, "
                "such as RUN/bundle/backbone"
            ) from error
        if found.get("model_type") != MODEL_TYPE:
            raise BackboneError(f"{path} describes no network for tables (model_type is {found.get('model_type')!r}, not {MODEL_TYPE!r})")
        return found

    def _of(self, stored: Mapping[str, Any]) -> Tabular:
        """This table by what a folder has learned of its columns."""
        known = dict(zip(stored["columns"], stored["kinds"], strict=True))
        if new := [column for column in self.columns if column not in known]:
            raise DataError(
                f"the network {self.source} has not learned the column{'s' * (len(new) > 1)} {', '.join(new)}; it knows "
                f"{', '.join(known)}. Name those that are to be read with --inputs, or begin with --backbone {SMALL}"
            )
        for column, kind in zip(self.columns, self.kinds, strict=True):
            if kind != known[column] and known[column] != "category":
                raise DataError(
                    f"the network {self.source} reads the column {column} as a {known[column]}, and here it was taken for a {kind}; "
                    f"say --kinds {column}={known[column]} if that is right, or begin with --backbone {SMALL}"
                )
        kinds = tuple(known[column] for column in self.columns)
        base = dataclasses.replace(self, kinds=kinds, **{name: stored[name] for name in SHAPE})
        numbers, categories = base._places(stored)
        knots = tuple(tuple(stored["knots"][place]) for place in numbers)
        words = tuple(tuple(stored["words"][place]) for place in categories)
        cells = dict(zip(stored["columns"], stored["usual"], strict=True))
        return dataclasses.replace(base, knots=knots, words=words, usual=tuple(cells[column] for column in self.columns))

    def _places(self, stored: Mapping[str, Any]) -> tuple[list[int], list[int]]:
        """Where the numbers and the categories of these columns stand among those of a folder."""
        numbers, categories = _names(stored["columns"], stored["kinds"])
        return [numbers.index(name) for name in self._names[0]], [categories.index(name) for name in self._names[1]]

    @functools.cached_property
    def _names(self) -> tuple[list[tuple[str, str | None]], list[str]]:
        return _names(self.columns, self.kinds)

    @property
    def _fitted(self) -> bool:
        numbers, categories = self._names
        return len(self.knots) == len(numbers) and len(self.words) == len(categories)

    @property
    def _known(self) -> bool:
        return self._fitted or self._stored is not None

    @functools.cached_property
    def learned(self) -> Learned:
        """What is known of the columns: by `fit`, or by the folder that is the source."""
        found = self._whole
        assert found._fitted, "the columns of a table are learned by `fit`, of its training rows"
        return Learned(found.knots, found.words)

    @property
    def _whole(self) -> Tabular:
        """This table with what the folder that is its source knows, where nothing was learned otherwise."""
        return self if self._fitted or self._stored is None else self._of(self._stored)

    @functools.cached_property
    def scale(self) -> Scale:
        """Encodes the numbers."""
        return Scale(self.learned.knots)

    @functools.cached_property
    def _codes(self) -> list[dict[str, int]]:
        return [{word: place for place, word in enumerate(words, start=SPECIAL)} for words in self.learned.words]

    # Rows

    def _parted(self, row: Row) -> tuple[list[float], list[str | None]]:
        """The numbers of a row, NaN where missing, and its categories.

        Raises:
            RowError: a cell that holds something else, or no cell that holds anything.
        """
        numbers: list[float] = []
        texts: list[str | None] = []
        some = False
        for column, kind in zip(self.columns, self.kinds, strict=True):
            value = row.get(column)
            gone = is_missing(value)
            some = some or not gone
            if kind == "category":
                texts.append(None if gone else str(value).strip())
            elif kind == "number":
                numbers.append(math.nan if gone else number_in(value, column))
            else:
                numbers.extend([math.nan] * len(DATE_PARTS) if gone else date_parts(moment_in(value, column)))
        if not some:
            raise RowError("every cell of the row is missing" if len(self.columns) > 1 else "the cell is missing", ", ".join(self.columns))
        return numbers, texts

    def check(self, row: Row) -> str | None:
        self._parted(row)
        return None

    def unseen(self, row: Row) -> list[str]:
        numbers, texts = self._parted(row)
        told = [
            f"{column}: a category that training hardly saw or never, read as 'other'"
            for column, codes, text in zip(self._names[1], self._codes, texts, strict=True)
            if text is not None and text not in codes
        ]
        for name, knots, number in zip(self._names[0], self.learned.knots, numbers, strict=True):
            if number < knots[0] or number > knots[-1]:
                column, part = name
                if part == DATE_PARTS[0]:
                    told.append(f"{column}: a date outside of training ({_day(knots[0])} to {_day(knots[-1])}), read as the nearest in it")
                elif part is None:
                    told.append(f"{column}: a number outside of training ({knots[0]:g} to {knots[-1]:g}), read as the nearest in it")
        return told

    def cells(self) -> Cells:
        numbers, categories = self._names
        place = {column: number for number, column in enumerate(self.columns)}
        return Cells(
            self.columns,
            tuple(place[column] for column, _ in numbers),
            tuple(map(int, self.scale.counts)),
            tuple(place[column] for column in categories),
            tuple(SPECIAL + len(words) for words in self.learned.words),
        )

    def typical(self) -> Row | None:
        cells = self._whole.usual
        return dict(zip(self.columns, cells, strict=True)) if cells else None

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        numbers, texts = self._parted(row)
        codes = [GONE if text is None else known.get(text, OTHER) for known, text in zip(self._codes, texts, strict=True)]
        return {"numbers": numbers, "codes": codes}

    def _arrays(self, items: Sequence[Encoded]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """(rows, numbers, channels) and (rows, categories)."""
        import numpy as np

        count = len(items)
        numbers = np.asarray([item["numbers"] for item in items], np.float64).reshape(count, len(self._names[0]))
        codes = np.asarray([item["codes"] for item in items], np.int64).reshape(count, len(self._names[1]))
        return self.scale.encoded(numbers), codes

    def collate(self, items: Sequence[Encoded]) -> Batch:
        import torch

        numbers, codes = self._arrays(items)
        return {"numbers": torch.from_numpy(numbers), "codes": torch.from_numpy(codes)}

    def sizes(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        import numpy as np

        return np.full(len(rows), 1 + len(self._names[0]) + len(self._names[1]), np.int64)

    def input_spec(self) -> list[InputSpec]:
        return [InputSpec(column, kind, HINTS[kind]) for column, kind in zip(self.columns, self.kinds, strict=True)]

    def sample(self, code: int, rng: Random) -> dict[str, Any]:
        known = self.learned if self._known else Learned((), ())
        numbers, categories = self._names
        row: dict[str, Any] = {}
        for column, kind in zip(self.columns, self.kinds, strict=True):
            if kind == "category":
                words = known.words[categories.index(column)] if known.words else ()
                row[column] = words[code % len(words)] if words else f"c{code}"
                continue
            name = (column, None if kind == "number" else DATE_PARTS[0])
            ends = known.knots[numbers.index(name)] if known.knots else (0.0, 1000.0)
            value = ends[0] + (code % 4 + 0.25 + rng.random() / 2) / 4 * (ends[-1] - ends[0])
            row[column] = f"{value:.6g}" if kind == "number" else _day(value)
        return row

    # The network

    def traits(self) -> set[str]:
        fresh = self.source == SMALL and self.weights is None
        return {"tabular", "transformer"} | ({"untrained"} if fresh else set())

    def open(self) -> nn.Module:
        from tunesmith.backbones._ft_transformer import FTTransformer, Tokenizer

        whole = self._whole
        codes = tuple(SPECIAL + len(words) for words in self.learned.words)
        tokenizer = Tokenizer(len(self.learned.knots), self.scale.bins + 2, codes, SPECIAL, whole.hidden)
        network = FTTransformer(tokenizer, whole.depth, whole.heads, self.attention_dropout, self.dropout)
        loaded = _checkpoints.Loaded("random weights", 0, [], [])
        if self.weights and not self.scratch:
            loaded = _checkpoints.fill(network, _checkpoints.read_weights(Path(self.weights).expanduser()), self.weights)
        elif self._stored is not None and not self.scratch:
            weights = _checkpoints.read_weights(Path(self.source).expanduser() / WEIGHTS)
            loaded = _checkpoints.fill(network, self._chosen(weights, self._stored), self.source)
        self.__dict__["_loaded"] = loaded
        return network

    def _chosen(self, weights: dict[str, torch.Tensor], stored: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Of a folder's weights what these columns need."""
        import torch

        numbers, categories = self._places(stored)
        sizes = [SPECIAL + len(words) for words in stored["words"]]
        rows = [range(sum(sizes[:place]), sum(sizes[: place + 1])) for place in categories]
        bias = [*numbers, *(len(stored["knots"]) + place for place in categories)]
        vectors = torch.tensor([row for some in rows for row in some], dtype=torch.long)
        chosen = {**weights, "tokenizer.bias": weights["tokenizer.bias"][bias]}
        chosen.pop("tokenizer.weight", None)
        chosen.pop("tokenizer.vectors.weight", None)
        if numbers:
            weight = weights["tokenizer.weight"][numbers]
            chosen["tokenizer.weight"] = torch.cat([weight[:, : self.scale.bins], weight[:, -2:]], dim=1)
        if categories:
            chosen["tokenizer.vectors.weight"] = weights["tokenizer.vectors.weight"][vectors]
        return chosen

    def light(self, fold: Callable[[Arrays], Arrays | None]) -> Callable[[Sequence[Row]], Floats] | None:
        stored = self._stored
        if stored is None or self.weights or self.scratch or list(self.columns) != list(stored["columns"]):
            return None
        from safetensors.numpy import load_file

        from tunesmith.backbones import _light_ft

        weights = fold(dict(load_file(Path(self.source).expanduser() / WEIGHTS)))
        if weights is None:
            return None
        sizes, heads = [SPECIAL + len(words) for words in self.learned.words], self._whole.heads

        def vectors(rows: Sequence[Row]) -> Floats:
            numbers, codes = self._arrays([self.encode(row) for row in rows])
            return _light_ft.vectors(weights, numbers, codes, sizes, heads)

        return vectors

    def features(self, network: nn.Module, batch: Batch) -> Features:
        hidden = network(batch["numbers"], batch["codes"])  # (batch, 1 + cells, width)
        return Features(pooled=hidden[:, 0], tokens=hidden[:, 1:], mask=hidden.new_ones(hidden.shape[0], hidden.shape[1] - 1))

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        from tunesmith.backbones._blocks import layers

        return layers(network)

    def width(self, network: nn.Module) -> int:
        return self._whole.hidden

    def save_memory(self, network: nn.Module) -> None:
        network.gradient_checkpointing = True  # type: ignore[assignment]

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS, metadata={"format": "pt"})
        kept = {name: value for name, value in self.settings().items() if name not in NOT_KEPT}
        (folder / CONFIG).write_text(json.dumps({"model_type": MODEL_TYPE, **kept}), encoding="utf-8")

    def moved(self, folder: Path) -> Tabular:
        return dataclasses.replace(self, source=str(folder), weights=None, scratch=False)

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self._whole)

    def origin(self) -> dict[str, Any]:
        loaded: _checkpoints.Loaded | None = self.__dict__.get("_loaded")
        return loaded.plain() if loaded else {"source": self.source}


HINTS = {"number": "a number", "category": "a word, of those that training saw", "date": "a date such as 2026-01-31"}


def _names(columns: Sequence[str], kinds: Sequence[str]) -> tuple[list[tuple[str, str | None]], list[str]]:
    """What the numbers of rows are, (column, part of a date or None), and the columns of categories."""
    numbers: list[tuple[str, str | None]] = []
    for column, kind in zip(columns, kinds, strict=True):
        if kind != "category":
            numbers.extend([(column, None)] if kind == "number" else [(column, part) for part in DATE_PARTS])
    return numbers, [column for column, kind in zip(columns, kinds, strict=True) if kind == "category"]


def _cell(value: float | None, kind: str) -> str | None:
    """A number or a day as a cell holds it."""
    if value is None:
        return None
    return _day(value) if kind == "date" else f"{value:.15g}"


def _day(days: float) -> str:
    """The date so many days after 1970 began."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=math.floor(days))).isoformat()
