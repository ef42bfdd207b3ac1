"""Features of all rows of a recipe: those that the network gives row by row, beside the labels of the same rows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from tunesmith.core import registry
from tunesmith.core.errors import UsageError
from tunesmith.launch import features
from tunesmith.recipe import Choice, DataRecipe, Recipe, TrainingRecipe


def test_each_row_has_its_own_features_and_label(table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    with table.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    classes = sorted({row["label"] for row in rows})
    recipe = Recipe(data=DataRecipe(path=[str(table)]), backbone=Choice(str(checkpoints / "bert")))
    backbone = registry.create("backbones", "text", {"source": str(checkpoints / "bert")})
    network = backbone.open().eval()
    with features.pooled(recipe) as found:
        assert sorted(np.concatenate([split.rows for split in found.splits.values()])) == list(range(len(rows)))
        for split in found.splits.values():
            assert isinstance(split.values, np.memmap)
            assert split.targets.tolist() == [classes.index(rows[number]["label"]) for number in split.rows]
            with torch.inference_mode():
                each = [backbone.features(network, backbone.collate([backbone.encode(rows[n])])).pooled[0].numpy() for n in split.rows]
            np.testing.assert_allclose(split.values, np.stack(each), rtol=1e-4, atol=1e-5)


def test_no_room(table: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    recipe = Recipe(data=DataRecipe(path=[str(table)]), backbone=Choice(str(checkpoints / "bert")), training=TrainingRecipe(cache_gb=1e-6))
    with pytest.raises(UsageError, match="--cache-gb"), features.pooled(recipe):
        pass
