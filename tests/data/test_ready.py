"""Pictures decoded once: evaluation reads the very same pixels, a second run decodes nothing, and what is lost is decoded again."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tunesmith.core import pictures, registry
from tunesmith.core.contracts import Backbone, Picture
from tunesmith.core.feature_store import FeatureStore
from tunesmith.core.files import read_json
from tunesmith.data import prepare
from tunesmith.data.audit import audit
from tunesmith.data.bad_rows import BadRows
from tunesmith.data.ready import ReadyRows, packed, restored, unpacked
from tunesmith.data.table import Table
from tunesmith.engine.batches import Examples, Loader, Plan
from tunesmith.recipe import DataRecipe

SIDES = [(90, 120), (50, 41), (43, 43), (44, 60), (400, 45), (32, 32), (7, 5)]
"""Heights and widths; a network of 32 pixels keeps those whole whose shorter side is at most 43."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate(SIDES * 3):
        place = tmp_path / "pictures" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        if number % 3 == 0:
            exif = Image.Exif()
            exif[0x0112] = 6  # lies on its side
            picture.save(place / f"{number:02}.jpg", exif=exif)
        elif number % 3 == 1:
            picture.convert("RGBA").save(place / f"{number:02}.png")
        else:
            picture.convert("P").save(place / f"{number:02}.gif")
    return tmp_path / "pictures"


def table_of(folder: Path, work: Path) -> Table:
    table = prepare.read(DataRecipe(), str(folder), work / "rows.arrow").table
    table.path_columns = ["image"]
    return table


def image(checkpoints: Path) -> Backbone:
    made: Backbone = registry.create("backbones", "image", {"source": str(checkpoints / "vit"), "crop": 0.9})
    return made


@contextlib.contextmanager
def decodings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Values whose pictures are decoded."""
    found: list[Any] = []
    opened = pictures._opened
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "_opened", lambda source: found.append(source) or opened(source))
        yield found


def audited(table: Table, backbone: Backbone, root: Path, limit: int = 10**9) -> tuple[ReadyRows, BadRows]:
    readiness = backbone.readiness()
    assert readiness is not None
    rows, bad = ReadyRows.empty(table, FeatureStore(root, "pictures", limit), ["image"]), BadRows()
    audit(table, registry.create("tasks", "classification", {}), backbone, bad, rows)
    return rows, bad


def same(backbone: Backbone, table: Table, rows: Any) -> None:
    """Evaluation encodes the same pixels from the table and from what is kept."""
    for number in range(len(table)):
        np.testing.assert_array_equal(backbone.encode(rows[number])["pixels"], backbone.encode(table[number])["pixels"])


def test_evaluation_reads_the_same_pixels_and_nothing_is_decoded_twice(
    folder: Path, tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, backbone = table_of(folder, tmp_path), image(checkpoints)
    with decodings(monkeypatch) as first:
        rows, bad = audited(table, backbone, tmp_path / "store")
        kept = list(rows.rows(np.arange(len(table))))
        for row in kept:
            backbone.encode(row)
            backbone.encode(row, Random(1))
    assert (len(first), rows.decoded, bad.total) == (len(table), len(table), 0)
    assert all(isinstance(row["image"], Picture) for row in kept)
    same(backbone, table, rows)
    with decodings(monkeypatch) as second:
        again, _ = audited(table, backbone, tmp_path / "store")
        backbone.encode(again[0])
    assert (len(second), again.decoded) == (0, 0)
    same(backbone, table, again)


def test_random_crops_come_from_the_picture_or_from_one_shrunk_to_four_thirds(folder: Path, tmp_path: Path, checkpoints: Path) -> None:
    table, backbone = table_of(folder, tmp_path), image(checkpoints)
    rows, _ = audited(table, backbone, tmp_path / "store")
    shrunken = 0
    for number in range(len(table)):
        picture = rows[number]["image"]
        whole = np.asarray(pictures.read_picture(table[number]["image"], "image"))
        crop = backbone.encode(rows[number], Random(3))["pixels"]
        if min(whole.shape[:2]) <= 43:
            assert picture.square is None
            np.testing.assert_array_equal(picture.pixels, whole)
            np.testing.assert_array_equal(crop, backbone.encode(table[number], Random(3))["pixels"])
        else:
            shrunken += 1
            assert min(picture.pixels.shape[:2]) == 43
            assert picture.pixels.shape[0] / picture.pixels.shape[1] == pytest.approx(whole.shape[0] / whole.shape[1], rel=0.03)
            far = np.abs(crop.astype(int) - backbone.encode(table[number], Random(3))["pixels"]).mean()
            assert far < 25  # of noise; another crop differs by about 60
    assert shrunken > 3


def test_one_array_holds_both(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels, square = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    for given in (Picture(pixels, square), Picture(pixels)):
        found = unpacked(packed(given), b"k")
        np.testing.assert_array_equal(found.pixels, pixels)
        assert found.key == b"k"
        assert (found.square is None) == (given.square is None)
        if given.square is not None:
            np.testing.assert_array_equal(found.square, square)


def test_a_file_that_has_changed_is_decoded_anew(folder: Path, tmp_path: Path, checkpoints: Path) -> None:
    table, backbone = table_of(folder, tmp_path), image(checkpoints)
    audited(table, backbone, tmp_path / "store")
    changed = Path(table[3]["image"])
    Image.new("RGB", (80, 80), (200, 10, 10)).save(changed)
    rows, _ = audited(table, backbone, tmp_path / "store")
    assert rows.decoded == 1
    assert backbone.encode(rows[3])["pixels"].reshape(-1, 3).mean(axis=0).round().tolist() == pytest.approx([200, 10, 10], abs=3)


def test_damaged_and_missing_pictures_are_told_as_without(folder: Path, tmp_path: Path, checkpoints: Path) -> None:
    table, backbone = table_of(folder, tmp_path), image(checkpoints)
    Path(table[1]["image"]).write_bytes(b"no picture")
    Path(table[2]["image"]).unlink()
    _, bad = audited(table, backbone, tmp_path / "store")
    plain = BadRows()
    audit(table, registry.create("tasks", "classification", {}), backbone, plain)
    assert [(item.where, item.reason) for item in bad.named] == [(item.where, item.reason) for item in plain.named]
    assert bad.total == 2


def test_a_damaged_store_is_filled_again(folder: Path, tmp_path: Path, checkpoints: Path) -> None:
    table, backbone = table_of(folder, tmp_path), image(checkpoints)
    audited(table, backbone, tmp_path / "store")
    values = next((tmp_path / "store").rglob("values.bin"))
    values.write_bytes(values.read_bytes()[:-1])
    rows, _ = audited(table, backbone, tmp_path / "store")
    assert rows.decoded == len(table)
    same(backbone, table, rows)


def test_what_was_evicted_is_decoded_from_the_file(folder: Path, tmp_path: Path, checkpoints: Path) -> None:
    table, backbone = table_of(folder, tmp_path), image(checkpoints)
    rows, _ = audited(table, backbone, tmp_path / "store")
    rows.save(tmp_path / "pictures.npy")
    room = FeatureStore(tmp_path / "store", "other", 1).room
    assert room.make() == 0, "the rows still use them"
    same(backbone, table, rows)
    del rows
    assert room.make() == 1
    later = restored(tmp_path / "pictures.npy", table, FeatureStore(tmp_path / "store", "pictures", 10**9), ["image"])
    assert later is not None
    assert isinstance(later[0]["image"], str)
    same(backbone, table, later)


def pixels_of(rows: Any, backbone: Backbone, numbers: list[int], answers: Any) -> None:
    answers.put([(isinstance(rows[n]["image"], Picture), backbone.encode(rows[n])["pixels"]) for n in numbers])


def test_other_processes_map_the_store_themselves(folder: Path, tmp_path: Path, checkpoints: Path) -> None:
    """The loader's workers (forked), and a process that starts from nothing."""
    table, backbone = table_of(folder, tmp_path), image(checkpoints)
    rows, _ = audited(table, backbone, tmp_path / "store")
    assert len(pickle.dumps(rows)) < 5000
    task = registry.create("tasks", "classification", {}).fit(["a", "b"])
    plan = Plan(np.arange(len(table)), np.ones(len(table), np.int64), 4, 1, 0)
    loaders = [
        Loader(plan, Examples(given, [0] * len(table), backbone), task, augment=False, workers=n) for given, n in ((table, 0), (rows, 2))
    ]
    for (here,), (there,) in zip(*(loader.batches(0) for loader in loaders), strict=True):
        assert here["row"] == there["row"]
        np.testing.assert_array_equal(here["inputs"]["pixels"].numpy(), there["inputs"]["pixels"].numpy())
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=pixels_of, args=(rows, backbone, [0, 5], answers))
    process.start()
    found = answers.get(timeout=60)
    process.join()
    for number, (kept, pixels) in zip((0, 5), found, strict=True):
        assert kept
        np.testing.assert_array_equal(pixels, backbone.encode(table[number])["pixels"])


def test_texts_and_pictures_of_one_row(folder: Path, tmp_path: Path, checkpoints: Path) -> None:
    names = sorted(folder.rglob("*.*"))[:6]
    data = [
        {"text": f"words {i}", "one": str(a), "two": str(b), "label": "ab"[i % 2]}
        for i, (a, b) in enumerate(zip(names, names[::-1], strict=True))
    ]
    table = prepare.read(DataRecipe(), data, tmp_path / "rows.arrow").table
    table.path_columns = ["one", "two"]
    parts = {"text": {"source": str(checkpoints / "bert")}, "image": {"source": str(checkpoints / "vit")}}
    kinds = {"text": "text", "one": "image", "two": "image"}
    backbone = registry.create("backbones", "fusion", {"columns": list(kinds), "kinds": kinds, "parts": parts})
    rows = ReadyRows.empty(table, FeatureStore(tmp_path / "store", "f", 10**9), ["one", "two"])
    audit(table, registry.create("tasks", "classification", {}), backbone, BadRows(), rows)
    for number in range(6):
        whole, kept = backbone.encode(table[number]), backbone.encode(rows[number])
        for key in ("image:one", "image:two"):
            np.testing.assert_array_equal(whole[key]["pixels"], kept[key]["pixels"])
        assert rows[number]["one"].key == rows[5 - number]["two"].key


def test_runs(folder: Path, tmp_path: Path, checkpoints: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without: the same scores; again: nothing is decoded; too little room, or small pictures: one line says so."""
    import tunesmith

    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for number in range(60):
        pixels = rng.integers(0, 120, (60, 80, 3), dtype=np.uint8)
        pixels[..., number % 2] += 100
        (tmp_path / "many" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "many" / "ab"[number % 2] / f"{number:02}.png")

    def run(out: str, **options: Any) -> tuple[dict[str, Any], str]:
        given = {"epochs": 2, "batch_size": 8, "trackers": ["jsonl"], "allow_failed_checks": True, "augment": False, **options}
        network = given.pop("backbone", str(checkpoints / "vit"))
        tunesmith.tune(str(tmp_path / "many"), backbone=network, adapter="full", out=str(tmp_path / out), **given)
        said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("picture cache")]
        return read_json(tmp_path / out / "metrics.json"), "".join(said)

    kept, said = run("kept")
    assert "60 of 60 pictures decoded" in said
    again, said = run("again", workers=2)
    assert "0 of 60 pictures decoded" in said
    plain, said = run("plain", feature_cache="off")
    assert said == ""
    assert kept["test"] == again["test"] == plain["test"]
    assert kept["validation"] == again["validation"] == plain["validation"]
    _, said = run("little", cache_gb=1e-4)
    assert "would take 0.0 GB (--cache-gb 0.0001 is allowed)" in said
    _, said = run("small", backbone={"name": str(checkpoints / "timm_resnet"), "size": 64})
    assert "about as small as the network reads them" in said
