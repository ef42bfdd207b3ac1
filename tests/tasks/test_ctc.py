"""CTC against transformers' own model of it, a loss summed by hand over all alignments, and times worked out by hand."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers
from tests import tiny_sounds
from tests.contracts.table import backbone, case

from tunesmith.core import registry
from tunesmith.core.arrays import ragged
from tunesmith.core.contracts import Features, Task
from tunesmith.core.errors import DataError, RowError
from tunesmith.tasks._alignment import AlignmentHead
from tunesmith.tasks._spelling import written
from tunesmith.tasks.ctc import Ctc, runs


def tone(seconds: float, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(int(seconds * rate)) / 5) * 0.3, rate, format="WAV")
    return buffer.getvalue()


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [symbol for symbol, _ in itertools.groupby(path) if symbol]


def test_the_loss_is_that_of_all_alignments_summed_by_hand() -> None:
    task = Ctc(characters=("a", "b"))
    logp = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    frames, texts = torch.tensor([5, 3]), ["aab", "b"]

    def model(batch: Any) -> Any:
        return logp, frames

    batch = {"target": task.collate(texts)}
    expected = 0.0
    for row, count, text in zip(logp, frames.tolist(), texts, strict=True):
        wanted = ["ab".index(letter) + 1 for letter in text]
        paths = (path for path in itertools.product(range(3), repeat=count) if collapsed(path) == wanted)
        expected -= math.log(sum(math.exp(sum(float(row[t, s]) for t, s in enumerate(path))) for path in paths))
    assert float(task.loss(model, batch, "main")) == pytest.approx(expected, rel=1e-5)  # type: ignore[arg-type]
    assert task.weight(batch, "main") == 4


def test_words_have_the_times_of_their_frames() -> None:
    task = Ctc(characters=(" ", "a", "b"))
    symbols = np.array([0, 2, 2, 0, 3, 1, 0, 3, 3])  # a b, a space, b
    logp = np.log(np.array([0.5, 1.0, 1.0, 0.5, 1.0, 1.0, 0.5, 1.0, 1.0], np.float32))
    found = task.decode(ragged([runs(symbols, logp, 0.02)]))[0]
    assert found["text"] == "ab b"
    assert found["words"] == [{"word": "ab", "start": 0.02, "end": 0.1}, {"word": "b", "start": 0.14, "end": 0.18}]
    assert found["confidence"] == pytest.approx(math.exp(3 * math.log(0.5) / 9), rel=1e-6)
    assert task.confidence(ragged([runs(symbols, logp, 0.02)]))[0] == pytest.approx(found["confidence"])
    again = task.decode(ragged([runs(np.array([2, 2, 0, 2, 1, 1]), np.zeros(6, np.float32), 1.0)]))[0]
    assert again["text"] == "aa"
    assert task.decode(ragged([runs(np.zeros(4, np.int64), np.zeros(4, np.float32), 1.0)]))[0]["text"] == ""


def test_padding_is_no_part_of_a_transcript() -> None:
    head = AlignmentHead(4, 3, 0.0)
    tokens, mask = torch.randn(2, 6, 4), torch.tensor([[1] * 6, [1] * 2 + [0] * 4])
    logp, frames = head(Features(tokens=tokens, mask=mask))
    assert logp.exp().sum(-1).allclose(torch.ones(2, 6))
    assert frames.tolist() == [6, 2]


def test_the_alphabet_is_that_of_the_training_rows_and_others_stay_errors() -> None:
    task = Ctc(label=("said",))
    raws = [task.raw({"said": text}) for text in ["  Hello  there ", "OK"]]
    assert raws == ["hello there", "ok"]
    fitted = task.fit(raws)
    assert fitted.characters == tuple(sorted(set("hello there" + "ok")))
    target = fitted.target(fitted.raw({"said": "héllo zoo"}))
    assert target == "héllo zoo"
    told = fitted.collate([target])
    assert told["lengths"].tolist() == [len("hllo oo")]
    for missing in (None, "", "  ", float("nan")):
        with pytest.raises(RowError, match="missing"):
            task.raw({"said": missing})
    with pytest.raises(RowError, match="nothing is left"):
        Ctc(punctuation="drop").raw({"label": "..."})


def test_spelling() -> None:
    assert (
        written("It\N{RIGHT SINGLE QUOTATION MARK}s 'fine'-ish, OK?", "lower", "drop") == "it\N{RIGHT SINGLE QUOTATION MARK}s fine ish ok"
    )
    assert written("a-b", punctuation="drop", known="-") == "a-b"
    assert written("Cafe\N{COMBINING ACUTE ACCENT}", "upper") == "CAF\N{LATIN CAPITAL LETTER E WITH ACUTE}"


def test_a_transcript_that_is_too_long_for_its_recording_is_named(checkpoints: Path) -> None:
    task, made = Ctc().meet(backbone(checkpoints, "sounds"))
    row = {"audio": tone(0.2), "label": "ab"}
    assert task.check(row, made) is None
    assert made.frames(row) == 10  # 20 ms each; nothing is faster than it is where nothing is changed
    with pytest.raises(RowError, match=r"transcript of 30 characters needs 59 frames and the recording has 10 \(0.20 s\)"):
        task.check({**row, "label": "a" * 30}, made)


def test_recordings_are_read_whole_or_refused(checkpoints: Path) -> None:
    _, made = Ctc().meet(backbone(checkpoints, "sounds", seconds=0.5))
    assert made.settings()["seconds"] == 30
    short = dataclasses.replace(made, seconds=0.5)  # type: ignore[type-var]
    with pytest.raises(RowError, match=r"0.6 s is longer than the 0.5 s that are read at once"):
        short.check({"audio": tone(0.6)})
    short.usable({"audio": tone(0.6)})
    for seed in range(20):  # changed at random, and still all of it
        item = short.encode({"audio": tone(0.49)}, Random(seed))
        assert item["samples"][0] >= 0.49 * 8000 / 1.1
        assert item["samples"][0] <= 0.5 * 8000


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Wav2Vec2ForCTC with its alphabet, the blank at the end as fine-tuning scripts leave it."""
    folder = tmp_path_factory.mktemp("ctc")
    torch.manual_seed(3)
    names = ["|", "'", "A", "B", "<s>", "</s>", "<unk>", "<pad>"]
    settings = {**tiny_sounds.WAVES, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
    config = transformers.Wav2Vec2Config(**settings, vocab_size=len(names), pad_token_id=7)
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({name: place for place, name in enumerate(names)}))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), pad_token="<pad>").save_pretrained(folder)
    return folder


def test_a_checkpoint_with_a_head_goes_on_with_it_as_transformers_reads_it(hub: Path) -> None:
    created: Task = registry.create("tasks", "ctc", {})
    task, made = created.meet(registry.create("backbones", "audio", {"source": str(hub)}))
    assert isinstance(task, Ctc)
    assert (task.characters, task.case, task.punctuation) == ((" ", "'", "A", "B"), "upper", "drop")
    task = task.fit([task.raw({"label": "a, b!"})])
    model = task.build(made).eval()
    row = {"audio": tone(0.7, 16000)}
    with torch.no_grad():
        found = task.decode(task.predict(model, {"inputs": made.collate([made.encode(row)])}))[0]
        whole = transformers.Wav2Vec2ForCTC.from_pretrained(hub).eval()
        values = transformers.AutoFeatureExtractor.from_pretrained(hub)(
            soundfile.read(io.BytesIO(row["audio"]))[0], sampling_rate=16000, return_tensors="pt"
        )
        logits = whole(**values).logits[0]
    kept = logits[:, [7, 0, 1, 2, 3]].argmax(-1).tolist()
    expected = "".join(" 'AB"[symbol - 1] for symbol in collapsed(tuple(kept)))
    assert found["text"] == " ".join(expected.split())
    assert any(kept)
    passed = task.one_pass(model, {"inputs": made.collate([made.encode(row)])})[0]
    torch.testing.assert_close(torch.tensor(passed), logits[:, [7, 0, 1, 2, 3]].log_softmax(-1), rtol=1e-4, atol=1e-5)


def test_an_alphabet_that_fits_no_transcript_is_refused_with_the_way_out(hub: Path) -> None:
    task, _ = Ctc().meet(registry.create("backbones", "audio", {"source": str(hub)}))
    with pytest.raises(DataError, match=r"task\.alphabet=rows"):
        task.fit(["ÖÖ"])
    own, _ = Ctc(alphabet="rows").meet(registry.create("backbones", "audio", {"source": str(hub)}))
    assert own.fit(["öö"]).settings()["characters"] == ("ö",)


def test_transcripts_do_not_depend_on_what_is_beside_them(checkpoints: Path) -> None:
    made = case(backbone(checkpoints, "wav2vec2"), "ctc", {}, rows=5)
    made.model.eval()
    with torch.no_grad():
        whole = made.task.one_pass(made.model, made.batch())
        single = [made.task.one_pass(made.model, made.batch(i, i + 1))[0] for i in range(5)]
    assert len({len(row) for row in whole}) > 1
    for one, other in zip(whole, single, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
