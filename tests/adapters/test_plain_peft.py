"""A bundle's backbone and adapter without tunesmith: plain transformers and PEFT give the same features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from tests.contracts.table import Case, backbone, case

from tunesmith.core import bundle, registry
from tunesmith.core.contracts import Adapter

# PEFT asks transformers by an old name whether activations are recomputed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def trained(checkpoints: Path, tiny: str, name: str, options: dict[str, Any]) -> tuple[Case, Adapter]:
    made = case(backbone(checkpoints, tiny), "classification", {"dropout": 0.0}, rows=9)
    method: Adapter = registry.create("adapters", name, options)
    method.apply(made.model, 0)
    optimizer = torch.optim.AdamW(made.model.trainable().values(), 1e-2)
    made.model.train()
    for _ in range(3):
        made.task.loss(made.model, made.batch(), "main").backward()
        optimizer.step()
        optimizer.zero_grad()
    made.model.eval()
    return made, method


def features(made: Case) -> torch.Tensor:
    with torch.no_grad():
        found = made.model.features(made.batch()).pooled
    assert found is not None
    return found


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    ("tiny", "name", "options"),
    [
        ("bert", "lora", {}),
        ("bert", "dora", {"rank": 4}),
        ("bert", "pissa", {"last": 1}),
        ("gpt2", "lora", {}),
        ("gpt2", "pissa", {}),
        ("vit", "dora", {}),
        ("resnet", "lora", {}),
        ("bert", "ia3", {}),
    ],
)
def test_bundle_in_plain_transformers_and_peft(
    checkpoints: Path, tmp_path: Path, tiny: str, name: str, options: dict[str, Any], merged: bool
) -> None:
    made, method = trained(checkpoints, tiny, name, options)
    expected, folder = features(made), tmp_path / "bundle"
    if merged:
        assert method.merge(made.model)
    bundle.save(folder, model=made.model, task=made.task, adapter=method, about={}, card="", samples=[])
    network = transformers.AutoModel.from_pretrained(folder / "backbone")
    if not merged:
        network = peft.PeftModel.from_pretrained(network, str(folder / "adapter"))
    network.eval()
    if tiny in ("bert", "gpt2"):
        texts = [row["text"] for row in made.rows]
        batch = transformers.AutoTokenizer.from_pretrained(folder / "backbone")(texts, padding=True, return_tensors="pt")
        mask = batch["attention_mask"]
        with torch.no_grad():
            states = network(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        found = states[:, 0] if tiny == "bert" else states[torch.arange(len(mask)), mask.sum(1) - 1]
    else:
        pixels = made.batch()["inputs"]["pixels"]
        with torch.no_grad():
            states = network(pixel_values=pixels).last_hidden_state
        found = states[:, 0] if tiny == "vit" else states.mean((2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 if merged else 1e-5)
    assert float((features(case(backbone(checkpoints, tiny), "classification", {}, rows=9)) - expected).abs().max()) > 1e-3


def test_nothing_of_the_training_machine_stands_in_the_adapter(checkpoints: Path, tmp_path: Path) -> None:
    made, method = trained(checkpoints, "bert", "lora", {})
    bundle.save(tmp_path / "b", model=made.model, task=made.task, adapter=method, about={}, card="", samples=[])
    for path in (tmp_path / "b").rglob("*.json"):
        assert str(checkpoints) not in path.read_text(encoding="utf-8"), path.name
    assert not list((tmp_path / "b").rglob("*.bin"))
