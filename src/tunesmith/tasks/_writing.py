"""The head of tasks whose network writes: it has no weights, the decoder is the network's own."""

from __future__ import annotations

import torch
from torch import nn

from tunesmith.core.contracts import Decoder, Features


class WritingHead(nn.Module):
    """Runs the network's decoder on the features of its encoder.

    Args:
        decoder: knows how.
        network: as `decoder.open` gave it; it stays a part of the model and is none of the head.
    """

    def __init__(self, decoder: Decoder, network: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self._network = [network]  # in a list, so that it is not registered a second time

    @property
    def network(self) -> nn.Module:
        """The network whose decoder runs."""
        return self._network[0]

    def forward(self, features: Features) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the decoder expects behind the prompt, (batch, prompt, vocabulary); with targets, what it expects at each place of them.

        Returns:
            Of targets: logits (batch, length, vocabulary), the ids that come next (batch, length), and which of them are to be learned.
        """
        if features.target is None:
            return self.decoder.logits(self.network, features, None)
        texts = [
            "".join(map(chr, row[:count]))
            for row, count in zip(features.target["letters"].tolist(), features.target["lengths"].tolist(), strict=True)
        ]
        ids = self.decoder.spell(texts)
        longest, device = max(map(len, ids)), features.target["letters"].device
        padded = torch.tensor([each + each[-1:] * (longest - len(each)) for each in ids], device=device)
        place = torch.arange(longest - 1, device=device)
        lengths = torch.tensor([len(each) for each in ids], device=device)
        learned = (place >= self.decoder.prompt - 1) & (place < lengths[:, None] - 1)
        return self.decoder.logits(self.network, features, padded[:, :-1]), padded[:, 1:], learned
