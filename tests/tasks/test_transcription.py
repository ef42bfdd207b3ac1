"""Whisper as a task, against transformers' own loss and generation."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tests.contracts.table import Case, adapter, backbone, case

from tunesmith.core import bundle
from tunesmith.core.errors import AdapterError, BackboneError
from tunesmith.core.model import Model


@pytest.fixture
def made(checkpoints: Path) -> Case:
    return case(backbone(checkpoints, "whisper"), "transcription", {"longest": 12}, rows=5)


@pytest.fixture
def own(checkpoints: Path) -> Any:
    return transformers.WhisperForConditionalGeneration.from_pretrained(checkpoints / "whisper").eval()


def read(made: Case) -> torch.Tensor:
    """What the encoder reads of the rows, as transformers has it."""
    found: torch.Tensor = made.batch()["inputs"]["values"].transpose(1, 2)
    return found


def test_the_loss_is_that_of_transformers(made: Case, own: Any, checkpoints: Path) -> None:
    made.model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints / "whisper")
    with torch.no_grad():
        total = 0.0
        for values, text in zip(read(made), made.targets, strict=True):
            labels = torch.tensor([tokenizer(text).input_ids[1:]])
            labels[:, 0] = -100  # the mark that no times are written is given, as the start is
            ids = torch.tensor([tokenizer(text).input_ids[:-1]])
            total += float(own(input_features=values[None], decoder_input_ids=ids, labels=labels).loss) * (labels.numel() - 1)
        assert float(made.task.loss(made.model, made.batch(), "main")) == pytest.approx(total, rel=1e-4)
    assert made.task.weight(made.batch(), "main") == sum(len(text) + 1 for text in made.targets)


@pytest.mark.parametrize("beams", [1, 3])
def test_what_it_writes_is_what_transformers_generates(beams: int, checkpoints: Path, own: Any) -> None:
    made = case(backbone(checkpoints, "whisper"), "transcription", {"longest": 12, "beams": beams}, rows=5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints / "whisper")
    with torch.no_grad():
        config = transformers.GenerationConfig(
            num_beams=beams,
            max_new_tokens=12,
            eos_token_id=2,
            pad_token_id=2,
            decoder_start_token_id=1,
            output_scores=True,
            return_dict_in_generate=True,
        )
        prompt = torch.tensor([tokenizer("").input_ids[:-1]] * len(made.rows))
        found = transformers.GenerationMixin.generate(
            own, input_features=read(made), decoder_input_ids=prompt, attention_mask=torch.ones(5, 50), generation_config=config
        )
    expected = [" ".join(text.split()) for text in tokenizer.batch_decode(found.sequences, skip_special_tokens=True)]
    predictions = made.task.decode(made.predicted())
    assert [prediction["text"] for prediction in predictions] == expected
    assert len(set(expected)) > 1
    if beams == 1:
        scores = own.compute_transition_scores(found.sequences, found.scores, normalize_logits=True)
        row, ids = scores[0], found.sequences[0, prompt.shape[1] :].tolist()
        if tokenizer.eos_token_id in ids:
            ended = ids.index(tokenizer.eos_token_id) + 1
            assert predictions[0]["confidence"] == pytest.approx(math.exp(float(row[:ended].mean())), rel=1e-4)


def test_low_rank_matrices_stand_in_encoder_and_decoder_and_all_of_them_learn(made: Case, tmp_path: Path) -> None:
    method = adapter("lora")
    method.apply(made.model, 0)
    names = list(made.model.trainable())
    assert any(".encoder." in name for name in names)
    assert any(".decoder." in name for name in names)
    optimizer = torch.optim.AdamW(made.model.parameters(), 1e-2)
    made.model.train()
    for _ in range(3):
        made.task.loss(made.model, made.batch(), "main").backward()
        assert all(p.grad is not None for p in made.model.trainable().values())
        optimizer.step()
        optimizer.zero_grad()
    expected = made.task.decode(made.predicted())
    rows = [(made.rows[0], expected[0])]
    bundle.save(tmp_path / "b", model=made.model, task=made.task, adapter=method, about={}, card="", samples=rows)
    loaded = bundle.load(tmp_path / "b")
    again = Case(loaded.task, loaded.backbone, loaded.model, made.rows, made.raws, made.targets)
    found = again.task.decode(again.predicted())
    assert [item["text"] for item in found] == [item["text"] for item in expected]
    np.testing.assert_allclose([item["confidence"] for item in found], [item["confidence"] for item in expected], rtol=1e-4)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "b" / "backbone")("ab").input_ids[1:] == [261, 64, 65, 256]
    assert method.merge(again.model)
    merged = again.task.decode(again.predicted())
    assert [item["text"] for item in merged] == [item["text"] for item in expected]


def test_with_nothing_but_the_head_to_train_it_is_refused(made: Case) -> None:
    from tunesmith.launch import training

    class Parts:
        adapter = adapter("head")
        task = made.task
        backbone = made.backbone

        class recipe:  # noqa: N801
            seed = 0

    with pytest.raises(AdapterError, match="--adapter full or --adapter lora"):
        training.adapted(Parts, made.model)  # type: ignore[arg-type]


def test_a_backbone_without_decoder_is_refused_before_anything_is_read(checkpoints: Path) -> None:
    for tiny in ("wav2vec2", "sounds"):
        with pytest.raises(BackboneError, match=r"brings no decoder.*--task ctc"):
            case(backbone(checkpoints, tiny), "transcription", {})


def test_a_language_is_told_to_the_tokenizer_or_refused(checkpoints: Path) -> None:
    made = case(backbone(checkpoints, "whisper"), "transcription", {"language": "en"})
    assert made.model.head.decoder.prompt == 4  # type: ignore[union-attr,operator]
    for language in ("fr", "klingon"):
        with pytest.raises(BackboneError, match=r"cannot be told what to write|knows no mark for"):
            case(backbone(checkpoints, "whisper"), "transcription", {"language": language})


def test_blocks_hold_every_parameter_once(made: Case) -> None:
    model: Model = made.model
    held = [id(p) for block in model.blocks() for p in block.parameters()]
    assert sorted(held) == sorted(id(p) for p in model.network.parameters())
    assert made.model.backbone.sample(0, Random(0)).keys() == {"audio"}
