"""Packed products against the layers themselves, and that nothing of them stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from tests.contracts.table import TINY, backbone
from torch import nn

from tunesmith.core.packed import packed


def bert(**options: object) -> nn.Module:
    torch.manual_seed(0)
    config = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128, "initializer_range": 0.2}
    return transformers.BertModel(transformers.BertConfig(vocab_size=50, **{**config, **options})).eval()


@pytest.mark.parametrize("act", ["gelu", "relu", "gelu_new"])
def test_a_bert_gives_what_it_gave(act: str) -> None:
    network = bert(hidden_act=act)
    ids, mask = torch.randint(0, 50, (5, 33)), torch.ones(5, 33, dtype=torch.long)
    mask[2, 20:] = 0
    with torch.inference_mode():
        expected = network(input_ids=ids, attention_mask=mask).last_hidden_state
        with packed(network):
            query = network.encoder.layer[0].attention.self.query
            assert "forward" in query.__dict__, "nothing was packed"
            found = network(input_ids=ids, attention_mask=mask).last_hidden_state
        again = network(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(again, expected)
    assert not any("forward" in module.__dict__ for module in network.modules())


@pytest.mark.parametrize("tiny", sorted(TINY))
def test_every_kind_of_network_gives_what_it_gave(checkpoints: Path, tiny: str) -> None:
    from random import Random

    made = backbone(checkpoints, tiny)
    network = made.open().eval()
    batch = made.collate([made.encode(made.sample(code, Random(code))) for code in range(5)])
    with torch.inference_mode():
        expected = made.features(network, batch).pooled
        with packed(network):
            found = made.features(network, batch).pooled
    assert expected is not None
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_network_in_training_and_a_watched_layer_are_left_alone() -> None:
    network = bert()
    with packed(network.train()):
        assert not any("forward" in module.__dict__ for module in network.modules())
    layer = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64)).eval()
    seen: list[int] = []
    layer[0].register_forward_hook(lambda *_: seen.append(1))
    with torch.inference_mode(), packed(layer):
        assert "forward" not in layer[0].__dict__
        assert "forward" in layer[1].__dict__
        layer(torch.randn(2, 64))
    assert seen == [1]


def test_an_error_within_leaves_the_layers_as_they_were() -> None:
    network = bert()

    def failing() -> None:
        with packed(network):
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert not any("forward" in module.__dict__ for module in network.modules())


def test_two_uses_at_once_do_not_mix_their_texts() -> None:
    from concurrent.futures import ThreadPoolExecutor

    network = bert()
    texts = [torch.randint(0, 50, (3, 12 + i)) for i in range(8)]

    def vectors(ids: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state

    expected = [vectors(ids) for ids in texts]
    with packed(network), ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(vectors, texts * 5), expected * 5, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
