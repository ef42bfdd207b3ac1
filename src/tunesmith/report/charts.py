"""Charts as SVG text: small pure functions of numbers, without a drawing library and without colours of their own.

Colours are CSS variables of the page (`--ink`, `--muted`, `--grid`, `--first`, `--second`), so a chart follows light and dark. Each is an
image with a label for those who do not see it, and tells series apart by shape as well as by colour. Texts are escaped here.

A chart is drawn WIDTH units wide and scaled by the page: small enough that its letters can be read on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 12, 40
MOST_POINTS = 300
"""Points of a line; of more, neighbours are averaged."""

Point = tuple[float, float]
Range = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A series.

    Attributes:
        name: in the legend.
        points: (x, y) in the order of x.
        series: 1 or 2: colour, and the shape of its marks.
        marks: whether its points are marked.
        faint: whether it stands in the background.
    """

    name: str
    points: Sequence[Point]
    series: int = 1
    marks: bool = False
    faint: bool = False


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within a range.

    Example:
        >>> ticks(0, 1), ticks(0, 35)
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 10.0, 20.0, 30.0])
    """
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most + 1e-9)
    return [round(i * step, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def spread(values: Iterable[float], pad: float = 0.05) -> Range:
    """Lowest and highest value with a margin; never empty.

    Example:
        >>> spread([1.0, 3.0], 0.5), spread([2.0])
        ((0.0, 4.0), (1.5, 2.5))
    """
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    margin = (high - low) * pad or 0.5
    return low - margin, high + margin


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most so many points: the means of equally many neighbours.

    Example:
        >>> thinned([(0, 1), (1, 3), (2, 5), (3, 7)], 2)
        [(0.5, 2.0), (2.5, 6.0)]
    """
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def running_mean(points: Sequence[Point], width: int) -> list[Point]:
    """Each y replaced by the mean of the last `width`.

    Example:
        >>> running_mean([(0, 2.0), (1, 4.0), (2, 6.0)], 2)
        [(0, 2.0), (1, 3.0), (2, 5.0)]
    """
    found, total = [], 0.0
    for i, (x, y) in enumerate(points):
        total += y - (points[i - width][1] if i >= width else 0.0)
        found.append((x, total / min(i + 1, width)))
    return found


@dataclass(frozen=True)
class _Frame:
    """Where numbers lie in a chart."""

    x: Range
    y: Range
    height: int = HEIGHT

    def across(self, value: float) -> float:
        return LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)

    def down(self, value: float) -> float:
        return self.height - BOTTOM - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM)

    def at(self, point: Point) -> str:
        return f"{self.across(point[0]):.1f},{self.down(point[1]):.1f}"

    def axes(self, x_name: str, y_name: str, show: Callable[[float], str]) -> str:
        """Grid, numbers and names of both axes."""
        parts = []
        for value in ticks(*self.y):
            y = self.down(value)
            parts.append(f'<path class="grid" d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(show(value))}</text>')
        for value in ticks(*self.x):
            x = self.across(value)
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{self.height - BOTTOM + 16}" text-anchor="middle">{escape(show(value))}</text>'
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<path class="axis" d="M{LEFT},{self.height - BOTTOM}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="name" x="{middle}" y="{self.height - 6}" text-anchor="middle">{escape(x_name)}</text>')
        center = (TOP + self.height - BOTTOM) / 2
        parts.append(f'<text class="name" transform="translate(11,{center}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>')
        return "".join(parts)


def _svg(body: str, label: str, width: int = WIDTH, height: int = HEIGHT, kind: str = "chart") -> str:
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{body}</svg>'


def _mark(frame: _Frame, point: Point, series: int) -> str:
    """A circle for the first series, a diamond for the second."""
    x, y = frame.across(point[0]), frame.down(point[1])
    if series == 1:
        return f'<circle class="mark s1" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>'
    return f'<path class="mark s2" d="M{x:.1f},{y - 4.4:.1f}l4.4,4.4l-4.4,4.4l-4.4,-4.4z"/>'


def _drawn(frame: _Frame, line: Line) -> str:
    points = [point for point in line.points if math.isfinite(point[1])]
    kind = f"line s{line.series}" + (" faint" if line.faint else "")
    path = f'<polyline class="{kind}" points="{" ".join(map(frame.at, points))}"/>' if len(points) > 1 else ""
    return path + ("".join(_mark(frame, point, line.series) for point in points) if line.marks or len(points) == 1 else "")


def plain(value: float) -> str:
    """A number on an axis.

    Example:
        >>> plain(0.25), plain(30.0), plain(1250000.0)
        ('0.25', '30', '1.25e+06')
    """
    return f"{value:g}"


def percent(value: float) -> str:
    """A share on an axis."""
    return f"{value * 100:g}%"


def lines(
    series: Sequence[Line], x_name: str, y_name: str, label: str, y: Range | None = None, show: Callable[[float], str] = plain
) -> str:
    """Lines over a common x.

    Args:
        series: at least one point altogether.
        x_name, y_name: names of the axes.
        label: what the chart shows, for those who do not see it.
        y: range of y; None for that of the points.
        show: numbers of the axes as text.
    """
    xs = [x for line in series for x, _ in line.points]
    frame = _Frame(spread(xs, 0.02), y or spread(v for line in series for _, v in line.points))
    return _svg(frame.axes(x_name, y_name, show) + "".join(_drawn(frame, line) for line in series), label)


def fan(
    past: Sequence[Point], truth: Sequence[Point], said: Sequence[Point], band: Sequence[tuple[float, float, float]], label: str
) -> str:
    """What came before, what was forecast with its band, and what came.

    Args:
        past: (step, number) up to 0.
        truth: of the steps ahead; may lack some.
        said: the forecast of each step ahead.
        band: (step, low, high) of each step ahead; may be empty.
        label: what the chart shows, for those who do not see it.
    """
    ends = [value for _, low, high in band for value in (low, high)]
    ys = [value for _, value in (*past, *truth, *said)]
    frame = _Frame(spread([x for x, _ in (*past, *said)], 0.02), spread([*ys, *ends]))
    outline = [*((x, high) for x, _, high in band), *((x, low) for x, low, _ in reversed(band))]
    area = f'<polygon class="band" points="{" ".join(map(frame.at, outline))}"/>' if outline else ""
    series = [Line("past", past, 1, faint=True), Line("what came", truth, 1), Line("forecast", said, 2)]
    return _svg(frame.axes("steps ahead", "", plain) + area + "".join(_drawn(frame, line) for line in series), label)


def reliability(bins: Sequence[dict[str, float]], before: Sequence[dict[str, float]], label: str) -> str:
    """Confidence against the share that is right, with how many rows each bin holds along the bottom.

    Args:
        bins: after calibration: `low`, `high`, `count`, `confidence`, `accuracy`.
        before: the same before it; may be empty.
        label: what the chart shows, for those who do not see it.
    """
    frame = _Frame((0.0, 1.0), (0.0, 1.0), HEIGHT + 60)
    most = max(item["count"] for item in bins)
    bars = []
    for item in bins:
        left, right = frame.across(item["low"]), frame.across(item["high"])
        tall = 0.2 * item["count"] / most
        top, height = frame.down(tall), frame.down(0) - frame.down(tall)
        bars.append(f'<rect class="bar" x="{left + 1:.1f}" y="{top:.1f}" width="{max(1, right - left - 2):.1f}" height="{height:.1f}"/>')
    diagonal = f'<path class="ideal" d="M{frame.at((0, 0))}L{frame.at((1, 1))}"/>'
    series = [
        Line("before", [(item["confidence"], item["accuracy"]) for item in before], 2, marks=True),
        Line("after", [(item["confidence"], item["accuracy"]) for item in bins], 1, marks=True),
    ]
    axes = frame.axes("confidence", "share that is right", percent)
    return _svg("".join(bars) + axes + diagonal + "".join(_drawn(frame, line) for line in series), label, height=frame.height)


def whisker(value: float, pair: Sequence[float] | None, scale: Range, reference: float | None = None, strong: bool = False) -> str:
    """A score as a dot on a line, with its interval; for the cell of a table, where the figures stand beside it.

    Args:
        value: the score.
        pair: both ends of its interval.
        scale: what the whole width means.
        reference: a value to compare with, drawn as a line.
        strong: whether it is the one to look at.
    """
    width, height = 160, 20

    def across(number: float) -> float:
        inside = min(max(number, scale[0]), scale[1])
        return 4 + (inside - scale[0]) / (scale[1] - scale[0]) * (width - 8)

    parts = [f'<path class="grid" d="M4,{height / 2}H{width - 4}"/>']
    if reference is not None:
        parts.append(f'<path class="ideal" d="M{across(reference):.1f},1V{height - 1}"/>')
    series = 2 if strong else 1
    if pair:
        low, high = across(pair[0]), across(pair[1])
        middle = height / 2
        parts.append(
            f'<path class="line s{series}" d="M{low:.1f},{middle - 4}V{middle + 4}M{low:.1f},{middle}H{high:.1f}'
            f'M{high:.1f},{middle - 4}V{middle + 4}"/>'
        )
    parts.append(f'<circle class="mark s{series}" cx="{across(value):.1f}" cy="{height / 2}" r="4"/>')
    return f'<svg class="whisker" viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(parts)}</svg>'
