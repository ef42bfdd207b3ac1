"""A table of labelled frames from drives whose every pixel was named: a decision, a steering angle, and how much the picture moves.

    python examples/driving/frames.py camvid_240x180 frames.csv

reads `SPLIT/images/DRIVE_NUMBER.jpg` and `SPLIT/masks/DRIVE_NUMBER.png` (class numbers, as in CamVid) and writes one line a frame:

    image                              drive     stretch     frame  motion  decision  angle
    /.../train/images/0016E5_00390.jpg 0016E5-1  0016E5-1/0  390    11.2    brake     -3.1

- `decision` is `brake` where cars, pedestrians and bicyclists cover more than `AHEAD` of what lies ahead: the middle below the horizon.
- `angle` is the direction in degrees, right positive, from the middle of the lower edge to the middle of the road at half its height;
  empty where no road is seen there.
- `motion` is the mean change of grey values since the last frame that is a second older, in levels of 255: it stands in for the speed
  that a car would know. Empty where a drive begins.
- `drive` is the recording the frame belongs to; a gap of more than `GAP` frames begins another. `stretch` is half a minute of it.

These labels follow from the masks by rule. They show how frames are learned from; they are nothing to steer a car by.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

ROAD, CAR, PEDESTRIAN, BICYCLIST = 3, 8, 9, 10
AHEAD = 0.05
GAP = 300
STRETCH = 900
SECOND = 29
"""Frames of a second, about, as the numbers in CamVid's names count them."""
COLUMNS = ("image", "drive", "stretch", "frame", "motion", "decision", "angle")


@dataclass(frozen=True)
class Frame:
    """A picture, its mask, and which frame of which recording it is."""

    image: Path
    mask: Path
    recording: str
    number: int


def frames(root: Path) -> list[Frame]:
    """All frames below a folder, drive after drive in the order in which they were taken."""
    found = []
    for image in root.glob("*/images/*.jpg"):
        name = re.fullmatch(r"(\w+?)_f?(\d+)", image.stem)
        if name:
            found.append(Frame(image, image.parents[1] / "masks" / f"{image.stem}.png", name[1], int(name[2])))
    return sorted(found, key=lambda frame: (frame.recording, frame.number))


def decision(mask: npt.NDArray[np.uint8]) -> str:
    """`brake` or `go`, by what covers the middle below the horizon."""
    height, width = mask.shape
    ahead = mask[height * 55 // 100 : height * 90 // 100, width * 35 // 100 : width * 65 // 100]
    return "brake" if np.isin(ahead, (CAR, PEDESTRIAN, BICYCLIST)).mean() > AHEAD else "go"


def angle(mask: npt.NDArray[np.uint8]) -> float | None:
    """Degrees from the middle of the lower edge to the middle of the road between 55 and 75 % of the height; None where there is none."""
    height, width = mask.shape
    top, bottom = height * 55 // 100, height * 75 // 100
    rows, columns = np.nonzero(mask[top:bottom] == ROAD)
    if len(columns) < 0.02 * (bottom - top) * width:
        return None
    across, up = float(columns.mean()) + 0.5 - width / 2, height - (top + float(rows.mean()) + 0.5)
    return math.degrees(math.atan2(across, up))


def table(root: Path) -> Iterator[dict[str, object]]:
    """One row a frame."""
    seen: list[tuple[Frame, npt.NDArray[np.float32]]] = []
    part = 0
    for frame in frames(root):
        mask = np.asarray(Image.open(frame.mask))
        grey = np.asarray(Image.open(frame.image).convert("L"), np.float32)
        same = bool(seen) and seen[-1][0].recording == frame.recording
        if not same or frame.number - seen[-1][0].number > GAP:
            part, seen = part + 1 if same else 1, []
        older = next((light for other, light in reversed(seen) if frame.number - other.number >= SECOND), None)
        turn = angle(mask)
        yield {
            "image": frame.image.resolve(),
            "drive": f"{frame.recording}-{part}",
            "stretch": f"{frame.recording}-{part}/{frame.number // STRETCH}",
            "frame": frame.number,
            "motion": "" if older is None else f"{float(np.abs(grey - older).mean()):.2f}",
            "decision": decision(mask),
            "angle": "" if turn is None else f"{turn:.2f}",
        }
        seen = [*seen[-SECOND:], (frame, grey)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a table of labelled frames.")
    parser.add_argument("root", type=Path, help="folder with SPLIT/images and SPLIT/masks")
    parser.add_argument("out", type=Path, help="the table (CSV)")
    given = parser.parse_args()
    rows = list(table(given.root))
    if not rows:
        raise SystemExit(f"no frame SPLIT/images/DRIVE_NUMBER.jpg below {given.root}")
    with given.out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    drives = {row["drive"] for row in rows}
    print(f"{len(rows)} frames of {len(drives)} drives in {given.out}")


if __name__ == "__main__":
    main()
