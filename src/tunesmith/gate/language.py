"""Which languages the texts are in: a backbone that read English only makes little of Chinese.

py3langid names the language of texts drawn from all splits. A guess counts where it is at least 90% sure and the text has 40 bytes (14
Chinese characters) or more: of 3,300 English and Chinese texts none was then named wrongly. Sequences without a space are no language.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, final

from tunesmith.core.errors import require
from tunesmith.core.findings import MOST_EXAMPLES, Example, Finding, Inspection, View
from tunesmith.gate._rows import drawn, line, percent
from tunesmith.gate._texts import joined, prose, words

NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian",
    "lv": "Latvian", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian",
    "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
READ = 600
"""Characters that are read of a text."""


@final
@dataclass(frozen=True)
class Language(Inspection):
    """Languages of the texts."""

    name: ClassVar[str] = "language"
    most: int = field(default=300, metadata={"help": "texts that are looked at"})
    least: int = field(default=40, metadata={"help": "bytes below which the language of a text is not guessed"})
    sure: float = field(default=0.9, metadata={"help": "probability from which a guess counts"})
    others: float = field(default=0.01, metadata={"help": "share of texts in other languages above which that is a warning"})
    enough: int = field(default=20, metadata={"help": "sure guesses without which nothing is said"})

    def applies(self, view: View) -> str | None:
        return None if prose(view) else "there are no texts of several words"

    def inspect(self, view: View) -> list[Finding]:
        looked = self._drawn(view)
        if len(looked) < self.enough:
            return []
        guessed = [(row, text, *_identifier().classify(text)) for row, text in looked]
        sure = [(row, text, str(language)) for row, text, language, probability in guessed if probability >= self.sure]
        if len(sure) < self.enough:
            return []
        counts = Counter(language for _, _, language in sure)
        main = min(counts, key=lambda language: (-counts[language], language))
        foreign = [(row, text, language) for row, text, language in sure if language != main]
        found = []
        if main != "en":
            found.append(
                Finding(
                    "main_language",
                    "info",
                    counts[main],
                    len(sure),
                    f"the texts are in {_name(main)} ({_shares(counts)} of {len(sure):,} that were looked at)",
                    f"take a backbone that was pretrained on {_name(main)}; an English one, as the default, makes little of it",
                    [Example(row, line({"text": text}, ["text"])) for row, text, language in sure if language == main][:MOST_EXAMPLES],
                )
            )
        if len(foreign) > self.others * len(sure):
            found.append(
                Finding(
                    "other_languages",
                    "warning",
                    len(foreign),
                    len(sure),
                    f"{percent(len(foreign), len(sure))} of {len(sure):,} texts that were looked at are not in {_name(main)}: "
                    f"{_shares(counts)}",
                    "take a multilingual backbone, or one model a language",
                    [
                        Example(row, f"{_name(language)}: {line({'text': text}, ['text'])}")
                        for row, text, language in foreign[:MOST_EXAMPLES]
                    ],
                )
            )
        return found

    def _drawn(self, view: View) -> list[tuple[int, str]]:
        """Row numbers and texts, long enough, from each split in proportion."""
        columns = prose(view)
        total = sum(len(rows) for rows in view.splits.values())
        found: list[tuple[int, str]] = []
        for split, numbers in view.splits.items():
            places = drawn(view, split, max(1, 2 * self.most * len(numbers) // max(1, total)))
            rows = numbers[places]
            texts = (joined(row, columns)[:READ] for row in view.read(rows, columns))
            found += [(int(row), text) for row, text in zip(rows, texts, strict=True) if self._fits(text)]
        step = max(1, -(-len(found) // self.most))  # evenly over all splits
        return list(islice(found, 0, None, step))

    def _fits(self, text: str) -> bool:
        return len(text.encode()) >= self.least and len(words(text)) >= 4


@functools.cache
def _identifier() -> Any:
    """py3langid with probabilities; unpacking its model takes half a second, so it is kept."""
    langid = require("py3langid.langid", "telling languages")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def _name(language: str) -> str:
    return NAMES.get(language, f"the language '{language}'")


def _shares(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{percent(count, counts.total())} {_name(language)}" for language, count in ordered[:5])
