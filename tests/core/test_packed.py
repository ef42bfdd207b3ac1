"""Packed products against the layers themselves, and that nothing of them stays."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
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


def patched(network: nn.Module) -> set[str]:
    """Names of the modules whose forward is replaced."""
    return {name for name, module in network.named_modules() if "forward" in module.__dict__}


def vectors(network: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return found


@pytest.mark.parametrize("act", ["gelu", "relu", "gelu_new"])
def test_a_bert_gives_what_it_gave(act: str) -> None:
    network = bert(hidden_act=act)
    ids, mask = torch.randint(0, 50, (5, 33)), torch.ones(5, 33, dtype=torch.long)
    mask[2, 20:] = 0
    with torch.inference_mode():
        expected = network(input_ids=ids, attention_mask=mask).last_hidden_state
        with packed(network):
            layer = "encoder.layer.0."
            expected_patches = {layer + name for name in ("attention.self.query", "attention.output.dense", "output.dense")}
            assert expected_patches < patched(network), "something was not packed"
            assert (layer + "intermediate" in patched(network)) == (act == "gelu"), "the two at once, or the layer alone"
            assert (layer + "intermediate.dense" in patched(network)) == (act != "gelu")
            found = network(input_ids=ids, attention_mask=mask).last_hidden_state
        again = network(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(again, expected)
    assert not patched(network)


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
        assert not patched(network)
    layer = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64)).eval()
    seen: list[int] = []
    layer[0].register_forward_hook(lambda *_: seen.append(1))
    with torch.inference_mode(), packed(layer):
        assert patched(layer) == {"1"}
        layer(torch.randn(2, 64))
    assert seen == [1]


def test_an_error_within_leaves_the_layers_as_they_were() -> None:
    network = bert()

    def failing() -> None:
        with packed(network):
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert not patched(network)


def test_two_uses_at_once_do_not_mix_their_texts() -> None:
    network = bert()
    texts = [torch.randint(0, 50, (3, 12 + i)) for i in range(8)]
    expected = [vectors(network, ids) for ids in texts]
    with packed(network), ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(vectors, [network] * 40, texts * 5), expected * 5, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that take turns so often that each place of a pass is met by another's beginning or end."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_many_short_uses_at_once_give_what_the_network_gives(hasty: None) -> None:
    network = bert(hidden_size=32, num_hidden_layers=2, intermediate_size=32)
    texts = [torch.randint(0, 50, (1, 2 + i)) for i in range(3)]
    expected = [vectors(network, ids) for ids in texts]
    begin = threading.Barrier(3)

    def wrong(place: int) -> int:
        begin.wait()
        count = 0
        for _ in range(200):
            with packed(network) if place else nullcontext():  # one thread packs nothing, the others come and go
                count += not torch.allclose(vectors(network, texts[place]), expected[place], rtol=1e-4, atol=1e-5)
        return count

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(wrong, range(3))) == [0, 0, 0]
    assert not patched(network)


def test_what_ends_first_leaves_the_other_packed() -> None:
    network = bert()
    with packed(network):
        within = patched(network)
        with packed(network):
            assert patched(network) == within
        assert patched(network) == within
        with packed(network.encoder):  # a part of it, which has nothing left to pack
            pass
        assert patched(network) == within
    assert within
    assert not patched(network)


def test_gradients_autocast_and_other_numbers_are_the_networks_own() -> None:
    network = bert(num_hidden_layers=1, hidden_dropout_prob=0.0)
    ids = torch.randint(0, 50, (2, 9))

    def gradient() -> torch.Tensor:
        network.zero_grad()
        network(input_ids=ids).last_hidden_state.sum().backward()
        found = network.encoder.layer[0].intermediate.dense.weight.grad
        assert found is not None
        return found.clone()

    def half() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return vectors(network, ids)

    expected, expected_half = gradient(), half()
    with packed(network):
        assert torch.equal(gradient(), expected)
        assert torch.equal(half(), expected_half)
        network.encoder.double()
        hidden = torch.randn(2, 9, 64, dtype=torch.float64)
        with torch.inference_mode():
            found = network.encoder(hidden).last_hidden_state
    with torch.inference_mode():
        assert torch.equal(found, network.encoder(hidden).last_hidden_state)


class Crossed(nn.Module):
    """Projections of two inputs, or of one that changes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(32, 32) for _ in range(3))

    def forward(self, one: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        query = self.query(one)
        if other is None:
            other = one.add_(1)
        return torch.cat([query, self.key(other), self.value(other)])


@pytest.mark.parametrize("same", [False, True], ids=["two inputs", "one that changes"])
def test_projections_are_taken_together_only_where_their_input_is_one(same: bool) -> None:
    torch.manual_seed(0)
    network = Crossed().eval()
    inputs = [[torch.randn(3, 32) for _ in range(1 if same else 2)] for _ in range(3)]
    with torch.no_grad():
        expected = [network(*(x.clone() for x in given)) for given in inputs]
        with packed(network):
            assert patched(network) == {"query", "key", "value"}
            for given, wanted in zip(inputs, expected, strict=True):
                torch.testing.assert_close(network(*(x.clone() for x in given)), wanted, rtol=1e-4, atol=1e-5)
