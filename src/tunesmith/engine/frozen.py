"""What is frozen is computed once per row: a backbone that stands before another one and remembers.

    row --encode--> remembered values (and, where blocks still train, the inputs) --collate--> batch --features--> Features

With the whole network frozen, the pooled features are remembered; with the first blocks frozen, what the last of them gives. The frozen
blocks are then not run: each answers with the remembered values, and the rest of the network runs as always. That this gives the same
features is measured on rows of the data before it is relied on; a network it does not hold for is run as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tunesmith.core.around import Around
from tunesmith.core.contracts import Backbone, Batch, Encoded, Features, Picture, Row
from tunesmith.core.errors import OutputError
from tunesmith.core.feature_store import KEY_BYTES, FeatureStore, Keys, Writer, ascending
from tunesmith.core.files import disk_errors
from tunesmith.core.model import Model, to_device
from tunesmith.core.packed import packed
from tunesmith.core.work import batches

WINDOW = 1024
BATCH = 64
TOLERANCE = 1e-4
PLACES = ("source", "weights", "scratch", "columns")
"""Settings that say where a network and its inputs come from, not what it computes."""


class Frozen(Around):
    """Stands before a backbone whose first blocks, or all of whose network, never change.

    Args:
        inner: the backbone.
        network: its bare network.
        blocks: how many blocks are frozen; None for the whole network.
        store: remembers.
        still: whether rows are given as they are where one with random changes is asked for.
    """

    name = "frozen"

    def __init__(self, inner: Backbone, network: nn.Module, blocks: int | None, store: FeatureStore, still: bool = False) -> None:
        self.inner, self.network, self.store, self.still = inner, network, store, still
        self.columns = inner.columns
        self.frozen = None if blocks is None else [list(callables(block)) for block in inner.blocks(network)[:blocks]]
        self._raws = Keys(np.empty((0, KEY_BYTES), np.uint8))
        self._places: npt.NDArray[np.int32] = np.empty((0, 2), np.int32)
        self._tuple = False

    # What is remembered

    def remember(self, rows: Iterable[tuple[Row, Random | None]], device: torch.device) -> int:
        """Compute what is not known yet; gives how many rows that were.

        Args:
            rows: each with the generator of its augmentation, or None.
            device: where the network is.

        Raises:
            OutputError: the disk is full, or what was written cannot be read.
        """
        computed = 0
        raws, known = bytearray(), bytearray()
        unread = ((raw, row, rng) for row, rng in rows if self._raws.find(raw := self._raw(row, rng)) is None)
        with self.store.writer() as writer:
            while window := list(itertools.islice(unread, WINDOW)):
                missing: dict[bytes, tuple[int, Encoded]] = {}
                for size, (raw, row, rng) in zip(self.inner.sizes([row for _, row, _ in window]), window, strict=True):
                    raws += raw
                    item = self.inner.encode(row, rng)
                    key = digest(self.inner.collate([item]))
                    known += key
                    if key not in writer:
                        missing[key] = (int(size), item)
                computed += self._compute(missing, writer, device)
        self._know(raws, self.store.places(np.frombuffer(known, np.uint8).reshape(-1, KEY_BYTES)))
        self.store.uses(self._places)
        self.store.room.make()
        return computed

    def missing(self, rows: Iterable[tuple[Row, Random | None]]) -> npt.NDArray[np.bool_]:
        """(n,) which rows `remember` would have to compute. The others are noted, so that it does not read them again.

        Args:
            rows: as for `remember`.
        """
        found = []
        raws, known = bytearray(), bytearray()
        for row, rng in rows:
            key = digest(self.inner.collate([self.inner.encode(row, rng)]))
            found.append(key not in self.store)
            if not found[-1]:
                raws += self._raw(row, rng)
                known += key
        self._know(raws, self.store.places(np.frombuffer(known, np.uint8).reshape(-1, KEY_BYTES)))
        return np.asarray(found, np.bool_)

    def _compute(self, missing: Mapping[bytes, tuple[int, Encoded]], writer: Writer, device: torch.device) -> int:
        """Compute and write the values of encoded rows, each given with its size; gives their number."""
        order = sorted(missing, key=lambda key: -missing[key][0])
        with packed(self.network) if len(order) >= BATCH else contextlib.nullcontext():
            for part in batches(np.asarray([missing[key][0] for key in order]), BATCH):
                keys = order[part]
                inputs = to_device(self.inner.collate([missing[key][1] for key in keys]), device)
                for key, value in zip(keys, self.compute(inputs), strict=True):
                    writer.add(key, value.float().cpu().numpy())
        return len(order)

    def _know(self, raws: bytes | bytearray, places: npt.NDArray[np.int32]) -> None:
        """Note where the values of rows are kept: 24 bytes a row.

        Raises:
            OutputError: the values of a row are not there.
        """
        if lost := int((places < 0).any(axis=1).sum()):
            raise OutputError(
                f"{lost:,} of {len(places):,} rows are not found in {self.store.folder} although they were written; is its disk sound? "
                "Name another cache folder by TUNESMITH_CACHE"
            )
        given = np.concatenate([self._raws.keys, np.frombuffer(raws, np.uint8).reshape(-1, KEY_BYTES)])
        order = ascending(given)
        self._raws = Keys(given[order])
        self._places = np.concatenate([self._places, places])[order]

    def compute(self, inputs: Batch) -> list[torch.Tensor]:
        """What is remembered of each row of a batch."""
        with torch.inference_mode():
            if self.frozen is None:
                pooled = self.inner.features(self.network, inputs).pooled
                assert pooled is not None
                return list(pooled.unbind(0))
            return self.inner.apart(self._state(inputs), inputs)

    def _state(self, inputs: Batch) -> torch.Tensor:
        """Output of the last frozen block."""
        assert self.frozen is not None
        found: list[Any] = []
        hooks = [module.register_forward_hook(lambda _m, _i, output: found.append(output)) for module in self.frozen[-1]]
        try:
            self.inner.features(self.network, inputs)
        finally:
            for hook in hooks:
                hook.remove()
        output = found[-1]
        self._tuple = isinstance(output, tuple)
        state: torch.Tensor = output[0] if self._tuple else output
        return state

    def agrees(self, rows: Sequence[Row], device: torch.device) -> bool:
        """Whether remembered values give the features that the whole network gives, on these rows."""
        inputs = to_device(self.inner.collate([self.inner.encode(row) for row in rows]), device)
        try:
            with torch.inference_mode():
                first = self.inner.features(self.network, inputs)
                values = [value.float() for value in self.compute(inputs)]
                second = self.features(self.network, self._batch(inputs, values))
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):  # a network whose blocks do not follow one another
            return False
        pairs = [(first.pooled, second.pooled)]
        if self.frozen is not None and first.tokens is not None and second.tokens is not None:
            mask = torch.ones_like(first.tokens[..., 0]) if first.mask is None else first.mask
            pairs.append((first.tokens[mask > 0], second.tokens[mask > 0]))
        return all(_close(one, other) for one, other in pairs)

    def _batch(self, inputs: Batch | None, values: Sequence[torch.Tensor]) -> Batch:
        return {"pooled": torch.stack(list(values))} if self.frozen is None else {"inputs": inputs, "state": self.inner.together(values)}

    def _raw(self, row: Row, rng: Random | None) -> bytes:
        found = hashlib.blake2b(digest_size=KEY_BYTES)
        for column in self.columns:
            value = row.get(column)
            if isinstance(value, Picture):
                value = value.key or value.pixels.tobytes()
            elif isinstance(value, np.ndarray):  # of which repr leaves most out
                value = value.tobytes()
            found.update(repr((type(value).__name__, value)).encode())
        if rng is not None:
            copy = Random()
            copy.setstate(rng.getstate())
            found.update(str(copy.random()).encode())
        return found.digest()

    def pooled(self, rows: Iterable[Row], path: Path) -> npt.NDArray[np.float32]:
        """The remembered features of rows as one array in a file at `path`: (rows, width), memory-mapped.

        In the store they lie in the order in which they were computed, in several files.

        Args:
            rows: remembered ones, without augmentation.
            path: to be written.

        Raises:
            KeyError: a row was not remembered.
            OutputError: the disk is full.
        """
        assert self.frozen is None, "the values of frozen blocks are no features"
        width = 0
        with disk_errors(path), path.open("wb") as handle:
            for row in rows:
                values = self._value(row, None)
                width = len(values)
                handle.write(values.data)
        return np.memmap(path, np.float32, mode="r").reshape(-1, width)

    def _value(self, row: Row, rng: Random | None) -> npt.NDArray[np.float32]:
        known = self._raws.find(self._raw(row, rng))
        if known is None:
            raise KeyError("a row that was not remembered")
        return self.store.at(*self._places[known].tolist())

    # The contract

    def encode(self, row: Row, rng: Random | None = None) -> Encoded:
        value = torch.from_numpy(np.array(self._value(row, None if self.still else rng)))
        return {"value": value} if self.frozen is None else {"value": value, "item": self.inner.encode(row, rng)}

    def collate(self, items: Sequence[Encoded]) -> Batch:
        inputs = None if self.frozen is None else self.inner.collate([item["item"] for item in items])
        return self._batch(inputs, [item["value"] for item in items])

    def features(self, network: nn.Module, batch: Batch) -> Features:
        if self.frozen is None:
            return Features(pooled=batch["pooled"])
        with self._answering(batch["state"]):
            return self.inner.features(network, batch["inputs"])

    @contextlib.contextmanager
    def _answering(self, state: torch.Tensor) -> Iterator[None]:
        """The frozen blocks answer with the remembered values instead of running."""
        answer = (state,) if self._tuple else state
        assert self.frozen is not None
        modules = [module for block in self.frozen for module in block]
        for module in modules:
            module.__dict__["forward"] = lambda *_a, **_k: answer
        try:
            yield
        finally:
            for module in modules:
                del module.__dict__["forward"]


def _close(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return False
    return bool(torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * float(one.abs().max())))


def callables(block: nn.Module) -> Iterator[nn.Module]:
    """The modules of a block that are called: itself, or what a plain list of modules holds."""
    if isinstance(block, nn.ModuleList):
        for inner in block:
            yield from callables(inner)
    elif not isinstance(block, nn.ParameterList):
        yield block


def computation(model: Model, blocks: int | None) -> str:
    """Checksum of what computes the remembered values: frozen weights, architecture, preprocessing."""
    network = model._bare[0]
    parts = [network] if blocks is None else model.blocks()[:blocks]
    settings = {key: value for key, value in model.backbone.settings().items() if key not in PLACES}
    found = hashlib.blake2b(digest_size=KEY_BYTES)
    config: Any = getattr(network, "config", None)
    architecture = str(sorted(config.to_dict().items(), key=str)) if hasattr(config, "to_dict") else ""
    told = [model.backbone.name, torch.__version__, blocks, json.dumps(settings, sort_keys=True, default=str), architecture, repr(network)]
    found.update(repr(told).encode())
    for part in parts:
        for tensor in itertools.chain(part.parameters(), part.buffers()):
            found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def digest(value: Any) -> bytes:
    """Checksum of a nested value of mappings, lists, tensors, arrays and plain values."""
    found = hashlib.blake2b(digest_size=KEY_BYTES)
    _add(found.update, value)
    return found.digest()


def _add(update: Callable[[Any], None], value: Any) -> None:
    if isinstance(value, Mapping):
        for key in sorted(value):
            update(f"{key}:".encode())
            _add(update, value[key])
    elif isinstance(value, torch.Tensor):
        _add(update, value.detach().cpu().numpy())
    elif isinstance(value, np.ndarray):
        update(f"{value.dtype}{value.shape}".encode())
        update(np.ascontiguousarray(value).data)
    elif isinstance(value, list | tuple):
        update(f"{len(value)}[".encode())
        for item in value:
            _add(update, item)
    else:
        update(f"{type(value).__name__}{value!r};".encode())
