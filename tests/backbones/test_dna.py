"""DNA through tiny genomic checkpoints, whose own tokenizers and networks are the reference, and through the small encoder."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tests.backbones.dna_checkpoints import HYENA
from torch.nn import functional as F

from tunesmith.backbones import _dna_tokens
from tunesmith.backbones.dna import Dna
from tunesmith.core.dna import reverse_complement
from tunesmith.core.errors import BackboneError, RowError
from tunesmith.core.registry import create
from tunesmith.engine.frozen import Frozen

SEQUENCES = ["ACGTTGCAAC", "ATGACCNATGGACT", "TTTTTGGGGGCCCCCAAAAA", "ACGTA"]
KINDS = ["dna", "dnabert", "nucleotide_transformer", "hyena"]


def made(checkpoints: Path, kind: str, **options: Any) -> Dna:
    backbone: Dna = create("backbones", "dna", {"source": str(checkpoints / kind), **options})
    return backbone


def pooled(backbone: Dna, network: torch.nn.Module, sequences: list[str]) -> torch.Tensor:
    batch = backbone.collate([backbone.encode({"sequence": text}) for text in sequences])
    with torch.no_grad():
        found = backbone.features(network, batch).pooled
    assert found is not None
    return found


def test_overlapping_runs_are_those_of_dnabert(checkpoints: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints / "dnabert")
    backbone = made(checkpoints, "dnabert")
    assert backbone.family.tokens.kind == "kmer"
    for text in SEQUENCES:
        spaced = " ".join(text[i : i + 3] for i in range(len(text) - 2))
        assert backbone.encode({"sequence": text})["strands"][0] == tokenizer(spaced)["input_ids"]


def test_runs_side_by_side_are_those_of_the_nucleotide_transformer(checkpoints: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints / "nucleotide_transformer")
    backbone = made(checkpoints, "nucleotide_transformer")
    for text in SEQUENCES:
        assert backbone.encode({"sequence": text})["strands"][0] == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("kind", ["dnabert", "nucleotide_transformer"])
def test_features_are_the_mean_of_what_transformers_gives(checkpoints: Path, kind: str) -> None:
    backbone = made(checkpoints, kind)
    network = transformers.AutoModel.from_pretrained(checkpoints / kind).eval()
    found = pooled(backbone, backbone.open().eval(), SEQUENCES)
    for row, text in zip(found, SEQUENCES, strict=True):
        ids = torch.tensor([backbone.encode({"sequence": text})["strands"][0]])
        with torch.no_grad():
            expected = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(0)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5)


def test_every_weight_of_the_nucleotide_transformer_is_read(checkpoints: Path) -> None:
    backbone = made(checkpoints, "nucleotide_transformer")
    network = backbone.open().train()
    batch = backbone.collate([backbone.encode({"sequence": text}) for text in SEQUENCES])
    found = backbone.features(network, batch).pooled
    assert found is not None
    found.square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_hyena_equals_its_formulas_with_a_convolution_by_hand(checkpoints: Path) -> None:
    """One block after the other, filters by the formula of the paper, and the long convolution as a sum over its taps."""
    backbone = made(checkpoints, "hyena")
    network = backbone.open().eval()
    weights = {name: tensor.double() for name, tensor in network.state_dict().items()}
    ids = backbone.encode({"sequence": "ACGTTGCAN"})["strands"][0]
    assert ids == [7, 8, 9, 10, 10, 9, 8, 7, 11, 1]
    x = weights["embeddings.word_embeddings.weight"][ids]  # (length, width)
    for i in range(2):
        block = {name.removeprefix(f"layers.{i}."): tensor for name, tensor in weights.items() if name.startswith(f"layers.{i}.")}
        x = x + hyena(block, F.layer_norm(x, (16,), block["norm1.weight"], block["norm1.bias"]))
        y = F.layer_norm(x, (16,), block["norm2.weight"], block["norm2.bias"])
        y = F.gelu(y @ block["mlp.fc1.weight"].T + block["mlp.fc1.bias"], approximate="tanh")
        x = x + y @ block["mlp.fc2.weight"].T + block["mlp.fc2.bias"]
    expected = F.layer_norm(x, (16,), weights["ln_f.weight"], weights["ln_f.bias"]).mean(0)
    torch.testing.assert_close(pooled(backbone, network, ["ACGTTGCAN"])[0], expected.float(), rtol=1e-4, atol=1e-5)


def hyena(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The operator of order 2 on one sequence, (length, 16)."""
    length, width = x.shape
    z = x @ weights["mixer.in_proj.weight"].T + weights["mixer.in_proj.bias"]
    short = weights["mixer.short_filter.weight"][:, 0]  # (3 * width, 3 taps), the last on the letter itself
    smooth = torch.stack([sum(short[:, 2 - lag] * z[t - lag] for lag in range(3) if t >= lag) for t in range(length)])
    x0, x1, v = (smooth + weights["mixer.short_filter.bias"]).split(width, dim=1)
    places, lasts = weights["mixer.filter_fn.pos_emb.z"][0, :length], HYENA["max_seq_len"] - 1
    angle = torch.arange(length).double() * 2 * math.pi / HYENA["max_seq_len"]
    for band, frequency in ((0, 1e-4), (1, 1.0)):
        torch.testing.assert_close(places[:, 1 + band], torch.cos(frequency * angle), rtol=0, atol=1e-5)
    h = places
    for layer in (0, 2, 4):
        h = h @ weights[f"mixer.filter_fn.implicit_filter.{layer}.weight"].T + weights[f"mixer.filter_fn.implicit_filter.{layer}.bias"]
        h = torch.sin(weights["mixer.filter_fn.implicit_filter.1.freq"] * h)
    h = h @ weights["mixer.filter_fn.implicit_filter.6.weight"].T
    speed = torch.linspace(math.log(100) / 1.5, math.log(100) / 0.3, width).double()
    h = h * (torch.exp(-torch.arange(length)[:, None] / lasts * speed) + 0.05)
    gated = v * x1
    long = torch.stack([sum(h[lag] * gated[t - lag] for lag in range(t + 1)) for t in range(length)])
    y = (long + gated * weights["mixer.filter_fn.bias"]) * x0
    return y @ weights["mixer.out_proj.weight"].T + weights["mixer.out_proj.bias"]


def test_a_checkpoint_with_own_code_alone_is_refused_and_the_code_not_run(checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / "strange"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "strange", "auto_map": {"AutoModel": "modeling.Strange"}}))
    (folder / "modeling.py").write_text("raise SystemExit('executed')")
    with pytest.raises(BackboneError, match=r"brings code of its own .* never executed"):
        made(tmp_path, "strange").open()


@pytest.mark.parametrize("kind", KINDS)
def test_average_gives_a_sequence_and_its_reverse_complement_the_same(checkpoints: Path, kind: str) -> None:
    both = made(checkpoints, kind, reverse_complement="average")
    network = both.open().eval()
    turned = [reverse_complement(text) for text in SEQUENCES]
    found = pooled(both, network, SEQUENCES)
    torch.testing.assert_close(found, pooled(both, network, turned), rtol=0, atol=1e-6)
    one = made(checkpoints, kind)
    by_hand = (pooled(one, network, SEQUENCES) + pooled(one, network, turned)) / 2
    torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=1e-5)
    assert float((pooled(one, network, SEQUENCES) - pooled(one, network, turned)).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_its_batch(checkpoints: Path, kind: str) -> None:
    for options in ({}, {"reverse_complement": "average"}):
        backbone = made(checkpoints, kind, **options)
        network = backbone.open().eval()
        single = torch.cat([pooled(backbone, network, [text]) for text in SEQUENCES])
        torch.testing.assert_close(pooled(backbone, network, SEQUENCES), single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_moved_gives_the_same(checkpoints: Path, kind: str, tmp_path: Path) -> None:
    backbone = made(checkpoints, kind)
    network = backbone.open().eval()
    backbone.save(network, network.state_dict(), tmp_path / "copy")
    again = create("backbones", "dna", json.loads(json.dumps(backbone.moved(tmp_path / "copy").settings())))
    reloaded = again.open().eval()
    assert again.origin()["missing"] == 0
    assert torch.equal(pooled(again, reloaded, SEQUENCES), pooled(backbone, network, SEQUENCES))


def test_training_turns_half_of_the_rows_round_where_asked(checkpoints: Path) -> None:
    def seen(**options: Any) -> Counter[str]:
        backbone = made(checkpoints, "dna", **options)
        letters = " ?ACGTN"
        rng = Random(0)
        ids = (backbone.encode({"sequence": "AACAG"}, rng)["strands"][0] for _ in range(400))
        return Counter("".join(letters[i] for i in each) for each in ids)

    assert seen() == {"AACAG": 400}
    for mode in ("augment", "average"):
        counts = seen(reverse_complement=mode)
        assert set(counts) == {"AACAG", "CTGTT"}
        assert 150 < counts["CTGTT"] < 250
    hidden = seen(hide=0.25)
    share = sum(text.count("N") * count for text, count in hidden.items()) / 2000
    assert share == pytest.approx(0.25, abs=0.04)


def test_augments_follows_from_the_fields(checkpoints: Path) -> None:
    assert not made(checkpoints, "dna").augments
    assert made(checkpoints, "dnabert", reverse_complement="augment").augments
    assert Dna().augments
    assert not Dna(hide=0.0).augments


def test_rows_of_both_strands_come_apart_and_together(checkpoints: Path) -> None:
    backbone = made(checkpoints, "dnabert", reverse_complement="average")
    network = backbone.open().eval()
    batch = backbone.collate([backbone.encode({"sequence": text}) for text in SEQUENCES])
    frozen = Frozen(backbone, network, 2, None)  # type: ignore[arg-type]
    assert frozen.agrees([{"sequence": text} for text in SEQUENCES], torch.device("cpu"))
    state = torch.randn(8, batch["attention_mask"].shape[2], 5) * batch["attention_mask"].flatten(0, 1)[..., None]
    parts = backbone.apart(state, batch)
    assert len(parts) == 4
    torch.testing.assert_close(backbone.together(parts), state)


def test_bad_letters_are_named_with_their_place() -> None:
    backbone = Dna()
    for text, told in [
        ("ACGX*T", "letter 'X' at position 4 is none of DNA (A, C, G, T, N), and 1 more of *, X"),
        ("AC-GT", "letter '-' at position 3 is none of DNA (A, C, G, T, N)"),
        ("", "the sequence is empty"),
        (None, "the sequence is empty"),
        (" \n", "the sequence is empty"),
        ("NNNN", "the sequence holds nothing but N (4 letters)"),
    ]:
        for read in (backbone.check, backbone.encode, backbone.usable):
            with pytest.raises(RowError) as error:
                read({"sequence": text})
            assert str(error.value) == f"column 'sequence': {told}"
    assert backbone.encode({"sequence": "acgu\nTT"}) == backbone.encode({"sequence": "ACGTTT"})
    assert backbone.encode({"sequence": "ARC"}) == backbone.encode({"sequence": "ANC"})


def test_remarks_are_counted() -> None:
    assert Dna().check({"sequence": "ACGT"}) is None
    assert "read as N" in str(Dna().check({"sequence": "ACRGT"}))
    assert "more than half" in str(Dna().check({"sequence": "ANNN"}))
    assert Dna(max_length=8).check({"sequence": "ACGT" * 2}) is None
    assert "longer than 8 tokens" in str(Dna(max_length=8).check({"sequence": "ACGT" * 2 + "A"}))


def test_what_is_read_of_a_long_sequence_is_its_beginning(checkpoints: Path) -> None:
    for kind, letters in (("dna", 16), ("dnabert", 16), ("nucleotide_transformer", 45), ("hyena", 15)):
        backbone = made(checkpoints, kind, max_length=16)
        text = "".join(Random(1).choice("ACGT") for _ in range(5000))
        ids = backbone.encode({"sequence": text})["strands"][0]
        assert len(ids) == 16
        assert ids == backbone.encode({"sequence": text[:letters]})["strands"][0]


def test_more_tokens_than_positions_are_refused(checkpoints: Path) -> None:
    with pytest.raises(BackboneError, match="has positions for 64 tokens"):
        made(checkpoints, "dnabert", max_length=80).open()


def test_own_runs_of_letters_are_numbered_apart() -> None:
    tokens = _dna_tokens.own("kmer", 3, 1, ())
    assert tokens.size == 64 + 5 + 2
    ids = tokens.body("ACGTACG")
    assert len(ids) == 5
    assert ids[0] == ids[4]
    assert len(set(ids)) == 4
    assert tokens.body("ACN") == [_dna_tokens.UNKNOWN]
    assert len(_dna_tokens.own("kmer", 3, 3, ()).body("ACGTACGT")) == 4


def test_pieces_are_found_on_the_training_rows_and_kept() -> None:
    rng = Random(0)
    rows = [{"sequence": "".join(rng.choice(["TATAAA", "CG", "N", "A"]) for _ in range(20))} for _ in range(200)]
    backbone = Dna(tokenizer="bpe", hidden=16, heads=2)
    fitted = backbone.fit(lambda: iter(rows), 0)
    assert fitted.merges is not None
    pieces = {merge.replace(" ", "") for merge in fitted.merges}
    assert {"TATAAA", "CG"} <= pieces
    assert not any("N" in piece for piece in pieces)
    again = create("backbones", "dna", json.loads(json.dumps(fitted.settings())))
    one, other = (each.encode({"sequence": "TATAAACGNCGA"})["strands"][0] for each in (fitted, again))
    assert one == other
    assert len(one) < 12
    assert fitted.fit(lambda: iter(()), 0) is fitted


def test_pieces_are_those_of_a_slow_search() -> None:
    rng = Random(1)
    texts = ["".join(rng.choices("ACGTN", [5, 3, 2, 6, 1], k=rng.randint(0, 120))) for _ in range(150)]
    words = [list(part) for text in texts for part in text.split("N")]
    expected = []
    while len({pair.replace(" ", "") for pair in expected}) < 45:
        counts = Counter(pair for word in words for pair in itertools.pairwise(word))
        left, right = min(counts, key=lambda pair: (-counts[pair], pair))
        expected.append(f"{left} {right}")
        for word in words:
            i = 0
            while i < len(word) - 1:
                if word[i : i + 2] == [left, right]:
                    word[i : i + 2] = [left + right]
                i += 1
    assert list(_dna_tokens.found_pieces(texts, 50)) == expected


def test_small_encoder_sees_the_other_place_of_a_motif() -> None:
    torch.manual_seed(0)
    backbone = Dna(hidden=16, heads=2)
    network = backbone.open().eval()
    one, other = pooled(backbone, network, ["TATAAACCCC", "CCCCTATAAA"])
    assert not torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"columns": ["a", "b"]}, "one column of DNA"),
        ({"k": 9}, "'k' must be from 1 to 8"),
        ({"kernel": 4}, "'kernel' must be odd"),
        ({"hidden": 30}, "'hidden' .30. must be a multiple of field 'heads'"),
        ({"hide": 1.0}, "'hide'"),
        ({"max_length": 2}, "'max_length'"),
        ({"stride": 0}, "'stride'"),
    ],
)
def test_wrong_fields_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Dna(**{key: tuple(value) if isinstance(value, list) else value for key, value in options.items()})


def test_a_tokenizer_that_a_checkpoint_does_not_have_is_refused(checkpoints: Path) -> None:
    with pytest.raises(BackboneError, match="does not hold single letters"):
        _ = made(checkpoints, "dnabert", tokenizer="character").family.tokens
    with pytest.raises(BackboneError, match="all runs of 5 letters"):
        _ = made(checkpoints, "dnabert", k=5).family.tokens


def test_sizes_count_both_strands(checkpoints: Path) -> None:
    rows = [{"sequence": text} for text in SEQUENCES]
    assert np.array_equal(made(checkpoints, "dna").sizes(rows), [len(text) for text in SEQUENCES])
    assert np.array_equal(made(checkpoints, "dna", reverse_complement="average").sizes(rows), [2 * len(text) for text in SEQUENCES])


def test_operations_of_hyena_are_counted_before_a_run(checkpoints: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    backbone = made(checkpoints, "hyena")
    network = backbone.open().eval()
    batch = backbone.collate([backbone.encode({"sequence": text}) for text in SEQUENCES])
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        backbone.features(network, batch)
    assert counter.get_total_flops() > 0
