"""The pages in a real browser: nothing complains, nothing is loaded, and no phone has to scroll sideways."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.report import runs

from tunesmith.report import compare, page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    library = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((found for found in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if found), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with library.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = runs.metrics()
    found["mistakes"][0]["shown"] = "Donaudampfschifffahrt" * 40  # a word that no phone can hold
    found["checks"][0]["detail"] = "/a/very/long/path" * 20
    target = ["a", "b"] * 20
    made = [
        runs.write(folder / name, found, rows=runs.predictions(said, target)) for name, said in (("one", target), ("two", target[::-1]))
    ]
    compared = folder / "compared.html"
    compared.write_text(compare.page(compare.compare([str(path) for path in made])))
    return {"report": page.write(made[0]), "compared": compared}


@pytest.mark.parametrize("name", ["report", "compared"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_in_a_browser(browser: Any, pages: dict[str, Path], name: str, scheme: str, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    tab.goto(pages[name].as_uri())
    wide, held = tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.close()
    assert said == []
    assert wide <= held == width
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]


def test_a_page_fits_paper(browser: Any, pages: dict[str, Path]) -> None:
    tab = browser.new_page(viewport={"width": 680, "height": 900}, color_scheme="dark")  # A4 without its margins
    tab.emulate_media(media="print")
    tab.goto(pages["report"].as_uri())
    wide, ground = tab.evaluate("[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]")
    tab.close()
    assert wide <= 680
    assert ground == "rgb(255, 255, 255)"
