"""ResNet-18 from random weights on CIFAR-10: tunesmith against a loop written as torchvision's reference training is.

    python benchmarks/bench_pictures.py [--rows 2000] [--size 64] [--epochs 2] [--repeats 3]

Both sides: AdamW at 5e-4 with warmup and linear fall, batches of 32, random crops and flips. tunesmith crops 60 to 100% of a picture's
area, the reference 8 to 100%. Each side runs with the reading in the training process and with two processes that read.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from _pairs import WORK, Measured, in_turn, options_of, parser, peer, table, tunesmith


def linked(data: Path, rows: int) -> Path:
    """A folder of train, validation and test, each with a folder a class, of links to the pictures."""
    folder = WORK / "pictures"
    shutil.rmtree(folder, ignore_errors=True)
    each, held = max(rows // 10, 2), max(rows // 50, 2)
    for kind in sorted(path for path in (data / "cifar10_images" / "train").iterdir()):
        known = sorted(kind.iterdir())
        if each + held > len(known):
            raise SystemExit(f"--rows {rows} with {held * 10} for validation is more than the {len(known) * 10} pictures here")
        tests = sorted((data / "cifar10_images" / "test" / kind.name).iterdir())[: max(each // 2, 4)]
        for split, pictures in (("train", known[:each]), ("validation", known[each : each + held]), ("test", tests)):
            (folder / split / kind.name).mkdir(parents=True)
            for picture in pictures:
                (folder / split / kind.name / picture.name).symlink_to(picture.resolve())
    return folder


def main() -> None:
    """Run the sides in turn and print the table."""
    made = parser(__doc__, rows=2000)
    made.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    made.add_argument("--epochs", type=int, default=2)
    options = options_of(made, quick_rows=100)
    folder = linked(options.data, options.rows)
    shared = ["--epochs", str(options.epochs), "--lr", "5e-4"]
    given = [folder, "--backbone", "torchvision:resnet18", "--scratch", "--set", f"backbone.size={options.size}", "--adapter", "full"]
    given += [*shared, "--head-lr", "5e-4", "--schedule", "linear"]

    def ours(workers: int) -> Measured:
        return _an_epoch(tunesmith(*given, "--workers", str(workers)), options.epochs)

    def theirs(workers: int) -> Measured:
        found = peer(options.peers, "pictures.py", folder, *shared, "--size", str(options.size), "--workers", str(workers))
        return _an_epoch(found, options.epochs)

    sides = {
        "tunesmith, reads in the training process": lambda: ours(0),
        "tunesmith, 2 processes that read": lambda: ours(2),
        "reference, reads in the training process": lambda: theirs(0),
        "reference, 2 processes that read": lambda: theirs(2),
    }
    found = in_turn(sides, options.repeats)
    print(f"ResNet-18, CIFAR-10 at {options.size} pixels, {options.rows} pictures, epochs: {options.epochs}, rounds: {options.repeats}\n")
    print(table(found, "an epoch"))


def _an_epoch(found: Measured, epochs: int) -> Measured:
    return replace(found, train=found.train / epochs)


if __name__ == "__main__":
    main()
