"""Few labelled texts: tunesmith against SetFit and against sentence-transformers with LogisticRegression.

    python benchmarks/bench_sentences.py [--shots 8] [--repeats 3]

AG News with a few rows a class. All that is labelled is in those rows: tunesmith divides its validation rows off from them. Each round
draws other rows, the same for all sides, and the test rows (the 1,000 of the data set, or as many as --rows says) stay.
"""

from __future__ import annotations

import random
from pathlib import Path

from _pairs import WORK, Measured, in_turn, options_of, parser, peer, table, texts, tunesmith, write_rows

LORA = ("--adapter", "lora", "--epochs", "20", "--batch-size", "8")


def draw(data: Path, shots: int, seed: int) -> Path:
    """A file with `shots` rows of each class."""
    rows = texts(data / "ag_news_4k" / "train.csv")
    random.Random(seed).shuffle(rows)
    few = [row for label in sorted({row["label"] for row in rows}) for row in [r for r in rows if r["label"] == label][:shots]]
    return write_rows(WORK / "sentences" / f"train-{seed}.csv", few)


def main() -> None:
    """Run the sides in turn and print the table."""
    made = parser(__doc__)
    made.add_argument("--shots", type=int, default=8, help="labelled rows a class")
    options = options_of(made)
    test = write_rows(WORK / "sentences" / "test.csv", texts(options.data / "ag_news_4k" / "test.csv")[: options.rows])
    found: dict[str, list[Measured]] = {}
    for number in range(options.repeats):
        files = [draw(options.data, options.shots, number), test]
        given = [*files, "--inputs", "text", "--label", "label", "--set", "backbone.max_length=256"]
        sides = {
            "tunesmith probe": lambda given=given: tunesmith(*given, "--adapter", "probe"),
            "tunesmith LoRA": lambda given=given: tunesmith(*given, *LORA),
            "sentence-transformers + LogisticRegression": lambda files=files: peer(options.peers, "logistic.py", *files),
            "SetFit": lambda files=files: peer(options.peers, "few_shots.py", *files),
        }
        for name, runs in in_turn(sides, 1).items():
            found.setdefault(name, []).extend(runs)
    print(f"AG News, {options.shots} rows a class, rounds: {options.repeats}\n")
    print(table(found))


if __name__ == "__main__":
    main()
