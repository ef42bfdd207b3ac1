"""The page of a run, read back by an HTML parser: it stands alone, shows what there is, and takes no text for markup."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.report import runs

from tunesmith.core.errors import UsageError
from tunesmith.report import charts, facts, page, summary

VOID = {"meta", "img", "br", "link"}
OF_KEY = {
    "scoreboard": "scoreboard",
    "modalities": "modalities",
    "slices": "slices",
    "mistakes": "mistakes",
    "checks": "checks",
    "cost": "cost",
    "expected": "expected",
}


class Read(HTMLParser):
    """Tags with their attributes, and the texts of headings and cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def sections(self) -> list[str]:
        return [str(attributes["id"]) for tag, attributes in self.tags if tag == "section"]


def read(tmp_path: Path, found: dict[str, Any], **recipe: Any) -> Read:
    return Read(page.write(runs.write(tmp_path / "run", found, runs.recipe(**recipe))).read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(tmp_path_factory.mktemp("page"), runs.metrics())


def test_the_page_stands_alone(whole: Read) -> None:
    for tag, attributes in whole.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert str(attributes.get(name) or "#").startswith(("#", "data:image/"))
    assert "url(" not in whole.texts["style"][0]
    assert "@import" not in whole.texts["style"][0]


def test_anchors_names_and_headings_are_in_order(whole: Read) -> None:
    ids = [attributes["id"] for _, attributes in whole.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(attributes["href"])[1:] for tag, attributes in whole.tags if tag == "a"]
    assert links == whole.sections()[1:]
    headings = [int(tag[1]) for tag, _ in whole.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
    for tag, attributes in whole.tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"


def test_coverage_of_later_rows_is_not_promised(tmp_path: Path, whole: Read) -> None:
    data = {**runs.recipe()["data"], "time": "sent"}
    later = read(tmp_path, runs.metrics(), data=data)
    told = "Test rows are later ones (by 'sent')"
    assert told in " ".join(later.texts["p"])
    assert told not in " ".join(whole.texts["p"])


def test_the_order_of_the_sections(whole: Read) -> None:
    assert whole.sections() == [
        *(
            "summary",
            "scoreboard",
            "scores",
            "learning",
            "confusion",
            "classes",
            "calibration",
            "modalities",
            "slices",
            "mistakes",
            "data",
            "checks",
        ),
        *("cost", "expected", "recipe", "environment", "reproduce"),
    ]


@pytest.mark.parametrize("key", sorted(OF_KEY))
@pytest.mark.parametrize("null", [True, False])
def test_a_key_that_is_absent_leaves_its_section_out_and_no_other(tmp_path: Path, whole: Read, key: str, null: bool) -> None:
    found = runs.metrics()
    if null:
        found[key] = None
    else:
        del found[key]
    gone = {OF_KEY[key], *(["expected"] if key == "cost" else [])}
    assert read(tmp_path, found).sections() == [name for name in whole.sections() if name not in gone]


def test_a_run_with_nothing_but_test_scores(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run", {"test": {"rmse": 1234.5, "rows": 10}}, runs.recipe(task="regression"))
    for path in (folder / "report").iterdir():
        path.unlink()
    (folder / "logs" / "metrics.jsonl").unlink()
    (folder / "environment.json").unlink()
    found = Read(page.write(folder).read_text())
    assert found.sections() == ["summary", "scores", "recipe", "reproduce"]
    assert "1,234.5" in found.texts["td"]


def test_text_of_the_data_is_never_markup(whole: Read, tmp_path: Path) -> None:
    assert not [
        attributes for tag, attributes in whole.tags if tag == "img" and not str(attributes["src"]).startswith("data:image/png;base64,")
    ]
    assert [text for text in whole.texts["td"] if text == f"a fee {runs.HOSTILE}"]
    assert [text for text in whole.texts["li"] if runs.HOSTILE in text]
    assert whole.texts["th"].count(runs.HOSTILE) == 3  # two headings of rows, one of a column
    hostile = json.loads(json.dumps(runs.metrics()).replace("words", runs.HOSTILE.replace('"', '\\"')))
    assert "script" not in {tag for tag, _ in read(tmp_path, hostile, adapter=runs.HOSTILE).tags}


def test_the_summary_says_it_in_words(tmp_path: Path) -> None:
    found = facts.read(runs.write(tmp_path / "run", runs.metrics()))
    told = {point.name: (point.text, point.tone) for point in summary.points(found)}
    assert told["Score"][0] == "Macro F1 0.830, 95% interval [0.780, 0.870], on 200 test rows; a constant prediction gets 0.330."
    assert told["Worth adapting?"] == ("Adapting paid here.", "good")
    assert told["Weakest part"][0] == "Where words = 1 to 5, accuracy is 0.600 [0.450, 0.730] on 40 rows, against 0.840 of all."
    assert told["Data"] == ("The inspections found 1 error. First: 3 test rows also stand in training.", "bad")
    assert told["Checks"] == ("1 of 1 passed.", "good")
    assert told["How sure"][0].startswith("Stated probabilities are off by 1.2 percentage points on average (38.0 before calibration).")
    assert "92% [87%, 95%] of test rows (90% wanted); they have 1.20 classes on average" in told["How sure"][0]
    assert "700 rows of messages; 100 rows chose the weights to keep, and 200 rows that it never saw" in summary.lead(found)


def test_the_scoreboard_marks_the_best_and_says_what_was_left_out(whole: Read) -> None:
    strong = [attributes for tag, attributes in whole.tags if tag == "th" and attributes.get("class") == "word strong"]
    assert len(strong) == 3  # the best contender, the score that decides, the worst part
    assert {"0.125", "there are no pictures", "[0.810, 0.850]"} <= set(whole.texts["td"])


def test_the_run_is_told_apart_from_adapters_it_was_compared_with(tmp_path: Path, whole: Read) -> None:
    assert "this run" in whole.texts["td"]
    assert not [text for text in whole.texts["p"] if "adapters compared" in text]
    lines = [line for line in runs.metrics()["scoreboard"] if line["name"] != "head"]

    def told(other: float) -> str:
        board = sorted([*lines[:2], runs.contender("head", "adapter", 0.83), runs.contender("lora", "adapter", other)], key=_score)
        page = read(tmp_path / str(other), {**runs.metrics(), "scoreboard": board})
        return next(text for text in page.texts["p"] if "adapters compared" in text)

    assert "lora scored best by macro F1 (lora 0.850, head 0.830); the intervals overlap, so chance may have done it" in told(0.85)
    assert "lora scored best by macro F1 (lora 0.900, head 0.830); the intervals do not overlap" in told(0.9)
    assert "this run's scored best by macro F1: head 0.830, lora 0.800" in told(0.8)


def _score(line: dict[str, Any]) -> float:
    return -float(line["scores"]["macro_f1"])


def test_where_no_slice_is_worse_it_says_so(tmp_path: Path) -> None:
    found = facts.read(runs.write(tmp_path / "run", {**runs.metrics(), "worst_slice": None}))
    assert summary.weakest(found) == "None of 2 parts of the test rows is worse than the others by more than chance."


def test_rows_from_memory_are_told_apart_in_how_to_reproduce(tmp_path: Path) -> None:
    assert "tunesmith tune --recipe recipe.yaml" in read(tmp_path, runs.metrics()).texts["code"]
    memory = read(tmp_path / "memory", runs.metrics(), data={"path": [], "inputs": ["text"], "label": ["intent"]})
    assert 'tunesmith.tune(rows, recipe="recipe.yaml")' in memory.texts["code"]


def test_many_classes_give_the_pairs_confused_most(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run", runs.metrics())
    names = [f"c{i}" for i in range(50)]
    lines = [",".join(["", *names])]
    lines += [",".join([name, *("9" if i == j else "7" if (i, j) == (3, 4) else "0" for j in range(50))]) for i, name in enumerate(names)]
    (folder / "report" / "confusion_matrix.csv").write_text("\n".join(lines) + "\n")
    found = page.results.confusion(facts.read(folder))
    assert found is not None
    assert [block.kind for block in found.blocks] == ["table"]
    assert [cell.text for cell in found.blocks[0].cells[0]] == ["c3", "c4", "7"]  # type: ignore[union-attr]


def test_folders_that_are_no_finished_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        facts.read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="not a run folder"):
        facts.read(tmp_path)
    folder = runs.write(tmp_path / "run", runs.metrics())
    (folder / "metrics.json").unlink()
    with pytest.raises(UsageError, match="--resume"):
        facts.read(folder)
    found = facts.read(folder, {**runs.metrics(), "test": {"macro_f1": np.float64(0.5), "auroc": float("nan"), "rows": np.int64(3)}})
    assert found.main == "macro_f1"
    assert facts.scores(found.metrics["test"]) == {"macro_f1": 0.5}  # a score that is not a number is none


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_texts_and_marks_stand_out_in_both_themes() -> None:
    style = (page.TEMPLATES / "style.css").read_text()
    light, dark = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part)) for part in style.split("@media print")[0].split("@media (prefers", 1)
    )
    assert len(light) == len(dark) == 13
    for theme in (light, dark):
        pairs = [
            (text, ground) for text in ("ink", "muted", "good", "bad", "open", "link", "first", "second") for ground in ("paper", "panel")
        ]
        for text, ground in [*pairs, ("ink", "heat")]:
            low, high = sorted((luminance(theme[text]), luminance(theme[ground])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_a_line_goes_through_its_points() -> None:
    drawing = ElementTree.fromstring(charts.lines([charts.Line("a", [(0, 0.0), (10, 1.0)])], "x", "<y>", 'says "a" & b', y=(0.0, 1.0)))
    assert drawing.attrib["aria-label"] == 'says "a" & b'
    line = next(node for node in drawing if node.tag == "polyline")
    (left, bottom), (right, top) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    inner = charts.WIDTH - charts.LEFT - charts.RIGHT
    assert left == pytest.approx(charts.LEFT + inner * 0.2 / 10.4, abs=0.1)  # 2% of the range on either side
    assert right == pytest.approx(charts.WIDTH - charts.RIGHT - inner * 0.2 / 10.4, abs=0.1)
    assert (bottom, top) == (charts.HEIGHT - charts.BOTTOM, charts.TOP)
    assert "<y>" in [node.text for node in drawing if node.tag == "text"]


def test_a_reliability_bar_is_as_high_as_its_rows() -> None:
    calibration = runs.metrics()["calibration"]
    drawing = ElementTree.fromstring(charts.reliability(calibration["bins"], calibration["bins_before"], "label"))
    heights = [float(node.attrib["height"]) for node in drawing if node.tag == "rect"]
    assert heights[0] * 3 == pytest.approx(heights[1], abs=0.2)
    assert len([node for node in drawing if "s2" in node.attrib.get("class", "")]) == 1  # one bin before: a mark, no line


def test_a_whisker_has_its_ends_where_they_belong() -> None:
    drawing = ElementTree.fromstring(charts.whisker(0.5, [0.25, 0.75], (0.0, 1.0), reference=0.0))
    dot = next(node for node in drawing if node.tag == "circle")
    assert float(dot.attrib["cx"]) == 80
    path = next(node for node in drawing if "s1" in node.attrib["class"] and node.tag == "path")
    assert path.attrib["d"].startswith("M42.0,")
    assert "H118.0" in path.attrib["d"]
