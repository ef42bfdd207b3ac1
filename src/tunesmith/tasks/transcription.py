"""What is said, as text, written token by token by the checkpoint's own decoder (Whisper: Radford et al. 2022).

    {"audio": "LJ001-0002.wav", "text": "in being comparatively modern."}  ->  {"text": "in being comparatively modern.", "confidence": 0.9}

The network is the checkpoint whole, encoder and decoder, so adapters reach both; the head holds no weights. It learns the next token of
the transcript given the ones before (teacher forcing); the loss is the cross-entropy summed over tokens and divided by the characters of
the transcripts and their ends, which are known without the tokenizer and make losses of different tokenizers alike. Transcripts are cut
where the decoder reads no more (448 tokens).

A prediction is what the decoder writes when it takes the likeliest token each time, or by beam search. The confidence is exp of the mean
log-probability of what it wrote; it is not calibrated. Recordings are read 30 s at a time, the windows of a longer one by the encoder one
after the other, which the decoder was not taught: cut them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from tunesmith.core.arrays import Outputs, ragged
from tunesmith.core.contracts import Backbone, Batch, Prediction, Row
from tunesmith.tasks import _spelling
from tunesmith.tasks._transcripts import Transcripts, transcript

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model


@final
@dataclass(frozen=True)
class Transcription(Transcripts):
    """What is said in a recording, written by the checkpoint's own decoder (Whisper)."""

    name: ClassVar[str] = "transcription"
    reads: ClassVar[str] = "decoder"
    label: tuple[str, ...] = field(default=("label",), metadata={"help": "column of transcripts"})
    case: _spelling.Case = field(default="keep", metadata={"help": _spelling.CASE})
    punctuation: _spelling.Punctuation = field(default="keep", metadata={"help": _spelling.PUNCTUATION})
    language: str | None = field(
        default=None, metadata={"help": "spoken language, such as en; tell it to a checkpoint of several languages"}
    )
    translate: bool = field(default=False, metadata={"help": "write English whatever is spoken, where the checkpoint can"})
    beams: int = field(default=1, metadata={"help": "of the search in prediction; 1 takes the likeliest token each time"})
    longest: int = field(default=225, metadata={"help": "tokens of a prediction at most"})

    def __post_init__(self) -> None:
        for name in ("beams", "longest"):
            if getattr(self, name) < 1:
                raise ValueError(f"field '{name}' must be at least 1")

    def meet(self, backbone: Backbone) -> tuple[Transcription, Backbone]:
        whole = backbone.whole()
        whole.with_decoder(self.language, self.translate)
        return self, whole

    def raw(self, row: Row) -> str:
        return transcript(row, self.label[0], self.case, self.punctuation)

    def fit(self, raws: Sequence[str]) -> Transcription:
        return self

    def collate(self, targets: Sequence[str]) -> dict[str, torch.Tensor]:
        """Code points (batch, length), padded by 0, and how many each row has: the tokenizer is the backbone's."""
        import torch

        lengths = torch.tensor([len(text) for text in targets], dtype=torch.long)
        letters = torch.zeros((len(targets), int(lengths.max())), dtype=torch.long)
        for row, text in zip(letters, targets, strict=True):
            row[: len(text)] = torch.tensor(list(map(ord, text)), dtype=torch.long)
        return {"letters": letters, "lengths": lengths}

    def build(self, backbone: Backbone) -> Model:
        from tunesmith.core.model import Model
        from tunesmith.tasks._writing import WritingHead

        decoder = backbone.with_decoder(self.language, self.translate)
        network = decoder.open()
        return Model(decoder, network, WritingHead(decoder, network))

    def loss(self, model: nn.Module, batch: Batch, phase: str) -> torch.Tensor:
        from torch.nn import functional as F

        logits, ids, learned = model(batch)
        return F.cross_entropy(logits[learned].float(), ids[learned], reduction="sum")

    def weight(self, batch: Batch, phase: str) -> float:
        lengths = batch["target"]["lengths"]
        return float(lengths.sum()) + len(lengths)

    def predict(self, model: Model, batch: Batch) -> Outputs:
        """(rows,) of (2,) texts: what was written, and the mean log-probability of its tokens."""
        head: Any = model.head
        ids, sure = head.decoder.write(head.network, model.features(batch), self.beams, self.longest)
        pairs = zip(head.decoder.read(ids), sure, strict=True)
        return ragged([np.asarray([" ".join(text.split()), f"{logp:.6f}"]) for text, logp in pairs])

    def decode(self, outputs: Outputs) -> list[Prediction]:
        return [{"text": str(text), "confidence": math.exp(min(0.0, float(logp)))} for text, logp in outputs]
