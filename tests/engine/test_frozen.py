"""Remembered features: the same numbers as without, the frozen part run once per row, and known again by a later run."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.contracts.table import TINY

from tunesmith.core import feature_store, registry
from tunesmith.core.cache import PART
from tunesmith.core.errors import OutputError, UsageError
from tunesmith.core.feature_store import FeatureStore
from tunesmith.core.files import read_json
from tunesmith.core.model import Model
from tunesmith.engine import closed_form
from tunesmith.engine import frozen as engine_frozen
from tunesmith.engine.clock import Clock
from tunesmith.engine.frozen import Frozen, computation, digest


def made(checkpoints: Path, tiny: str, adapter: str, **options: Any) -> tuple[Model, list[dict[str, Any]], Any]:
    backbone = registry.create("backbones", TINY[tiny].modality, TINY[tiny].options(checkpoints))
    task = registry.create("tasks", "classification", {})
    rows = task.synthetic(24, 0, backbone.sample)
    task = task.fit([row["label"] for row in rows])
    torch.manual_seed(0)
    model = task.build(backbone)
    registry.create("adapters", adapter, options).apply(model, 0)
    return model.eval(), rows, task


NOT_IN_A_ROW = ("fusion", "fusion_attention", "clip", "two_encoders", "patchtst")
"""Networks of several parts, and one whose blocks give more than one value: with some blocks frozen they run as a whole."""


@contextlib.contextmanager
def counted(modules: list[torch.nn.Module]) -> Iterator[list[int]]:
    """How often the modules run."""
    count: list[int] = []
    hooks = [module.register_forward_pre_hook(lambda *_: count.append(1)) for module in modules]
    yield count
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("tiny", sorted(TINY))
@pytest.mark.parametrize("adapter", ["head", "last_k"])
def test_features_and_gradients_are_those_of_the_whole_network(checkpoints: Path, tmp_path: Path, tiny: str, adapter: str) -> None:
    model, rows, task = made(checkpoints, tiny, adapter, **({"k": 1} if adapter == "last_k" else {}))
    frozen = Frozen(model.backbone, model._bare[0], model.frozen_blocks(), FeatureStore(tmp_path, "a", 10**9))
    if not frozen.agrees(rows[:8], torch.device("cpu")):
        assert (tiny, adapter) != ("fusion", "head")
        assert tiny in NOT_IN_A_ROW, "blocks of these alone do not follow one another"
        return
    assert frozen.remember(((row, None) for row in rows), torch.device("cpu")) == len({digest(row) for row in rows_without_label(rows)})
    own, found = model.backbone, []
    targets = task.collate([task.target(row["label"]) for row in rows[:6]])
    for backbone in (own, frozen):
        model.backbone = backbone
        batch = {"inputs": backbone.collate([backbone.encode(row) for row in rows[:6]]), "target": targets}
        model.zero_grad()
        loss = task.loss(model, batch, "main")
        loss.backward()
        found.append({"loss": loss.detach(), **{n: p.grad for n, p in model.trainable().items() if p.grad is not None}})
    assert set(found[0]) == set(found[1])
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-4, atol=1e-5)
    with pytest.raises(KeyError):
        frozen.encode(dict.fromkeys(frozen.columns, "never seen"))


def remembers_and_dies(checkpoints: Path, root: Path) -> None:
    """A process that is killed when it has written 10 rows of 24 in a complete segment, and some of the others."""
    model, rows, _ = made(checkpoints, "bert", "head")
    feature_store.SEGMENT_ROWS, engine_frozen.WINDOW = 10, 4

    def given() -> Iterator[tuple[Any, None]]:
        for number, row in enumerate(rows):
            if number == 16:
                os.kill(os.getpid(), signal.SIGKILL)
            yield row, None

    Frozen(model.backbone, model._bare[0], None, FeatureStore(root, "a", 10**9)).remember(given(), torch.device("cpu"))


def test_a_killed_process_leaves_a_store_from_which_the_next_goes_on(checkpoints: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=remembers_and_dies, args=(checkpoints, tmp_path / "killed"))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    left = [path.name.startswith(PART) for path in (tmp_path / "killed" / "a").iterdir()]
    assert sorted(left) == [False, True], "a complete segment and a part"
    model, rows, _ = made(checkpoints, "bert", "head")
    found = {}
    for name, known in (("killed", 10), ("new", 0)):
        store = FeatureStore(tmp_path / name, "a", 10**9)
        assert len(store) == known
        frozen = Frozen(model.backbone, model._bare[0], None, store)
        assert frozen.remember(((row, None) for row in rows), torch.device("cpu")) == len(rows) - known
        found[name] = frozen.pooled(rows, tmp_path / f"{name}.bin")
        assert len(FeatureStore(tmp_path / name, "a", 10**9)) == len(rows)
        assert not list((tmp_path / name).rglob(f"{PART}*"))
    np.testing.assert_allclose(found["killed"], found["new"], rtol=1e-5, atol=1e-6)  # packed products differ by the batch
    values = [path.stat().st_size for path in (tmp_path / "killed").rglob("values.bin")]
    assert sum(values) == found["new"].nbytes


def test_a_row_that_is_not_there_is_not_read(checkpoints: Path, tmp_path: Path) -> None:
    model, rows, _ = made(checkpoints, "bert", "head")
    frozen = Frozen(model.backbone, model._bare[0], None, FeatureStore(tmp_path, "a", 10**9))
    frozen.remember(((row, None) for row in rows), torch.device("cpu"))
    with pytest.raises(OutputError, match="1 of 2 rows are not found"):
        frozen._know(bytes(32), np.array([[0, 0], [-1, -1]], np.int32))
    with pytest.raises(KeyError):
        frozen.store.at(-1, -1)


def rows_without_label(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "label"} for row in rows]


def test_frozen_blocks_do_not_run(checkpoints: Path, tmp_path: Path) -> None:
    model, rows, _ = made(checkpoints, "bert", "last_k", k=1)
    blocks = model.frozen_blocks()
    assert blocks == len(model.blocks()) - 1
    frozen = Frozen(model.backbone, model._bare[0], blocks, FeatureStore(tmp_path, "a", 10**9))
    frozen.remember(((row, None) for row in rows), torch.device("cpu"))
    inner = [module for block in model.blocks()[:blocks] for module in block.modules() if isinstance(module, torch.nn.Linear)]
    model.backbone = frozen
    batch = {"inputs": frozen.collate([frozen.encode(row) for row in rows[:4]])}
    with counted(inner) as count:
        model(batch)
    assert inner
    assert not count


@pytest.mark.parametrize(
    ("adapter", "options", "expected"),
    [
        ("full", {}, 0),
        ("bitfit", {}, 0),
        ("lora", {}, 1),
        ("lora", {"last": 1}, 2),
        ("head", {}, None),
        ("prompt", {}, 0),
        ("gradual", {}, 0),
    ],
)
def test_what_counts_as_frozen(checkpoints: Path, adapter: str, options: dict[str, Any], expected: int | None) -> None:
    model, _, _ = made(checkpoints, "bert", adapter, **options)
    assert len(model.blocks()) == 3, "embeddings and two layers"
    assert model.frozen_blocks() == expected


def test_other_weights_are_another_computation(checkpoints: Path) -> None:
    model, _, _ = made(checkpoints, "bert", "head")
    before = computation(model, None)
    assert before == computation(made(checkpoints, "bert", "head")[0], None)
    with torch.no_grad():
        next(model.network.parameters()).view(-1)[0] += 1
    assert computation(model, None) != before
    assert computation(model, 1) != computation(model, 2)


def run(table: Path, out: Path, checkpoints: Path, **recipe: Any) -> dict[str, Any]:
    import tunesmith

    given: dict[str, Any] = {"epochs": 2, "batch_size": 16, "trackers": ["jsonl"], "allow_failed_checks": True, **recipe}
    given |= {"gate": False, "scoreboard": False}  # they need features whatever is trained
    tunesmith.tune(str(table), backbone=str(checkpoints / "bert"), out=str(out), **given)
    found: dict[str, Any] = read_json(out / "metrics.json")
    return found


@pytest.mark.parametrize("adapter", [{"name": "head"}, {"name": "last_k", "k": 1}, {"name": "lora", "last": 1}], ids=lambda a: a["name"])
def test_a_run_gives_the_same_with_and_without(
    table: Path, checkpoints: Path, tmp_path: Path, adapter: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with_cache = run(table, tmp_path / "a", checkpoints, adapter=adapter)
    told = capfd.readouterr().err
    assert "feature cache: " in told
    assert "off" not in told.split("feature cache: ")[1].splitlines()[0]
    without = run(table, tmp_path / "b", checkpoints, adapter=adapter, feature_cache="off")
    assert "feature cache" not in capfd.readouterr().err
    for name in ("accuracy", "log_loss"):
        assert with_cache["test"][name] == pytest.approx(without["test"][name], rel=1e-4)
        assert with_cache["validation"][name] == pytest.approx(without["validation"][name], rel=1e-4)
    run(table, tmp_path / "c", checkpoints, adapter=adapter)
    assert ": 0 of " in capfd.readouterr().err


def test_the_probe_is_scikit_learns_logistic_regression(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    model, _, task = made(checkpoints, "bert", "probe")
    width = model.head.out.in_features
    x = rng.standard_normal((120, width)).astype(np.float32)
    y = rng.integers(0, 3, 120)
    penalty = 0.01
    frozen = Frozen(model.backbone, model._bare[0], None, FeatureStore(tmp_path / "s", "a", 10**9))
    model.backbone = frozen
    pooled = torch.from_numpy(x)
    parts = [torch.from_numpy(y[i : i + 50]) for i in range(0, 120, 50)]
    monkeypatch.setattr(closed_form, "PART", 50)  # so that there are several
    rows = closed_form.Gathered(x, parts, torch.device("cpu"))
    (tmp_path / "w").mkdir()
    search = closed_form.Search([penalty], ("accuracy", "max"), Clock(None, 1))
    progress, _ = closed_form.fit(model, task, rows, search, lambda: {"accuracy": 0.5}, tmp_path / "w", [])
    scale = float((x**2).mean())
    reference = LogisticRegression(C=1 / (penalty * scale * len(x)), tol=1e-8, max_iter=5000).fit(x, y)
    with torch.no_grad():
        found = model({"inputs": {"pooled": pooled}}).softmax(-1).numpy()
    np.testing.assert_allclose(found, reference.predict_proba(x), atol=2e-3)
    assert progress.step == 1


def test_the_probe_takes_the_penalty_that_validation_prefers(table: Path, checkpoints: Path, tmp_path: Path) -> None:
    found = run(table, tmp_path / "p", checkpoints, adapter={"name": "probe", "strengths": [1000.0, 0.01]}, monitor="log_loss")
    lines = [json.loads(line) for line in (tmp_path / "p" / "logs" / "metrics.jsonl").read_text().splitlines()]
    tried = {line["penalty"]: line["log_loss"] for line in lines if line["event"] == "validation"}
    assert set(tried) == {1000.0, 0.01}
    assert found["validation"]["penalty"] == min(tried, key=tried.__getitem__)
    # whether nine rows score above a constant is chance: the tiny network's vocabulary, and so its features, differ from process to process
    assert "failed" not in {check["status"] for check in found["checks"] if check["name"] != "better_than_constant"}


class Hurried:
    """A time in which an evaluation takes as long as is said, and everything else a second whenever it is asked for."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


@pytest.mark.parametrize(("limit", "penalties"), [(3.0, 1), (60.0, None), (1e9, 9)])
def test_the_probe_keeps_the_best_penalty_within_its_time(checkpoints: Path, tmp_path: Path, limit: float, penalties: int | None) -> None:
    rng = np.random.default_rng(0)
    model, _, task = made(checkpoints, "bert", "probe")
    model.backbone = Frozen(model.backbone, model._bare[0], None, FeatureStore(tmp_path / "s", "a", 10**9))
    x = rng.standard_normal((120, model.head.out.in_features)).astype(np.float32)
    found = closed_form.Gathered(x, [torch.from_numpy(rng.integers(0, 3, 120))], torch.device("cpu"))
    tried: list[dict[str, torch.Tensor]] = []
    values = [0.4, 0.9, *[0.1] * 7]  # the second is the best

    def evaluate() -> dict[str, float]:
        tried.append({name: p.detach().clone() for name, p in model.head.named_parameters()})
        return {"accuracy": values[len(tried) - 1]}

    clock = Clock(limit, 1, unit="penalties", now=Hurried())
    given = [3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-5]
    progress, _ = closed_form.fit(model, task, found, closed_form.Search(given, ("accuracy", "max"), clock), evaluate, tmp_path, [])
    assert len(tried) == progress.step == progress.epoch == len(progress.history)
    if limit == 1e9:
        assert progress.stop is None
    else:
        assert progress.stop is not None
        assert progress.stop.startswith(f"the time limit is reached after {progress.step} of 9 penalties")
        assert ("before it had converged" in progress.stop) == (progress.step == 1)
    if penalties is None:
        assert 2 <= progress.step < 9
    else:
        assert progress.step == penalties
    assert clock.elapsed() < limit + 40, "the pass that is under way is gone through"
    best = tried[min(progress.step, 2) - 1]
    assert all(torch.equal(best[name], p) for name, p in model.head.named_parameters())


@pytest.mark.parametrize("adapter", [{"name": "probe", "strengths": [1.0, 0.1, 0.01]}])
def test_a_probe_under_a_time_limit_says_so_and_is_whole(table: Path, checkpoints: Path, tmp_path: Path, adapter: dict[str, Any]) -> None:
    found = run(table, tmp_path / "p", checkpoints, adapter=adapter, time_limit="1s")
    assert found["cost"]["stopped"].startswith("the time limit is reached after 1 of 3 penalties")
    assert found["expected"]["in_one_go"]
    assert {check["status"] for check in found["checks"] if check["name"] == "reloaded_predicts_same"} == {"passed"}


def test_a_pass_of_the_solver_takes_longer_the_more_rows_there_are(checkpoints: Path) -> None:
    model, _, task = made(checkpoints, "bert", "probe")
    before = {name: p.detach().clone() for name, p in model.head.named_parameters()}
    few, many = (closed_form.pass_seconds(model.head, task, 32, [0, 1, 2] * 300, rows, torch.device("cpu")) for rows in (900, 900_000))
    assert 100 < many / few < 10_000
    assert all(torch.equal(before[name], p) and p.grad is None for name, p in model.head.named_parameters())


def test_blocks_as_a_flag() -> None:
    from tunesmith import cli

    options = cli._parser().parse_args(["tune", "x.csv", "--adapter", "lora", "--blocks", "last:2"])
    assert cli.recipe_tree(options)["adapter"] == {"name": "lora", "last": 2}
    with pytest.raises(UsageError, match="last:K"):
        cli.recipe_tree(cli._parser().parse_args(["tune", "x.csv", "--blocks", "first:2"]))


def test_views_of_a_picture_come_again() -> None:
    from tunesmith.engine.batches import Examples, Loader, Plan

    class Eye:
        def encode(self, row: Any, rng: Any) -> float:
            return float(rng.random())

        def collate(self, items: Any) -> list[float]:
            return list(items)

    class Plain:
        def collate(self, targets: Any) -> Any:
            return list(targets)

    plan = Plan(np.arange(4), np.ones(4, np.int64), 4, 1, 0)
    examples: Any = Examples([{}] * 4, [0] * 4, Eye())  # type: ignore[arg-type]
    loader = Loader(plan, examples, Plain(), augment=True, views=2)  # type: ignore[arg-type]

    def seen(epoch: int) -> dict[int, float]:
        ((batch,),) = loader.batches(epoch)
        return dict(zip(batch["row"], batch["inputs"], strict=True))

    assert seen(0) == seen(2) != seen(1)
    assert seen(1) == seen(3)
