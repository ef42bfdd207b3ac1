"""What is said, as text with times: connectionist temporal classification (CTC: Graves et al. 2006).

    {"audio": "LJ001-0002.wav", "text": "in being comparatively modern."}
    -> {"text": "in being comparatively modern.", "confidence": 0.97,
        "words": [{"word": "in", "start": 0.06, "end": 0.14}, {"word": "being", "start": 0.22, "end": 0.38}, ...]}

Each frame says a character or the blank; a transcript is the likeliest character of each frame (best path), repeats and blanks taken out.
A word's time is from where its first character begins to be said to where its last one ends, in seconds; CTC speaks a character in a
short spike, so ends tend to be early by some hundredths of a second. The confidence is exp of the mean log-probability of the frames along
the path: it says how sure the network is of its path, and is not calibrated.

The alphabet is made of the training transcripts (after `_spelling.written`), the blank before it. A checkpoint that brings an alphabet and
a head (Wav2Vec2ForCTC with vocab.json) goes on with both, in its own case; punctuation that it cannot write is then dropped.
Characters of other rows that the alphabet lacks stay in the reference and count as errors.

The loss is summed over rows and divided by target characters, so long clips weigh as much as they tell. A transcript that needs more frames
than its recording has (a character each, and a blank between two equal ones) is refused row by row when the data is read, as its loss is
infinite. What is left is a training row that random changes shortened further: its loss is infinite only then, and counts as 0
(`zero_infinity`).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats, Outputs, ragged
from tunesmith.core.contracts import Backbone, Batch, Prediction, Row
from tunesmith.core.errors import BackboneError, DataError, RowError
from tunesmith.tasks import _spelling
from tunesmith.tasks._tokens import width_of
from tunesmith.tasks._transcripts import Transcripts, transcript

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model

BLANK = 0


@final
@dataclass(frozen=True)
class Ctc(Transcripts):
    """What is said in a recording, with the time of each word (CTC)."""

    name: ClassVar[str] = "ctc"
    reads: ClassVar[str] = "tokens"
    label: tuple[str, ...] = field(default=("label",), metadata={"help": "column of transcripts"})
    case: _spelling.Case = field(default="lower", metadata={"help": _spelling.CASE})
    punctuation: _spelling.Punctuation = field(default="keep", metadata={"help": _spelling.PUNCTUATION})
    alphabet: Literal["auto", "rows"] = field(
        default="auto", metadata={"help": "auto: that of the checkpoint where it brings one; rows: always that of the training transcripts"}
    )
    characters: tuple[str, ...] = field(default=(), metadata={"help": "the alphabet without the blank; read from the training rows"})
    dropout: float = field(default=0.1, metadata={"help": "share of features dropped before the head"})

    def __post_init__(self) -> None:
        if any(len(character) != 1 for character in self.characters) or len(set(self.characters)) < len(self.characters):
            raise ValueError("field 'characters' holds single characters, each once")

    def meet(self, backbone: Backbone) -> tuple[Ctc, Backbone]:
        backbone = backbone.whole()
        brought = backbone.brought() if self.alphabet == "auto" and not self.characters else None
        if brought is None or brought.blank is None:
            return self, backbone
        characters = tuple(name for name in brought.names if len(name) == 1)
        letters = "".join(characters)
        case: _spelling.Case = "upper" if letters.isupper() else "lower" if letters.islower() else "keep"
        return dataclasses.replace(self, characters=characters, case=case, punctuation="drop"), backbone

    def raw(self, row: Row) -> str:
        return transcript(row, self.label[0], self.case, self.punctuation, self.characters)

    def check(self, row: Row, backbone: Backbone) -> None:
        frames = backbone.frames(row)
        text = self.raw(row)
        needed = _spelling.least_frames(list(map(ord, text)))
        if frames is not None and frames < needed:
            seconds = backbone.frame_seconds
            length = f" ({frames * seconds:.2f} s)" if seconds else ""
            raise RowError(
                f"the transcript of {len(text)} characters needs {needed} frames and the recording has {frames}{length}; do they belong "
                "together?",
                self.label[0],
            )

    def fit(self, raws: Sequence[str]) -> Ctc:
        counts: Counter[str] = Counter()
        for raw in raws:
            counts.update(raw)
        if self.characters:
            lacking = {character: count for character, count in counts.items() if character not in self.characters}
            if len(lacking) == len(counts):
                raise DataError(
                    f"the alphabet of the checkpoint ({''.join(self.characters)}) holds no character of the training transcripts; make one "
                    "of the transcripts with --set task.alphabet=rows"
                )
            return self
        return dataclasses.replace(self, characters=tuple(sorted(counts)))

    @property
    def _places(self) -> dict[str, int]:
        cached: dict[str, int] | None = self.__dict__.get("_positions")
        if cached is None:
            cached = {character: i for i, character in enumerate(self.characters, start=BLANK + 1)}
            self.__dict__["_positions"] = cached
        return cached

    def collate(self, targets: Sequence[str]) -> dict[str, torch.Tensor]:
        import torch

        ids = [[self._places[character] for character in text if character in self._places] for text in targets]
        lengths = torch.tensor([len(each) for each in ids], dtype=torch.long)
        padded = torch.full((len(ids), max(1, int(lengths.max()))), BLANK, dtype=torch.long)
        for row, each in zip(padded, ids, strict=True):
            row[: len(each)] = torch.tensor(each, dtype=torch.long)
        return {"ids": padded, "lengths": lengths}

    def build(self, backbone: Backbone) -> Model:
        import torch

        from tunesmith.core.model import Model
        from tunesmith.tasks._alignment import AlignmentHead

        network = backbone.open()
        head = AlignmentHead(width_of(backbone, network, self.name), 1 + len(self.characters), self.dropout)
        brought = backbone.brought() if self.alphabet == "auto" else None
        if brought is not None and brought.blank is not None and set(self.characters) <= set(brought.names):
            places = [brought.blank, *map(brought.names.index, self.characters)]
            weight, bias = brought.weights()
            if weight.shape[1] != head.out.in_features:
                raise BackboneError(f"the checkpoint's head reads {weight.shape[1]} features, and its network gives {head.out.in_features}")
            with torch.no_grad():
                head.out.weight.copy_(weight[places])
                head.out.bias.copy_(bias[places])
        return Model(backbone, network, head)

    def loss(self, model: nn.Module, batch: Batch, phase: str) -> torch.Tensor:
        from torch.nn import functional as F

        logp, frames = model(batch)  # (batch, frames, symbols), (batch,)
        ids, lengths = batch["target"]["ids"], batch["target"]["lengths"]
        return F.ctc_loss(logp.transpose(0, 1), ids, frames, lengths, BLANK, reduction="sum", zero_infinity=True)

    def weight(self, batch: Batch, phase: str) -> float:
        return float(batch["target"]["lengths"].clamp(min=1).sum())

    def one_pass(self, model: Model, batch: Batch) -> Outputs:
        logp, frames = model(batch)
        return ragged([row[:count].detach().cpu().numpy() for row, count in zip(logp, frames.tolist(), strict=True)])

    def predict(self, model: Model, batch: Batch) -> Outputs:
        """(rows,) of (runs, 4) float32: of each stretch of frames that say the same, the symbol, start and end in seconds (frames where the
        backbone tells no seconds), and the mean log-probability."""
        logp, frames = model(batch)
        best, symbols = (tensor.detach().cpu().numpy() for tensor in logp.max(dim=-1))  # each (batch, frames)
        seconds = model.backbone.frame_seconds or 1.0
        rows = zip(best, symbols, frames.tolist(), strict=True)
        return ragged([runs(said[:count], sure[:count], seconds) for sure, said, count in rows])

    def decode(self, outputs: Outputs) -> list[Prediction]:
        return [self._decoded(row) for row in outputs]

    def _decoded(self, row: Floats) -> Prediction:
        words: list[dict[str, Any]] = []
        said = [(self.characters[int(symbol) - 1], start, end) for symbol, start, end, _ in row.tolist() if int(symbol) != BLANK]
        fresh = True
        for character, start, end in said:
            if character == " ":
                fresh = True
            elif fresh:
                words.append({"word": character, "start": round(start, 3), "end": round(end, 3)})
                fresh = False
            else:
                words[-1]["word"] += character
                words[-1]["end"] = round(end, 3)
        return {"text": " ".join(word["word"] for word in words), "words": words, "confidence": float(_sure(row))}

    def example(self) -> Prediction:
        return {"text": "a", "words": [{"word": "a", "start": 0.0, "end": 0.1}], "confidence": 0.5}


def runs(symbols: npt.NDArray[np.int64], logp: Floats, seconds: float) -> Floats:
    """Stretches of frames that say the same: (runs, 4) symbol, start, end, mean log-probability.

    Args:
        symbols: (frames,) what each frame says.
        logp: (frames,) how sure it is.
        seconds: from one frame to the next.

    Example:
        >>> runs(np.array([0, 3, 3, 0]), np.zeros(4, np.float32), 0.5).tolist()
        [[0.0, 0.0, 0.5, 0.0], [3.0, 0.5, 1.5, 0.0], [0.0, 1.5, 2.0, 0.0]]
    """
    if not len(symbols):
        return np.zeros((0, 4), np.float32)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(symbols)) + 1])
    ends = np.append(starts[1:], len(symbols))
    means = np.add.reduceat(logp.astype(np.float64), starts) / (ends - starts)
    return np.stack([symbols[starts], starts * seconds, ends * seconds, means], axis=1).astype(np.float32)


def _sure(row: Floats) -> float:
    """exp of the mean log-probability of a row's frames."""
    lengths = (row[:, 2] - row[:, 1]).astype(np.float64)
    return float(np.exp(min(0.0, float((row[:, 3] * lengths).sum() / lengths.sum())))) if lengths.sum() else 0.0
