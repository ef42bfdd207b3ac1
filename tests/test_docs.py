"""What the documents show exists: commands parse, recipes resolve, Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tunesmith import cli
from tunesmith import recipe as recipes
from tunesmith.core import registry
from tunesmith.data.decisions import Columns
from tunesmith.launch.resolve import resolve

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/guide.md", "docs/index.md", "CONTRIBUTING.md"]


def commands() -> list[str]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:bash|console|sh)\n(.*?)```", (ROOT / page).read_text(), re.S):
            for line in block.splitlines():
                line = line.split("  #")[0].removeprefix("$ ").removeprefix(".venv/bin/").strip()
                if line.startswith("tunesmith "):
                    found.append(line)
    return found


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documents_parses(command: str) -> None:
    options = cli._parser().parse_args(shlex.split(command)[1:])
    assert callable(options.verb)
    if "recipe" in options and not options.recipe:
        assert recipes.from_plain(cli.recipe_tree(options))


def test_flags_the_guide_names_exist() -> None:
    text = (ROOT / "docs/guide.md").read_text() + (ROOT / "README.md").read_text()
    known = cli._parser().format_help()
    known += "".join(verb.format_help() for verb in cli._parser()._subparsers._group_actions[0].choices.values())  # type: ignore
    text = re.sub(r"`torchrun .*? -m", "`-m", text)  # torchrun's own flags
    for flag in set(re.findall(r"--[a-z][a-z-]+", text)):
        assert flag in known, flag


def test_every_name_in_the_registry_is_in_the_guide_or_listed() -> None:
    text = (ROOT / "docs/guide.md").read_text()
    for room in ("tasks", "optimizers", "schedules"):
        for name in registry.entries(room):
            assert name in text, f"{room}: {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_resolves(path: Path, checkpoints: Path) -> None:
    recipe = recipes.from_plain(recipes.read_yaml(path))
    pictures = "scans" in path.stem
    kind = "image" if pictures else "text"
    if not recipe.backbone.name:
        recipe.backbone.name = str(checkpoints / "bert")
    parts = resolve(recipe, Columns([kind], {kind: kind}, kind, ["label"], recipe.task.name or "classification"))
    assert parts.adapter.settings() == registry.create("adapters", parts.recipe.adapter.name or "", parts.recipe.adapter.options).settings()
    assert parts.recipe.training.lr
