"""What the gate of a run sees does not depend on whether pictures are kept decoded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tunesmith.core.run import Run
from tunesmith.launch import gate, preparing
from tunesmith.recipe import Choice, DataRecipe, Recipe


def test_the_gate_finds_the_same_with_the_picture_cache_and_without(
    tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes and endings that give the class away, of pictures of which a smaller copy is kept."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name, side, ending in (("cat", 64, "png"), ("dog", 48, "jpg")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(300):
            pixels = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.{ending}")
    recipe = Recipe(data=DataRecipe(path=[str(tmp_path / "pets")]), backbone=Choice(str(checkpoints / "vit")))
    told: list[Any] = []
    for cache in ("auto", "off"):
        training = dataclasses.replace(recipe.training, feature_cache=cache)
        ready = preparing.prepared(dataclasses.replace(recipe, training=training), recipe.data.path, Run(tmp_path / cache))
        assert (ready.kept is not None) == (cache == "auto")
        told.append(gate.judged(gate.view(ready))[1]["findings"])
    assert told[0] == told[1]
    given_away = " ".join(finding["what"] for finding in told[0] if finding["name"] == "label_given_away")
    for fact in ("the width", "the height", "the file ending"):
        assert fact in given_away
