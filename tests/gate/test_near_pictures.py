"""Near copies of pictures: planted ones are found, pictures of one kind are not taken for each other."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from tests.gate.views import divided, view_of

from tunesmith.core.contracts import Picture
from tunesmith.core.errors import RowError
from tunesmith.core.neighbours import unit
from tunesmith.gate._pairs import earlier_twins, first_twins, nearest
from tunesmith.gate._thumbnails import hashed
from tunesmith.gate.near_pictures import NearPictures


def scene(seed: int, side: int = 64) -> Image.Image:
    """A picture of smooth random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def radiograph(seed: int) -> Image.Image:
    """A smooth picture as all of its kind are: the same bright shape on the same ground, with faint shadows of its own."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
    light = 200 * np.exp(-(across**2 + 0.5 * down**2)) - 90 * np.exp(-8 * ((np.abs(across) - 0.4) ** 2 + down**2))
    shadows = np.asarray(Image.fromarray(rng.normal(0, 12, (7, 7))).resize((64, 64), Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(light + shadows, 0, 255).astype(np.uint8))


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    held = io.BytesIO()
    picture.save(held, kind, **options)
    return held.getvalue()


ALTERED = {
    "saved again": lambda picture: saved(picture.convert("RGB"), "JPEG", quality=60),
    "smaller": lambda picture: saved(picture.resize((44, 44))),
    "larger": lambda picture: saved(picture.resize((150, 150))),
    "brighter": lambda picture: saved(ImageEnhance.Brightness(picture).enhance(1.15)),
    "darker": lambda picture: saved(ImageEnhance.Brightness(picture).enhance(0.7)),
    "turned by its header": lambda picture: saved(
        picture.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=b"Exif\0\0" + TURN
    ),
    "decoded": lambda picture: Picture(np.asarray(picture.convert("RGB"))),
}
TURN = bytes.fromhex("49492a000800000001001201030001000000060000000000 0000".replace(" ", ""))
"""EXIF that says: to be turned a quarter clockwise to be upright."""


def test_hash_is_that_of_imagehash() -> None:
    pictures = [scene(seed, 32).convert("L") for seed in range(20)]
    expected = [str(imagehash.phash(picture)) for picture in pictures]
    found = hashed(np.stack([np.asarray(picture) for picture in pictures]))
    assert [value.tobytes().hex() for value in found] == expected


def test_twins_are_those_of_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    hashes, vectors = rng.integers(0, 8, 1300, np.uint64), unit(rng.normal(size=(1300, 3)))
    close = np.asarray([[bin(int(a ^ b)).count("1") <= 1 for b in hashes] for a in hashes]) & (vectors @ vectors.T >= 0.97)
    here, there = first_twins(hashes[:700], vectors[:700], hashes[700:], vectors[700:], bits=1, least=0.97)
    assert here.tolist() == [row.argmax() if row.any() else -1 for row in close[:700, 700:]]
    assert there.tolist() == [column.argmax() if column.any() else -1 for column in close[:700, 700:].T]
    before = np.tril(close, -1)
    assert earlier_twins(hashes, vectors, bits=1, least=0.97).tolist() == [row.argmax() if row.any() else -1 for row in before]


def test_nearest_is_that_of_a_plain_search() -> None:
    rng = np.random.default_rng(1)
    rows, others = unit(rng.normal(size=(1100, 5))), unit(rng.normal(size=(40, 5)))
    places, first, third = nearest(rows, others, 3)
    similar = rows @ others.T
    assert places.tolist() == similar.argmax(axis=1).tolist()
    np.testing.assert_allclose(first, similar.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(third, np.sort(similar, axis=1)[:, -3], atol=1e-6)


@pytest.mark.parametrize("make", [scene, radiograph])
def test_altered_copies_are_found_and_nothing_else(make: Any) -> None:
    pictures = [make(seed) for seed in range(300)]
    splits = divided(300)
    train, test = (np.flatnonzero(np.asarray(splits) == split) for split in ("train", "test"))
    rows = [{"picture": saved(picture)} for picture in pictures]
    for place, alter in enumerate(ALTERED.values()):
        rows[test[place]] = {"picture": alter(pictures[train[place]])}
    again = saved(pictures[train[20]].convert("RGB"), "JPEG", quality=70)
    rows[train[30]] = {"picture": again}
    labels = np.zeros(300, int)
    labels[test[0]] = 1
    across, within = NearPictures().inspect(view_of(rows, {"picture": "image"}, splits, labels, ["a", "b"]))
    assert (across.name, across.severity, across.count) == ("near_pictures_across_splits", "error", len(ALTERED))
    assert across.leave_out == train[: len(ALTERED)].tolist()
    assert [(example.row, example.beside) for example in across.examples] == list(zip(test[:5], train[:5], strict=True))
    assert "1 of these pairs carry different labels" in across.what
    assert (within.name, within.severity, within.leave_out) == ("near_pictures_within_a_split", "warning", [train[30]])
    assert within.examples[0].beside == train[20]


@pytest.mark.parametrize("make", [scene, radiograph])
def test_different_pictures_raise_no_alarm(make: Any) -> None:
    rows = [{"picture": saved(make(seed))} for seed in range(400)]
    assert NearPictures().inspect(view_of(rows, {"picture": "image"}, divided(400), np.zeros(400, int), ["a"])) == []


def test_empty_pictures_are_not_each_others_copies() -> None:
    rows = [{"picture": saved(Image.new("RGB", (20, 20), (seed, seed, seed)))} for seed in range(60)]
    assert NearPictures().inspect(view_of(rows, {"picture": "image"}, divided(60), np.zeros(60, int), ["a"])) == []


def test_one_copy_among_many_test_rows_is_a_warning_and_rows_are_drawn() -> None:
    pictures = [saved(scene(seed)) for seed in range(300)]
    pictures[299] = saved(scene(0).resize((50, 50)))
    view = view_of([{"picture": value} for value in pictures], {"picture": "image"}, ["train"] * 100 + ["test"] * 200, [0] * 300, ["a"])
    (found,) = NearPictures().inspect(view)
    assert (found.severity, found.count, found.of) == ("warning", 1, 200)
    (found,) = NearPictures(rows=150).inspect(view)
    assert "(looked at 250 of 300 rows, drawn at random)" in found.what


def test_a_picture_that_has_become_unreadable_is_named() -> None:
    rows = [{"picture": b"no picture"}] * 4
    with pytest.raises(RowError, match="column 'picture': the picture cannot be read"):
        NearPictures().inspect(view_of(rows, {"picture": "image"}, ["train", "train", "validation", "test"], [0] * 4, ["a"]))


def test_data_without_pictures_is_passed_over() -> None:
    view = view_of([{"text": "a"}], {"text": "text"}, ["train"], [0], ["a"])
    assert NearPictures().applies(view) == "there are no pictures"


def test_xrays_that_look_alike_raise_no_alarm(shared: Path) -> None:
    folder = shared / "pneumoniamnist"
    with (folder / "labels.csv").open() as lines:
        listed = list(csv.DictReader(lines))
    rows = [{"picture": str(folder / row["path"])} for row in listed]
    splits = [row["split"].replace("val", "validation") if row["split"] == "val" else row["split"] for row in listed]
    view = view_of(rows, {"picture": "image"}, splits, [0] * len(rows), ["a"])
    pixels = [np.asarray(Image.open(row["picture"])).tobytes() for row in rows]
    for found in NearPictures().inspect(view):
        for example in found.examples:
            assert example.row is not None
            assert example.beside is not None
            assert pixels[example.row] == pixels[example.beside]
    train = {pixels[row] for row in view.splits["train"]}
    across = [finding for finding in NearPictures().inspect(view) if finding.name == "near_pictures_across_splits"]
    assert sum(finding.count for finding in across) == sum(
        pixels[row] in train for split in ("validation", "test") for row in view.splits[split]
    )
