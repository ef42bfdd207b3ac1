"""Sentence embeddings of MiniLM by sentence-transformers, then scikit-learn's logistic regression on them.

`encode` is left at its defaults (it sorts texts by length and computes 32 at a time). Training is embedding the training rows and fitting.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

from _told import minilm, told
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV


def read(path: str) -> tuple[list[str], list[str]]:
    """Texts and labels of a CSV."""
    with Path(path).open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def main() -> None:
    """Embed, fit, score the test rows, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--cv", action="store_true", help="search the penalty by cross-validation")
    options = parser.parse_args()
    model = SentenceTransformer(minilm(), device="cpu")
    model.max_seq_length = 256
    texts, labels = read(options.train)
    started = time.perf_counter()
    x = model.encode(texts)
    if options.cv:
        head = LogisticRegressionCV(l1_ratios=(0.0,), use_legacy_attributes=False, scoring="accuracy", max_iter=1000).fit(x, labels)
    else:
        head = LogisticRegression(max_iter=1000).fit(x, labels)
    seconds = time.perf_counter() - started
    texts, labels = read(options.test)
    told(seconds, float(head.score(model.encode(texts), labels)), cv=options.cv)


if __name__ == "__main__":
    main()
