"""The bundle's README: a model card as the Hugging Face hub reads it, written from what was measured.

No licence is stated: that of the data and of the base model decide, and only the owner knows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.report import words
from tunesmith.report.facts import scores
from tunesmith.report.summary import slice_name, sure

PIPELINES = {
    ("text", "classification"): "text-classification",
    ("text", "multilabel"): "text-classification",
    ("image", "classification"): "image-classification",
    ("image", "multilabel"): "image-classification",
    ("dual_encoder", "contrastive"): "zero-shot-image-classification",
    ("tabular", "classification"): "tabular-classification",
    ("tabular", "regression"): "tabular-regression",
    ("audio", "ctc"): "automatic-speech-recognition",
    ("audio", "transcription"): "automatic-speech-recognition",
    ("audio", "classification"): "audio-classification",
    ("audio", "multilabel"): "audio-classification",
}
HUB_NAMES = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}
"""Where the embedded checkpoint stands on the hub."""

HUB_METRICS = {"macro_f1": "f1", "micro_f1": "f1", "weighted_f1": "f1", "mcc": "matthews_correlation", "auroc": "roc_auc", "rmse": "rmse"}
MOST_CLASSES = 30


def card(
    *,
    name: str,
    about: Mapping[str, Any],
    test: Mapping[str, Any],
    classes: Sequence[str],
    data: str = "rows",
    found: Mapping[str, Any] | None = None,
) -> str:
    """The card.

    Args:
        name: of the model.
        about: modality, inputs, label, example, backbone, task, adapter; `language` where it is known.
        test: scores of the test split.
        classes: names of the classes; empty for numbers.
        data: what the data is called, without its place.
        found: keys of metrics.json that are known by now.
    """
    keys = found or {}
    parts = [
        f"---\n{_metadata(name, about, test, data)}---\n",
        f"# {name}\n",
        _about(about, classes, data),
        _scores(test, keys),
        _worth(keys),
        _trust(keys),
        _limits(keys),
        _checks(keys),
        USE.format(example=about["example"]),
    ]
    return "\n".join(part for part in parts if part)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"


def base_model(backbone: str) -> str | None:
    """The hub id of a backbone; None where it is no checkpoint of the hub.

    Example:
        >>> base_model("microsoft/deberta-v3-small"), base_model("timm:resnet18"), base_model("minilm")
        ('microsoft/deberta-v3-small', None, 'sentence-transformers/all-MiniLM-L6-v2')
    """
    return HUB_NAMES.get(backbone) or (backbone if re.fullmatch(r"[\w.-]+/[\w.-]+", backbone) else None)


def _metadata(name: str, about: Mapping[str, Any], test: Mapping[str, Any], data: str) -> str:
    """YAML as https://huggingface.co/docs/hub/model-cards describes it."""
    import yaml

    pipeline = PIPELINES.get((about["modality"], about["task"]))
    base = base_model(about["backbone"])
    values = scores(test)
    results = [{"type": HUB_METRICS.get(key, key), "name": words.metric(key), "value": value} for key, value in values.items()]
    task = {"type": pipeline or about["task"], "name": words.metric(about["task"])}
    result = {"task": task, "dataset": {"name": data, "type": _slug(data), "split": "test"}, "metrics": results}
    metadata: dict[str, Any] = {
        "library_name": "tunesmith",
        "tags": list(dict.fromkeys([about["modality"], about["task"], about["adapter"]])),
    }
    metadata |= {"pipeline_tag": pipeline} if pipeline else {}
    metadata |= {"base_model": base} if base else {}
    metadata |= {"language": about["language"]} if about.get("language") else {}
    if results:
        metadata |= {"metrics": list(dict.fromkeys(item["type"] for item in results)), "model-index": [{"name": name, "results": [result]}]}
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _plain(text: Any) -> str:
    """Text from the data, so that Markdown takes it as text."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(str(text).split()))


def _about(about: Mapping[str, Any], classes: Sequence[str], data: str) -> str:
    shown = ", ".join(_plain(name) for name in classes[:MOST_CLASSES])
    shown += f" and {len(classes) - MOST_CLASSES} more" if len(classes) > MOST_CLASSES else ""
    what = f"{about['task'].capitalize()} of {about['modality']} rows"
    lines = [f"{what}, adapted from `{about['backbone']}` with the adapter `{about['adapter']}` on {_plain(data)}."]
    lines += [f"Classes: {shown}."] if classes else []
    said = f" Output: {_plain(about['label'])}." if about["label"] else ""
    lines.append(f"Inputs: {', '.join(map(_plain, about['inputs']))}.{said}")
    lines.append("Licence: none is stated here; that of the base model and of the data decide.")
    return "\n\n".join(lines) + "\n"


def _scores(test: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    intervals = found.get("intervals") or {}
    pairs = intervals.get("scores") or {}
    constant = found.get("constant") or {}
    level = words.share(float(intervals.get("level", 0.95)))
    rows = [
        f"| {words.metric(name)} | {words.number(value)} | {words.interval(pairs.get(name))} | {words.number(constant.get(name))} |"
        for name, value in scores(test).items()
    ]
    head = f"| metric | value | {level} interval | constant prediction |\n|---|---:|---:|---:|"
    return f"## Scores on {words.number(test.get('rows')) or 'the'} test rows\n\n{head}\n" + "\n".join(rows) + "\n"


def _worth(found: Mapping[str, Any]) -> str:
    told = [str(found["chance"])] if found.get("chance") else []
    verdict = found.get("verdict")
    told += [str(verdict["sentence"])] if verdict else []
    return f"## Was adapting worth it?\n\n{_plain(' '.join(told))}\n" if told else ""


def _trust(found: Mapping[str, Any]) -> str:
    lines = sure(found.get("calibration"))
    return "## How sure it may be\n\n" + "\n".join(map(_plain, lines)) + "\n" if lines else ""


def _limits(found: Mapping[str, Any]) -> str:
    lines = []
    slices, worst = found.get("slices") or (), found.get("worst_slice")
    if slices and worst is not None:
        item = slices[worst]
        name = f"{words.metric(found['slice_metric'])} is " if found.get("slice_metric") else "it scores "
        where = f"Where {slice_name(item)}, {name}{words.number(item['score'])} {words.interval(item.get('interval'))}".rstrip()
        lines.append(f"{where} on {words.counted(item['rows'], 'test row')}: less than elsewhere, by more than chance.")
    gate = found.get("gate") or {}
    lines += [
        f"{item['severity'].capitalize()} in the data: {item['what']}" for item in gate.get("findings") or () if item["severity"] != "info"
    ]
    lines.append("Measured on one division of one data set; rows of another kind may fare worse.")
    return "## Limitations\n\n" + "\n".join(f"- {_plain(line)}" for line in lines) + "\n"


def _checks(found: Mapping[str, Any]) -> str:
    checks = found.get("checks") or ()
    rows = [f"| {_plain(words.metric(c['name']))} | {c['status'].replace('_', ' ')} | {_plain(c['detail'])} |" for c in checks]
    return "## Checks\n\n| check | status | detail |\n|---|---|---|\n" + "\n".join(rows) + "\n" if rows else ""


USE = """## Use

```bash
tunesmith predict THIS_FOLDER rows.csv
```

```python
import tunesmith

model = tunesmith.load("THIS_FOLDER")
model.predict([{example}])
```
"""
