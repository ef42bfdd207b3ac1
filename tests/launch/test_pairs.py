"""Pictures with captions from the command line: tuned, scored, searched, classified by names; and what a person gets wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tunesmith import cli
from tunesmith.core import registry
from tunesmith.core.files import read_json

Call = Callable[..., tuple[int, str, str]]
QUICK = ["--no-gate", "--no-scoreboard", "--tuning", "off"]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    """A folder of 18 pictures, a table of two captions each, and what is wrong with three more rows."""
    folder = tmp_path_factory.mktemp("album")
    backbone = registry.create("backbones", "dual_encoder", {"source": str(checkpoints / "clip")})
    rng = Random(0)
    rows = []
    for number in range(18):
        (folder / f"{number:02d}.png").write_bytes(backbone.sample(number % 3, rng)["image"])
        rows += [{"photo": f"{number:02d}.png", "caption": backbone.sample(number % 3, rng)["text"]} for _ in range(2)]
    rows += [{"photo": "", "caption": "a river"}, {"photo": "00.png", "caption": ""}, {"photo": "none.png", "caption": "a bond"}]
    write(folder / "captions.csv", rows)
    return folder


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "should not happen" not in captured.err
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def run(album: Path, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on two encoders."""
    out = tmp_path_factory.mktemp("runs") / "run"
    source = f"{checkpoints / 'timm_resnet'}+{checkpoints / 'bert'}"
    arguments = [album / "captions.csv", "--task", "contrastive", "--backbone", source, "--adapter", "head", "--no-augment"]
    options = ["--epochs", "2", "--split", "0.6,0.2,0.2", "--max-bad-rows", "0.2", "--out", out, *QUICK]
    assert cli.main(["tune", *map(str, [*arguments, *options])]) in (0, 3)
    return out


def test_a_run_is_scored_by_retrieval(run: Path) -> None:
    metrics = read_json(run / "metrics.json")
    assert metrics["data"]["bad_rows"] == 3
    assert set(metrics["test"]) >= {"mrr", "recall_at_1", "text_to_image_recall_at_5", "image_to_text_median_rank"}
    pictures = metrics["test"]["rows"] / 2
    assert metrics["constant"]["text_to_image_recall_at_1"] == pytest.approx(1 / pictures)
    failed = {check["name"] for check in metrics["checks"] if check["status"] == "failed"}
    assert failed <= {"better_than_constant"}  # two epochs of random encoders need not learn
    status = {check["name"]: check["status"] for check in metrics["checks"]}
    assert status["loss_independent_of_accumulation"] == "not_applicable"
    assert status["reloaded_predicts_same"] == "passed"
    assert "zero-shot-image-classification" in (run / "bundle" / "README.md").read_text()
    recipe = (run / "recipe.yaml").read_text()
    assert "group: photo" in recipe  # two captions of one picture never stand on two sides


def test_the_bundle_is_searched_both_ways(run: Path, album: Path, call: Call) -> None:
    status, out, err = call("search", run / "bundle", album / "captions.csv", "river stone", "--top", "3", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [item["rank"] for item in found] == [1, 2, 3]
    assert len({item["found"] for item in found}) == 3  # a picture with two captions is found once
    assert [item["similarity"] for item in found] == sorted((item["similarity"] for item in found), reverse=True)
    assert "2 row" in err  # one lacks its picture, one names a file that is not there
    status, out, _ = call("search", run / "bundle", album / "captions.csv", album / "03.png", "--top", "2", "--json")
    assert status == 0
    captions = {line.partition(",")[2] for line in (album / "captions.csv").read_text().splitlines()}
    assert {json.loads(line)["found"] for line in out.splitlines()} <= captions
    status, out, _ = call("search", run / "bundle", album, album / "03.png", "--top", "1")
    assert status == 0
    assert "1. 1.000" in out  # itself
    assert "03.png" in out


def test_search_agrees_with_the_predictions_of_the_bundle(run: Path, album: Path, call: Call, tmp_path: Path) -> None:
    """Each side by itself gives what both give together."""
    rows = [{"photo": str(album / f"{number:02d}.png"), "caption": "doctor ward"} for number in range(4)]
    _, out, _ = call("predict", run / "bundle", write(tmp_path / "pairs.csv", rows), "--json")
    expected = [json.loads(line)["similarity"] for line in out.splitlines()]
    _, out, _ = call("search", run / "bundle", tmp_path / "pairs.csv", "doctor ward", "--top", "4", "--json")
    found = {json.loads(line)["found"]: json.loads(line)["similarity"] for line in out.splitlines()}
    assert [found[row["photo"]] for row in rows] == pytest.approx(expected, abs=1e-5)


def test_zero_shot_is_that_of_transformers(album: Path, checkpoints: Path, call: Call) -> None:
    import torch
    import transformers

    classes, prompts = ["river", "bond", "fever"], ["the {}", "a very good {}"]
    asked = [flag for prompt in prompts for flag in ("--prompts", prompt)]
    status, out, _ = call(
        "zeroshot", checkpoints / "clip", album / "00.png", album / "01.png", "--classes", ",".join(classes), *asked, "--json"
    )
    assert status == 0
    model = transformers.AutoModel.from_pretrained(str(checkpoints / "clip")).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(str(checkpoints / "clip"))
    backbone = registry.create("backbones", "image", {"source": str(checkpoints / "clip")})
    pixels = backbone.collate([backbone.encode({"image": str(album / name)}) for name in ("00.png", "01.png")])["pixels"]
    texts = tokens([p.replace("{}", c) for c in classes for p in prompts], return_tensors="pt", padding=True)
    with torch.no_grad():
        said = model(pixel_values=pixels, input_ids=texts["input_ids"], attention_mask=texts["attention_mask"])
    mean = torch.nn.functional.normalize(said.text_embeds.reshape(3, 2, -1).mean(1), dim=-1)
    expected = (model.logit_scale.exp() * said.image_embeds @ mean.T).softmax(-1)
    found = [json.loads(line) for line in out.splitlines()]
    assert [list(item["probabilities"].values()) for item in found] == [pytest.approx(row, abs=1e-5) for row in expected.tolist()]
    assert [item["label"] for item in found] == [classes[int(i)] for i in expected.argmax(-1)]


WRONG = {
    "one class": (["zeroshot", "CLIP", "ALBUM/00.png", "--classes", "river"], 2, "two or more"),
    "a class twice": (["zeroshot", "CLIP", "ALBUM/00.png", "--classes", "a,b,a"], 2, "different names"),
    "no place for the name": (["zeroshot", "CLIP", "ALBUM/00.png", "--classes", "a,b", "--prompts", "a photo"], 2, "{}"),
    "no such picture": (["zeroshot", "CLIP", "ALBUM/99.png", "--classes", "a,b"], 1, "does not exist"),
    "no such query": (["search", "CLIP", "ALBUM", "99.png"], 1, "does not exist"),
    "an empty query": (["search", "CLIP", "ALBUM", " "], 2, "a query is empty"),
    "nothing found": (["search", "CLIP", "ALBUM", "a", "--top", "0"], 2, "at least 1"),
    "other columns": (["search", "CLIP", "ALBUM/captions.csv", "a river"], 2, "no column called image"),
    "two encoders": (["search", "timm:test_resnet+minilm", "ALBUM", "a"], 1, "no training has put into one space"),
    "no pairs": (["search", "minilm", "ALBUM", "a"], 1, "no CLIP or SigLIP"),
    "pieces": (
        ["tune", "ALBUM/captions.csv", "--task", "contrastive", "--backbone", "CLIP", "--accumulate", "2"],
        2,
        "smaller --batch-size",
    ),
    "a head at once": (
        ["tune", "ALBUM/captions.csv", "--task", "contrastive", "--backbone", "CLIP", "--adapter", "probe"],
        1,
        "--adapter head",
    ),
    "another modality": (["tune", "ALBUM/captions.csv", "--task", "contrastive", "--modality", "text"], 1, "--modality dual_encoder"),
    "no captions": (["tune", "ALBUM/photos.csv", "--task", "contrastive", "--backbone", "CLIP"], 2, "at least one of texts"),
    "one picture": (["tune", "ALBUM/one.csv", "--task", "contrastive", "--backbone", "CLIP"], 1, ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(
    name: str, album: Path, checkpoints: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(album / "photos.csv", [{"photo": f"{number:02d}.png"} for number in range(18)])
    write(album / "one.csv", [{"photo": "00.png", "caption": f"river stone {number}"} for number in range(8)])
    arguments, status, said = WRONG[name]
    given = [part.replace("ALBUM", str(album)).replace("CLIP", str(checkpoints / "clip")) for part in arguments]
    found, _, err = call(*given)
    assert found == status, err
    assert said in err
    assert not list(tmp_path.glob("runs/*"))
