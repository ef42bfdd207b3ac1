"""Pictures and their captions in one space: a picture lies nearer to its own captions than to any others.

    {"image": "photos/17.jpg", "text": "a red bus on a road"}
    -> {"similarity": 0.31, "image_vector": [0.02, ...], "text_vector": [0.05, ...]}        of length 1; similarity is their cosine

Losses: `infonce` (CLIP: Radford et al. 2021), cross-entropy of each picture among the captions of its batch and of each caption among its
pictures, halved; `sigmoid` (SigLIP: Zhai et al. 2023), one decision for each pair, divided by the rows. The other rows of a batch are what
a row is told apart from, so a batch is never computed in pieces, and larger batches are harder and better. Pairs of a picture with
another of its own captions are neither right nor wrong: they are left out. Rows need no label, as they are scored by which picture they
show (a column named as label tells things apart instead, where one thing has several pictures).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import numpy.typing as npt

from tunesmith.core.arrays import Floats, Outputs
from tunesmith.core.contracts import Backbone, Batch, Metrics, Prediction, Row, Task
from tunesmith.core.errors import BackboneError, DataError
from tunesmith.evaluate.retrieval import RETRIEVAL, RetrievalScores, RetrievalStatistic
from tunesmith.tasks._pooled import cell

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tunesmith.core.model import Model
    from tunesmith.core.outcomes import Truth

START = {"infonce": (1 / 0.07, None), "sigmoid": (10.0, -10.0)}
"""Scale and bias to start from, as in the papers."""


@final
@dataclass(frozen=True)
class Contrastive(Task):
    """Pictures and captions in one space, for retrieval and zero-shot classification; rows need no label."""

    name: ClassVar[str] = "contrastive"
    answers: ClassVar[str] = "pairs"
    needs: ClassVar[tuple[str, ...]] = ("dual_encoder",)
    labelled: ClassVar[bool] = False
    divides: ClassVar[bool] = False
    label: tuple[str, ...] = field(default=(), metadata={"help": "column whose equal values are one thing; default: the picture"})
    loss_name: Literal["infonce", "sigmoid"] = field(default="infonce", metadata={"help": "infonce (CLIP) or sigmoid (SigLIP)"})
    width: int = field(default=256, metadata={"help": "width of the common space, where the checkpoint brings none"})

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"field 'width' must be at least 1, not {self.width}")

    def meet(self, backbone: Backbone) -> tuple[Contrastive, Backbone]:
        if backbone.repeated is None:
            raise BackboneError(
                f"task 'contrastive' reads pairs of a picture and a text, and {backbone.name} does not; use --modality dual_encoder"
            )
        return dataclasses.replace(self, label=self.label or (backbone.repeated,)), backbone

    def raw(self, row: Row) -> str:
        value = cell(row, self.label[0] if self.label else "image")
        return hashlib.blake2b(value, digest_size=8).hexdigest() if isinstance(value, bytes) else str(value)

    def fit(self, raws: Sequence[str]) -> Contrastive:
        if len(set(raws)) < 2:
            raise DataError("the training rows show one picture only; a caption can then be told apart from no other")
        return self

    def stratum(self, raw: str) -> str:
        return ""

    def target(self, raw: str) -> int:
        """A number of 63 bits that tells pictures apart."""
        return int.from_bytes(hashlib.blake2b(raw.encode(), digest_size=8).digest()) >> 1

    def collate(self, targets: Sequence[int]) -> torch.Tensor:
        import torch

        return torch.tensor(targets, dtype=torch.long)

    def build(self, backbone: Backbone) -> Model:
        from tunesmith.core.model import Model
        from tunesmith.tasks._pairs import ContrastiveHead

        network = backbone.open()
        sides = backbone.sides(network)
        if sides is None:
            raise BackboneError(
                f"task 'contrastive' needs pairs of a picture and a text, and {backbone.name} reads none: --modality dual_encoder"
            )
        return Model(backbone, network, ContrastiveHead(sides, self.width, *START[self.loss_name]))

    def loss(self, model: nn.Module, batch: Batch, phase: str) -> torch.Tensor:
        outputs = model(batch).float()  # (rows, 2, width + 1)
        logits = outputs[:, 0] @ outputs[:, 1].T  # (pictures, texts)
        things = batch["target"]
        return infonce(logits, things) if self.loss_name == "infonce" else pairwise_sigmoid(logits, things)

    def weight(self, batch: Batch, phase: str) -> float:
        return float(len(batch["target"]))

    def decode(self, outputs: Outputs) -> list[Prediction]:
        vectors = _unit(outputs)
        pictures, texts = vectors[:, 0], vectors[:, 1]
        cosines = (pictures * texts).sum(axis=-1)
        found = zip(cosines.tolist(), pictures.tolist(), texts.tolist(), strict=True)
        return [{"similarity": cosine, "image_vector": picture, "text_vector": text} for cosine, picture, text in found]

    def metrics(self) -> Metrics:
        return RetrievalScores()

    def statistic(self, outputs: Outputs, truth: Truth) -> RetrievalStatistic:
        vectors = _unit(outputs)
        return RetrievalStatistic.of(vectors[:, 0], vectors[:, 1], np.asarray(truth))

    def calibrated(self, outputs: Outputs, truth: Truth) -> Contrastive:
        return self

    def calibration(self, outputs: Outputs, truth: Truth, groups: npt.NDArray[Any] | None = None) -> None:
        return None

    def confidence(self, outputs: Outputs) -> None:
        return None

    def directions(self) -> dict[str, str]:
        return dict(RETRIEVAL)

    def baseline(self, raws: Sequence[str]) -> Prediction:
        return {"similarity": 1.0, "image_vector": [1.0], "text_vector": [1.0]}

    def labels(self) -> list[str]:
        return []

    def settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def shown(self, target: int) -> str:
        return f"{target:016x}"

    def render(self, row: Row, prediction: Prediction, target: int) -> str:
        return f"similarity {prediction['similarity']:.3f}"

    def synthetic(self, n: int, seed: int, sample: Callable[[int, Random], dict[str, Any]]) -> list[dict[str, Any]]:
        rng = Random(seed)
        return [{**sample(i % 3, rng), "label": f"thing_{i % 3}"} for i in range(n)]


def _unit(outputs: Outputs) -> Floats:
    """(rows, 2, width) both vectors with length 1, without scale and bias."""
    vectors: Floats = np.asarray(outputs[..., :-1], np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: Floats = vectors / np.maximum(length, np.float32(1e-12))
    return found


def infonce(logits: torch.Tensor, things: torch.Tensor) -> torch.Tensor:
    """Mean of both cross-entropies, summed over rows; pairs of one thing with another row of the same thing are left out.

    Args:
        logits: (pictures, texts); row i and column i belong together.
        things: (rows,) equal for rows of one picture.
    """
    import torch
    from torch.nn import functional as F

    own = torch.arange(len(things), device=logits.device)
    same = (things[:, None] == things) & (own[:, None] != own)
    logits = logits.masked_fill(same, float("-inf"))
    return (F.cross_entropy(logits, own, reduction="sum") + F.cross_entropy(logits.T, own, reduction="sum")) / 2


def pairwise_sigmoid(logits: torch.Tensor, things: torch.Tensor) -> torch.Tensor:
    """-log sigmoid(+-logit) summed over all pairs: + where picture and text belong together; left out as in `infonce`.

    Args:
        logits, things: as for `infonce`.
    """
    import torch
    from torch.nn import functional as F

    own = torch.eye(len(things), dtype=torch.bool, device=logits.device)
    counts = own | (things[:, None] != things)
    signs = torch.where(own, 1.0, -1.0)
    return -(F.logsigmoid(signs * logits) * counts).sum()
