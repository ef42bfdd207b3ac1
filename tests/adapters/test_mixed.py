"""Each network of a fusion by an adapter of its own: what moves, what is refused, and that the bundle is the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.contracts.table import Case, case

from tunesmith.core import bundle, registry
from tunesmith.core.errors import AdapterError, RecipeError, UnknownNameError
from tunesmith.core.model import Model

KINDS = {"text": "text", "front": "image", "back": "image", "age": "number"}


def made(checkpoints: Path, **options: Any) -> Case:
    parts: dict[str, dict[str, Any]] = {
        "text": {"source": str(checkpoints / "bert")},
        "image": {"source": str(checkpoints / "vit")},
        "image:back": {"source": str(checkpoints / "resnet")},
        "tabular": {"source": "small", "hidden": 8, "heads": 2, "bins": 2},
    }
    backbone = registry.create(
        "backbones", "fusion", {"columns": list(KINDS), "kinds": KINDS, "parts": parts, "how": "gated", "joint_width": 8}
    )
    rows = [{"age": str(i)} for i in range(9)]
    return case(backbone.fit(lambda: iter(rows), 0), "classification", {"dropout": 0.0}, rows=9)


def kinds_that_train(model: Model) -> dict[str, set[bool]]:
    """Network -> whether what trains was there before."""
    bare = model._bare[0]
    found: dict[str, set[bool]] = {}
    for name, network in bare.named_children():
        found[name] = {"lora" not in key for key, p in network.named_parameters() if p.requires_grad}
    return found


def test_each_part_changes_in_its_own_way(checkpoints: Path, tmp_path: Path) -> None:
    found = made(checkpoints)
    chosen = {"text": {"name": "lora", "rank": 2}, "image": "head", "image:back": "full"}
    adapter = registry.create("adapters", "mixed", {"parts": chosen})
    adapter.apply(found.model, 0)
    expected = {"text": {False}, "image": set(), "image_1": {True}, "tabular": {True}, "joint": {True}}
    assert kinds_that_train(found.model) == expected
    before = found.model.fingerprints()
    adapter.begin(found.model, 0, 4)
    optimizer = torch.optim.AdamW([p for p in found.model.parameters() if p.requires_grad], 1e-2)
    found.model.train()
    for step in range(4):
        found.task.loss(found.model, found.batch(), "main").backward()
        optimizer.step()
        adapter.stepped(found.model, step + 1, 4)
        optimizer.zero_grad()
    after = found.model.fingerprints()
    moved = {name.split(".")[1] for name in before if before[name] != after[name] and name.startswith("network.")}
    assert moved == {"text", "image_1", "tabular", "joint"}
    said = found.outputs()
    bundle.save(tmp_path / "b", model=found.model, task=found.task, adapter=adapter, about={}, card="", samples=[])
    assert [path.name for path in (tmp_path / "b" / "adapter").iterdir()] == ["text"]
    loaded = bundle.load(tmp_path / "b")
    again = Case(loaded.task, loaded.backbone, loaded.model, found.rows, found.raws, found.targets)
    torch.testing.assert_close(again.outputs(), said, rtol=0, atol=1e-5)
    assert adapter.merge(found.model)
    torch.testing.assert_close(found.outputs(), said, rtol=1e-4, atol=1e-4)
    bundle.save(tmp_path / "m", model=found.model, task=found.task, adapter=adapter, about={}, card="", samples=[])
    merged = bundle.load(tmp_path / "m")
    assert not (tmp_path / "m" / "adapter").exists()
    again = Case(merged.task, merged.backbone, merged.model, found.rows, found.raws, found.targets)
    torch.testing.assert_close(again.outputs(), said, rtol=1e-4, atol=1e-4)


def test_what_is_not_said_goes_by_the_kind_of_network(checkpoints: Path) -> None:
    found = made(checkpoints)
    registry.create("adapters", "mixed", {}).apply(found.model, 0)
    expected = {"text": {False}, "image": {False}, "image_1": set(), "tabular": {True}, "joint": {True}}
    assert kinds_that_train(found.model) == expected


def test_what_cannot_be_mixed_is_refused(checkpoints: Path) -> None:
    for name in ("prefix", "probe", "mixed"):
        with pytest.raises(RecipeError, match=f"cannot take the adapter '{name}'"):
            registry.create("adapters", "mixed", {"parts": {"text": name}})
    with pytest.raises(RecipeError, match="gives each part the name of an adapter"):
        registry.create("adapters", "mixed", {"parts": {"text": 3}})
    with pytest.raises(UnknownNameError, match="no part of this fusion called 'sound'"):
        registry.create("adapters", "mixed", {"parts": {"sound": "lora"}}).apply(made(checkpoints).model, 0)
    with pytest.raises(AdapterError, match="does not fit the part image:back"):
        registry.create("adapters", "mixed", {"parts": {"image:back": "oft"}}).apply(made(checkpoints).model, 0)
    assert registry.create("adapters", "mixed", {}).fits({"text", "transformer"}) is not None
    rates = registry.create("adapters", "mixed", {"parts": {"text": "full", "image": "lora"}}).defaults({"fusion", "transformer"})
    assert rates.lr == 1e-4
