"""Languages of texts that were written by hand."""

from __future__ import annotations

from random import Random

import pytest
from tests.gate.planting import found, view

from tunesmith.core.findings import View

TEXTS = {
    "en": ["The parcel arrived two days late and the box was open", "I would like to change the address of my account today"],
    "de": ["Das Paket kam zwei Tage zu spät und der Karton war schon offen", "Ich möchte heute gerne die Anschrift meines Kontos ändern"],
    "fr": ["Le colis est arrivé avec deux jours de retard et il était ouvert", "Je voudrais changer aujourd'hui l'adresse de mon compte"],
    "zh": [
        "我们在这家酒店住了三天房间很干净服务员也很热情下次还会选择这里",
        "中国的经济在过去几年中发展得很快人民的生活水平也有了很大的提高",
    ],
    "ru": ["Посылка пришла на два дня позже, и коробка была открыта", "Я хотел бы сегодня изменить адрес моего счёта в банке"],
}


def _view(languages: dict[str, int], cut: int | None = None) -> View:
    texts = [TEXTS[language][i % 2][:cut] for language, count in languages.items() for i in range(count)]
    Random(0).shuffle(texts)
    rows = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]
    third = len(rows) // 3
    splits = {"train": range(third), "validation": range(third, 2 * third), "test": range(2 * third, len(rows))}
    return view(rows, {split: list(numbers) for split, numbers in splits.items()})


def test_english_texts_are_no_finding() -> None:
    assert found(_view({"en": 90}), "language") == {}


@pytest.mark.parametrize(("language", "name"), [("de", "German"), ("zh", "Chinese"), ("ru", "Russian")])
def test_another_language_is_to_be_known(language: str, name: str) -> None:
    (finding,) = found(_view({language: 90}), "language").values()
    assert (finding.name, finding.severity, finding.count, finding.of) == ("main_language", "info", 90, 90)
    assert f"in {name} (100% {name} of 90" in finding.what


def test_a_few_texts_in_others_are_a_warning_with_their_shares() -> None:
    (finding,) = found(_view({"en": 90, "fr": 6, "zh": 4}), "language").values()
    assert (finding.name, finding.severity, finding.count) == ("other_languages", "warning", 10)
    assert "90% English, 6% French, 4% Chinese" in finding.what
    assert all(example.shown.startswith(("French: ", "Chinese: ")) for example in finding.examples)


def test_one_text_in_a_hundred_is_no_warning() -> None:
    assert found(_view({"en": 99, "fr": 1}), "language") == {}


def test_nothing_is_said_of_texts_too_short_to_tell_or_without_words() -> None:
    assert found(_view({"de": 90}, cut=25), "language") == {}
    rows = [{"text": "".join(Random(i).choices("ACGT", k=60)), "label": "ab"[i % 2]} for i in range(90)]
    dna = view(rows, {"train": list(range(30)), "validation": list(range(30, 60)), "test": list(range(60, 90))})
    assert found(dna, "language") == {}


def test_what_is_looked_at_is_bounded_and_comes_from_all_splits() -> None:
    (finding,) = found(_view({"de": 1200}), "language").values()
    assert 200 <= finding.of <= 300
