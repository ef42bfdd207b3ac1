"""The bundle's card as the hub's own library reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from tests.report import runs

from tunesmith.core import bundle as bundles
from tunesmith.core.errors import BundleError
from tunesmith.core.files import sha256, write_json
from tunesmith.report.files import card

ABOUT = {
    "modality": "text",
    "inputs": ["text"],
    "label": "intent",
    "example": '{"text": "..."}',
    "task": "classification",
    "adapter": "head",
}


def made(found: dict[str, Any] | None = None, test: dict[str, Any] | None = None, **about: Any) -> str:
    whole = {**ABOUT, "backbone": "minilm", **about}
    return card(
        name="intents", about=whole, test=test or runs.metrics()["test"], classes=["card", "fee"], data="Bank messages", found=found
    )


def test_its_metadata_are_valid_and_come_back_the_same() -> None:
    data = ModelCard(made(runs.metrics()), ignore_metadata_errors=False).data
    held = data.to_dict()
    assert held["library_name"] == "tunesmith"
    assert held["pipeline_tag"] == "text-classification"
    assert held["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert held["tags"] == ["text", "classification", "head"]
    assert held["metrics"] == ["accuracy", "f1", "log_loss"]
    assert "license" not in held
    name, results = model_index_to_eval_results(held["model-index"])
    assert name == "intents"
    assert {result.metric_name: result.metric_value for result in results} == {"accuracy": 0.84, "macro F1": 0.83, "log loss": 0.61}
    assert {(r.dataset_name, r.dataset_type, r.dataset_split, r.task_type) for r in results} == {
        ("Bank messages", "bank-messages", "test", "text-classification")
    }
    assert eval_results_to_model_index(name, results) == held["model-index"]


@pytest.mark.parametrize(
    ("about", "tag", "base"),
    [
        ({"backbone": "microsoft/deberta-v3-small"}, "text-classification", "microsoft/deberta-v3-small"),
        ({"backbone": "timm:resnet18", "modality": "image"}, "image-classification", None),
        ({"backbone": "checkpoint", "task": "regression"}, None, None),
    ],
)
def test_what_is_not_known_is_not_said(about: dict[str, Any], tag: str | None, base: str | None) -> None:
    held = ModelCard(made(**about), ignore_metadata_errors=False).data.to_dict()
    assert (held.get("pipeline_tag"), held.get("base_model"), held.get("language")) == (tag, base, None)
    assert ModelCard(made(language="en"), ignore_metadata_errors=False).data.to_dict()["language"] == "en"


def test_it_tells_what_was_measured() -> None:
    text = made(runs.metrics())
    assert "| macro F1 | 0.830 | [0.780, 0.870] | 0.330 |" in text
    assert "Adapting paid here." in text
    assert "off by 1.2 percentage points" in text
    assert "- Where words = 1 to 5, accuracy is 0.600" in text
    assert "- Error in the data: 3 test rows also stand in training." in text
    assert "| weights moved | passed | 2 tensors moved |" in text
    bare = made()
    assert "Limitations" in bare
    assert "Checks" not in bare
    assert "| macro F1 | 0.830 |  |  |" in bare


def test_names_from_the_data_are_text() -> None:
    text = card(name="m", about={**ABOUT, "backbone": "minilm"}, test={"accuracy": 1.0}, classes=[runs.HOSTILE, "a\n# b"], data="x")
    assert "<script>" not in text
    assert "\n# b" not in text


def test_a_card_can_be_written_anew_into_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# before")
    write_json(tmp_path / "bundle.json", {"format": bundles.FORMAT})
    write_json(tmp_path / "checksums.json", {name: sha256(tmp_path / name) for name in ("README.md", "bundle.json")})
    bundles.describe(tmp_path, "# after")
    assert (tmp_path / "README.md").read_text() == "# after"
    bundles.verify(tmp_path)
    (tmp_path / "README.md").write_text("# by hand")
    with pytest.raises(BundleError, match=r"README\.md"):
        bundles.verify(tmp_path)
