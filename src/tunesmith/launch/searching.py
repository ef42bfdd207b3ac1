"""The verbs `zeroshot` and `search`: pictures by names of classes alone, and what is nearest to a text or a picture."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.arrays import Floats, softmax
from tunesmith.core.errors import DataError, UsageError
from tunesmith.core.kinds import PICTURES
from tunesmith.data.bad_rows import BadRows
from tunesmith.launch import console, verbs
from tunesmith.launch.spaces import Side, Space

PROMPTS = ("a photo of a {}.",)
"""The sentence that Radford et al. 2021 (CLIP, section 3.1.4) begin with."""


def zero_shot(model: str, inputs: Sequence[str], classes: Sequence[str], prompts: Sequence[str], out: str | None, as_json: bool) -> int:
    """Classify pictures by the names of classes.

    A class is the mean of the vectors of its prompts (section 3.1.4 of the paper); probabilities are a softmax of scaled cosines.

    Args:
        model: bundle of a contrastive run, or a CLIP or SigLIP.
        inputs: pictures, folders of pictures, tables.
        classes: their names.
        prompts: sentences with {} for the name; empty for the default one.
        out: file to write, or None for standard output.
        as_json: one JSON object a line on standard output.
    """
    verbs.writable(out)
    repeated = [name for name, count in Counter(classes).items() if count > 1]
    if len(classes) < 2 or repeated:
        raise UsageError(f"--classes needs two or more different names, separated by commas (got {', '.join(classes) or 'none'})")
    prompts = list(prompts) or list(PROMPTS)
    if lacking := [prompt for prompt in prompts if "{}" not in prompt]:
        raise UsageError(f"--prompts says with {{}} where the name of the class stands, such as 'a photo of a {{}}.' (got {lacking[0]!r})")
    space, bad = Space(model), BadRows()
    named = class_vectors(space, classes, prompts)  # (classes, width)
    right: list[bool] = []

    def records() -> Iterator[dict[str, Any]]:
        for window, vectors in space.vectors("image", space.usable("image", [Path(name) for name in inputs], bad)):
            p = softmax(space.scale * (vectors @ named.T).astype(np.float64))
            for ((file, where), row), shares in zip(window, p.tolist(), strict=True):
                best = int(np.argmax(shares))
                if row.get("label") in classes:
                    right.append(row["label"] == classes[best])
                told = {"label": classes[best], "probability": shares[best], "probabilities": dict(zip(classes, shares, strict=True))}
                yield {"file": file, "where": where, **told}

    verbs.given(records(), bad, out, as_json)
    if right:
        share = sum(right) / len(right)
        console.say(
            f"of {len(right)} pictures that have one of these labels {sum(right)} are right ({share:.1%}; guessing {1 / len(classes):.1%})"
        )
    return 0


def class_vectors(space: Space, classes: Sequence[str], prompts: Sequence[str]) -> Floats:
    """(classes, width) vectors of length 1 of classes, each the mean over its prompts."""
    said = space.texts([prompt.replace("{}", name) for name in classes for prompt in prompts])
    mean = said.reshape(len(classes), len(prompts), -1).mean(axis=1)
    found: Floats = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), np.float32(1e-12))
    return found


def search(model: str, collection: str, queries: Sequence[str], top: int, out: str | None, as_json: bool) -> int:
    """Find what is nearest to texts or pictures.

    Args:
        model: bundle of a contrastive run, or a CLIP or SigLIP.
        collection: a folder of pictures; or a table, of which texts are searched by pictures and pictures by texts.
        queries: texts, or files of pictures.
        top: how many are found for each.
        out: file to write, or None for standard output.
        as_json: one JSON object a line on standard output.
    """
    verbs.writable(out)
    if top < 1:
        raise UsageError(f"--top must be at least 1 (got {top})")
    if blank := [query for query in queries if not query.strip()]:
        raise UsageError(f"a query is empty ({blank[0]!r}); give texts or files of pictures")
    asked = {query: _side(query) for query in queries}
    table = Path(collection).is_file() and Path(collection).suffix.lower() not in PICTURES
    space, bad = Space(model), BadRows()
    given: dict[Side, list[str]] = {"image": [], "text": []}
    for query, side in asked.items():
        given["text" if side == "image" and table else "image"].append(query)
    found: dict[str, list[dict[str, Any]]] = {}
    for side, some in given.items():
        if some:
            found |= nearest(space, side, collection, some, _vectors(space, some, asked), top, bad)
    records = [{"query": query, "rank": rank, **item} for query in asked for rank, item in enumerate(found[query], start=1)]
    verbs.warned(bad)
    if not records:
        raise DataError(f"nothing in {collection} could be searched" + (f"; {bad.summary()}" if bad.total else ""))
    _tell(records, out, as_json)
    return 0


def _side(query: str) -> Side:
    """What a query is.

    Raises:
        DataError: it is named like a picture and is no file.
    """
    if Path(query).suffix.lower() not in PICTURES:
        return "text"
    if not Path(query).is_file():
        raise DataError(f"the picture {query} does not exist; check the name and the folder")
    return "image"


def _vectors(space: Space, queries: Sequence[str], asked: dict[str, Side]) -> Floats:
    """(queries, width)."""
    column = space.backbone("image").columns[0]
    pictures = [query for query in queries if asked[query] == "image"]
    texts = [query for query in queries if asked[query] == "text"]
    found = dict(zip(texts, space.texts(texts), strict=True)) if texts else {}
    for window, vectors in space.vectors("image", ((query, {column: query}) for query in pictures)):
        found |= {query: vector for (query, _), vector in zip(window, vectors, strict=True)}
    return np.stack([found[query] for query in queries])


def nearest(
    space: Space, side: Side, collection: str, queries: Sequence[str], vectors: Floats, top: int, bad: BadRows
) -> dict[str, list[dict[str, Any]]]:
    """Of each query the nearest in a collection, the nearest first; what repeats is found once.

    Args:
        space: gives vectors.
        side: what of the collection is searched.
        collection: files.
        queries: as they are told.
        vectors: (queries, width) of them.
        top: how many of each.
        bad: receives rows that cannot be used.
    """
    column = space.backbone(side).columns[0]
    best: list[list[tuple[float, int, dict[str, Any]]]] = [[] for _ in queries]
    seen: set[int] = set()
    for window, found in space.vectors(side, space.usable(side, [Path(collection)], bad)):
        similar = vectors @ found.T  # (queries, window)
        fresh = []
        for place, (_, row) in enumerate(window):
            mark = hash(row[column])
            if mark not in seen:
                seen.add(mark)
                fresh.append(place)
        for number, scores in enumerate(similar):
            order = sorted(fresh, key=lambda place: -scores[place])[:top]
            some = [(float(scores[place]), -len(seen) - place, _shown(window[place], column)) for place in order]
            best[number] = heapq.nlargest(top, [*best[number], *some], key=lambda item: item[:2])
    return {query: [{"similarity": score, **shown} for score, _, shown in items] for query, items in zip(queries, best, strict=True)}


def _shown(item: tuple[tuple[str, str], Any], column: str) -> dict[str, Any]:
    (file, where), row = item
    value = row[column]
    return {"found": value if isinstance(value, str) else f"<{len(value)} bytes>", "file": file, "where": where}


def _tell(records: list[dict[str, Any]], out: str | None, as_json: bool) -> None:
    if out:
        verbs.write(iter(records), Path(out))
        console.say(f"{len(records)} found in {out}")
        return
    for record in records:
        if as_json:
            print(json.dumps(record, ensure_ascii=False))
            continue
        if record["rank"] == 1:
            print(record["query"])
        print(f"  {record['rank']}. {record['similarity']:.3f}  {record['found']}")
