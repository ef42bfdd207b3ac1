"""Windows through the small network, PatchTST, PatchTSMixer and TimesFM: level and spread, gaps, a checkpoint's own forecast."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tunesmith.core import registry
from tunesmith.core.errors import BackboneError, RowError
from tunesmith.core.model import Model
from tunesmith.core.windows import Span, Windows

SPEC = Windows("when", ("load", "heat"), ("load",), (), None, 16, 6, "3600 s", "%Y-%m-%d %H:%M:%S")


def model(options: dict[str, Any], spec: Windows = SPEC, **task: Any) -> Model:
    """A forecaster with an untrained head, fitted to numbers of mean 50 and spread 10."""
    torch.manual_seed(0)
    backbone = registry.create("backbones", "forecaster", {"context": 16, "hidden": 24, **options}).over(spec)
    backbone = dataclasses.replace(backbone, means=(50.0,) * len(spec.columns), spreads=(10.0,) * len(spec.columns), gaps=True)
    fields = {"label": list(spec.targets), "horizon": spec.horizon, **task}
    made = registry.create("tasks", "forecasting", fields)
    values = np.random.default_rng(0).normal(50, 10, (200, len(spec.targets))).astype(np.float32)
    made = made.fit([Span("", values)])
    return made, made.build(backbone).eval()


def said(task: Any, built: Model, rows: list[dict[str, Any]]) -> np.ndarray:
    """(rows, horizon) forecasts of the first column."""
    batch = {"inputs": built.backbone.collate([built.backbone.encode(row) for row in rows])}
    with torch.inference_mode():
        found = task.decode(task.predict(built, batch))
    return np.asarray([item["forecast"][task.label[0]] for item in found])


def window(seed: int = 0, steps: int = 16) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"load": rng.normal(50, 10, steps).astype(np.float32), "heat": rng.normal(50, 10, steps).astype(np.float32)}


KINDS = ["small", "patchtst", "patchtsmixer", "folder"]


def options(kind: str, checkpoints: Path) -> dict[str, Any]:
    return {"source": str(checkpoints / "patchtst") if kind == "folder" else kind, "scratch": False}


@pytest.mark.parametrize("kind", KINDS)
def test_forecasts_follow_the_level_and_spread_of_the_window(kind: str, checkpoints: Path) -> None:
    """Instance normalisation: a window that is moved and stretched has the same forecast, moved and stretched."""
    task, built = model(options(kind, checkpoints))
    row = window()
    moved = {**row, "load": row["load"] * 4 + 1000}
    first, second = said(task, built, [row, moved])
    if kind == "small":  # it looks at other columns too, which were not moved
        row = {**row, "heat": np.full(16, 50, np.float32)}
        first, second = said(task, built, [row, {**row, "load": row["load"] * 4 + 1000}])
    np.testing.assert_allclose(second, first * 4 + 1000, rtol=1e-4)
    assert np.ptp(first) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_missing_numbers_are_told_and_not_taken_for_others(kind: str, checkpoints: Path) -> None:
    task, built = model(options(kind, checkpoints))
    row = window()
    holes = {**row, "load": row["load"].copy()}
    holes["load"][3:6] = np.nan
    found = said(task, built, [holes, row])
    assert np.isfinite(found).all()
    listed = {name: [None if np.isnan(v) else float(v) for v in values] for name, values in holes.items()}
    np.testing.assert_allclose(said(task, built, [listed])[0], found[0], rtol=1e-5)
    np.testing.assert_allclose(said(task, built, [{name: json.dumps(v) for name, v in listed.items()}])[0], found[0], rtol=1e-5)
    with pytest.raises(RowError, match="every number of the series is missing"):
        built.backbone.check({**row, "load": np.full(16, np.nan, np.float32)})
    with pytest.raises(RowError, match="holds 9 numbers; the model reads 16"):
        built.backbone.check(window(steps=9))


def test_a_checkpoint_begins_with_its_own_forecast(checkpoints: Path) -> None:
    task, built = model({"source": str(checkpoints / "patchtst")})
    own = transformers.PatchTSTForPrediction.from_pretrained(checkpoints / "patchtst").eval()
    rows = [window(seed) for seed in range(3)]
    with torch.inference_mode():
        values = torch.tensor(np.stack([row["load"] for row in rows]))[..., None]
        expected = own(past_values=values).prediction_outputs[..., 0].numpy()
    np.testing.assert_allclose(said(task, built, rows), expected, rtol=1e-3)


def test_a_checkpoint_forecasts_no_further_than_it_can(checkpoints: Path) -> None:
    with pytest.raises(BackboneError, match="forecasts 6 steps; field 'horizon' of the task asks for 9"):
        model({"source": str(checkpoints / "patchtst")}, dataclasses.replace(SPEC, horizon=9))


@pytest.mark.parametrize("kind", ["timesfm", "timesfm2_5"])
def test_timesfm_begins_with_its_own_quantiles(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {
        "patch_length": 8,
        "context_length": 16,
        "horizon_length": 8,
        "num_hidden_layers": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
    }
    if kind == "timesfm":
        config: Any = transformers.TimesFmConfig(**sizes, head_dim=8, num_attention_heads=2)
        network: Any = transformers.TimesFmModelForPrediction(config)
    else:
        more = {"head_dim": 8, "num_attention_heads": 2, "num_key_value_heads": 2, "output_quantile_len": 8}
        config = transformers.TimesFm2_5Config(**sizes, **more)
        network = transformers.TimesFm2_5ModelForPrediction(config)
    network.save_pretrained(tmp_path / kind)
    task, built = model({"source": str(tmp_path / kind)})
    row = window()
    level, spread = row["load"].mean(), row["load"].std()
    network.eval()
    with torch.inference_mode():
        full = network(past_values=[torch.tensor((row["load"] - level) / spread)]).full_predictions[0]
        batch = {"inputs": built.backbone.collate([built.backbone.encode(row)])}
        found = task.predict(built, batch)[0, :, 0] * task.spreads[0] + task.means[0]  # (horizon, levels)
    place = 1 + list(config.quantiles).index(0.9)
    np.testing.assert_allclose(found[:, 8], full[:6, place].numpy() * spread + level, rtol=1e-3)
    assert "transformer" in built.backbone.traits()


def test_what_is_known_in_advance_is_read_by_the_small_network_alone(checkpoints: Path) -> None:
    spec = dataclasses.replace(SPEC, known=("heat",))
    task, built = model({"source": "small"}, spec)
    row = {"load": window()["load"], "heat": np.arange(22, dtype=np.float32)}
    other = {**row, "heat": np.append(row["heat"][:16], np.full(6, 99)).astype(np.float32)}
    found = said(task, built, [row, other])
    assert not np.allclose(found[0], found[1])
    with pytest.raises(RowError, match="reads 16 and the 6 ahead"):
        built.backbone.check({**row, "heat": row["heat"][:16]})
    with pytest.raises(BackboneError, match="reads no columns that are known in advance"):
        model({"source": "patchtst"}, spec)


def test_a_folder_of_another_kind_is_refused(checkpoints: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="holds a network of type 'bert'"):
        model({"source": str(checkpoints / "bert")})
    with pytest.raises(BackboneError, match="does not exist"):
        model({"source": "./nowhere"})


@pytest.mark.parametrize("kind", ["patchtst", "patchtsmixer"])
def test_what_was_saved_is_read_again(kind: str, tmp_path: Path) -> None:
    task, built = model({"source": kind})
    built.backbone.save(built.network, built.network.state_dict(), tmp_path / "copy")
    again = built.backbone.moved(tmp_path / "copy")
    reloaded = again.open().eval()
    batch = again.collate([again.encode(window())])
    with torch.inference_mode():
        torch.testing.assert_close(again.features(reloaded, batch).pooled, built.backbone.features(built.network, batch).pooled)
    assert again.origin()["missing"] == 0
    assert task.horizon == 6
