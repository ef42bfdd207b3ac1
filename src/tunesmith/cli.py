"""The command line: one verb a function; the flags of `tune` come from the recipe.

Exit status: 0 done and every check passed; 1 a person can mend it (data, names, disk); 2 usage; 3 done, but a check failed.
Results go to standard output (as JSON with `--json`), everything else to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith import __version__
from tunesmith import recipe as recipes
from tunesmith.core import registry
from tunesmith.core.errors import TunesmithError, UsageError, missing

LISTS = ("inputs", "kinds", "label", "trackers", "levers", "compare", "slices", "values", "known", "fairness")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; gives the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.verb(options)
        return status
    except TunesmithError as error:
        if options.debug:
            raise
        _fail(options, f"error: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        _fail(options, "interrupted; an interrupted run goes on with: tunesmith tune --resume RUN")
        return 1
    except BrokenPipeError:  # the reader of the output has gone
        sys.stderr.close()
        return 1
    except ModuleNotFoundError as error:
        if options.debug:
            raise
        _fail(options, f"error: {missing(error)}")
        return 1
    except Exception as error:
        if options.debug:
            raise
        _fail(options, f"error: {type(error).__name__}: {error}\nThis should not happen; --debug shows where it did.")
        return 1


def _fail(options: argparse.Namespace, text: str) -> None:
    print(text, file=sys.stderr)
    if options.json:
        print(json.dumps({"error": text.removeprefix("error: ")}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tunesmith", description="Adapt a foundation model to your own data, and prove the result.")
    parser.add_argument("--version", action="version", version=f"tunesmith {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    tune = _verb(verbs, "tune", _tune, "adapt a model to data")
    tune.add_argument("--resume", metavar="RUN", help="go on with an interrupted run")
    _recipe_flags(tune)

    estimate = _verb(verbs, "estimate", _estimate, "tell what tune would take: parameters, operations, memory, time")
    _recipe_flags(estimate)

    check = _verb(verbs, "check", _check, "inspect the data: repeated rows, leaks between splits, wrong labels, shift, ...")
    check.add_argument("--fix", action="store_true", help="write a copy without the rows that are named, and a log of them (--out FOLDER)")
    _recipe_flags(check)

    rank = _verb(verbs, "rank", _rank, "judge backbones by how well their frozen features suit the data")
    rank.add_argument("--backbones", metavar="NAMES", default="", help="names as --backbone takes them, separated by commas")
    _recipe_flags(rank)

    predict = _verb(verbs, "predict", _predict, "predict with a bundle")
    predict.add_argument("bundle", help="folder of the bundle")
    predict.add_argument("input", nargs="*", help="tables, pictures, sounds, or folders of these")
    predict.add_argument("--text", action="append", default=[], help="a text to predict (can be given again)")
    predict.add_argument("--out", metavar="FILE", help="write predictions here (.parquet, .csv or .jsonl)")
    predict.add_argument("--reasons", metavar="K", type=int, default=0, help="name the K columns that speak most for each prediction")
    predict.add_argument(
        "--runtime", choices=("auto", "torch", "numpy"), default="auto", help="auto is numpy for a few texts where it can be, else torch"
    )

    zero_shot = _verb(verbs, "zeroshot", _zero_shot, "classify pictures by the names of classes alone, without training")
    zero_shot.add_argument("model", help="bundle of a contrastive run, or a folder or hub id of a CLIP or SigLIP")
    zero_shot.add_argument("input", nargs="+", help="pictures, folders of pictures, or tables")
    zero_shot.add_argument("--classes", metavar="NAMES", required=True, help="names of the classes, separated by commas")
    zero_shot.add_argument(
        "--prompts", metavar="TEXT", action="append", default=[], help="sentence about a class, with {} for its name; several are averaged"
    )
    zero_shot.add_argument("--out", metavar="FILE", help="write predictions here (.parquet, .csv or .jsonl)")

    search = _verb(verbs, "search", _search, "find the pictures that fit a text, the texts that fit a picture, or pictures like a picture")
    search.add_argument("model", help="bundle of a contrastive run, or a folder or hub id of a CLIP or SigLIP")
    search.add_argument("collection", help="what is searched: a folder of pictures, or a table with a column of pictures or texts")
    search.add_argument("query", nargs="+", help="texts, or files of pictures")
    search.add_argument("--top", metavar="K", type=int, default=5, help="how many are found for each query (5)")
    search.add_argument("--out", metavar="FILE", help="write what was found here (.parquet, .csv or .jsonl)")

    evaluate = _verb(verbs, "evaluate", _evaluate, "score a bundle on labelled data")
    evaluate.add_argument("bundle", help="folder of the bundle")
    evaluate.add_argument("data", help="a table or folder with labels")

    compare = _verb(verbs, "compare", _compare, "put finished runs side by side: scores, cost, recipes, and how sure the differences are")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs; the first is what the others are compared with")
    compare.add_argument("--out", metavar="FILE", help="write the comparison as a page (.html)")

    listing = _verb(verbs, "list", _list, "show what exists and what fits what")
    listing.add_argument("room", nargs="?", help=", ".join(registry.ROOMS))

    demo = _verb(verbs, "demo", _demo, "adapt the embedded MiniLM to the bank messages that come with tunesmith")
    demo.add_argument("--out", metavar="RUN", help="folder of the run")
    return parser


def _verb(verbs: Any, name: str, function: Any, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    parser.set_defaults(verb=function)
    return parser


def _recipe_flags(parser: argparse.ArgumentParser) -> None:
    """The data, a flag for every leaf of the recipe, and the ways to give several at once."""
    parser.add_argument("data", nargs="*", help="a file, a folder, up to three files (train, [validation,] test), or a dataset id")
    parser.add_argument("--recipe", metavar="FILE", help="start from this recipe (YAML); flags overrule it")
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], help="set any field, such as adapter.rank=16")
    parser.add_argument(
        "--blocks", metavar="last:K", help="adapt only the last K blocks (the field adapter.last); the others are computed once"
    )
    group = parser.add_argument_group("recipe", "what is not given is inferred, and told")
    for path, field in recipes.leaves():
        name = path.rsplit(".", 1)[-1]
        if name == "path":
            continue
        flag = "--" + name.replace("_", "-")
        help = str(field.metadata["help"]).replace("%", "%%")
        if field.type in ("bool", "bool | None"):
            group.add_argument(flag, dest=f"recipe:{path}", action=argparse.BooleanOptionalAction, default=None, help=help)
        else:
            metavar = "NAME" if path in recipes.CHOICES else name.upper()
            group.add_argument(flag, dest=f"recipe:{path}", metavar=metavar, default=None, help=help)


def recipe_tree(options: argparse.Namespace) -> dict[str, Any]:
    """The recipe's plain values as a command line gives them: file, then flags, then `--set`."""
    import yaml

    tree = recipes.read_yaml(Path(options.recipe)) if options.recipe else {}
    if options.data:
        recipes.put(tree, "data.path", options.data)
    for key, value in vars(options).items():
        if key.startswith("recipe:") and value is not None:
            path = key.removeprefix("recipe:")
            name = path.rsplit(".", 1)[-1]
            recipes.put(tree, path, [part.strip() for part in value.split(",")] if name in LISTS else value)
    if options.blocks:
        recipes.put(tree, "adapter.last", _last(options.blocks))
    for item in options.set:
        path, sign, value = item.partition("=")
        if not sign:
            raise UsageError(f"--set takes FIELD=VALUE, such as --set adapter.rank=16 (got {item!r})")
        try:
            recipes.put(tree, path.strip(), yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise UsageError(f"--set {item}: the value is not valid YAML: {error}") from error
    return tree


def _last(blocks: str) -> int:
    word, _, number = blocks.partition(":")
    if word != "last" or not number.isdigit() or int(number) < 1:
        raise UsageError(f"--blocks takes last:K with K of at least 1, such as last:2 (got {blocks!r})")
    return int(number)


def _tune(options: argparse.Namespace) -> int:
    tree = recipe_tree(options)
    if options.resume:
        if tree:
            raise UsageError("--resume goes on with the run's own recipe; give no data or other flag beside it")
        from tunesmith.launch.local import resume

        result = resume(options.resume)
        return _finish(result, options, bool(recipes.read_yaml(Path(options.resume) / "recipe.yaml").get("allow_failed_checks")))
    recipe = _named(tree, "tune")
    from tunesmith.launch.local import launch

    return _finish(launch(recipe), options, recipe.allow_failed_checks)


def _named(tree: dict[str, Any], verb: str) -> recipes.Recipe:
    recipe = recipes.from_plain(tree)
    if not recipe.data.path:
        raise UsageError(f"no data was named: tunesmith {verb} DATA; see tunesmith {verb} --help")
    return recipe


def _estimate(options: argparse.Namespace) -> int:
    recipe = _named(recipe_tree(options), "estimate")
    from tunesmith.launch import tables
    from tunesmith.launch.local import estimate

    tables.estimate(estimate(recipe), options.json)
    return 0


def _check(options: argparse.Namespace) -> int:
    recipe = _named(recipe_tree(options), "check")
    from tunesmith.launch import checking, tables

    found = checking.check(recipe, fix=options.fix)
    tables.checked(found, options.json)
    return 3 if found.errors and found.copy is None else 0  # with a cleaned copy written, what was asked for is done


def _finish(result: Any, options: argparse.Namespace, allowed: bool) -> int:
    if result is None:  # one of several processes, not the first
        return 0
    if options.json:
        from tunesmith.core.files import to_json

        print(to_json({"run": str(result.folder), "bundle": str(result.bundle), **result.metrics}), end="")
    else:
        from tunesmith.launch import tables

        tables.result(result)
    return 3 if result.failed and not allowed else 0


def _rank(options: argparse.Namespace) -> int:
    recipe = _named(recipe_tree(options), "rank")
    from tunesmith.launch import tables
    from tunesmith.launch.ranking import rank

    tables.ranking(rank(recipe, [name.strip() for name in options.backbones.split(",") if name.strip()]), options.json)
    return 0


def _predict(options: argparse.Namespace) -> int:
    _keep_numpy_on_one_thread()
    from tunesmith.launch import verbs

    if not options.input and not options.text:
        raise UsageError("nothing to predict: give tables, pictures or sounds, or --text TEXT")
    return verbs.predict(options.bundle, options.input, options.text, options.out, options.json, options.runtime, options.reasons)


def _zero_shot(options: argparse.Namespace) -> int:
    from tunesmith.launch import searching

    classes = [name.strip() for name in options.classes.split(",") if name.strip()]
    return searching.zero_shot(options.model, options.input, classes, options.prompts, options.out, options.json)


def _search(options: argparse.Namespace) -> int:
    from tunesmith.launch import searching

    return searching.search(options.model, options.collection, options.query, options.top, options.out, options.json)


def _keep_numpy_on_one_thread() -> None:
    """On a busy machine the threads of OpenBLAS wait for each other longer than they save on a few texts; torch has its own."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _evaluate(options: argparse.Namespace) -> int:
    _keep_numpy_on_one_thread()
    from tunesmith.launch import verbs

    return verbs.evaluate(options.bundle, options.data, options.json)


def _compare(options: argparse.Namespace) -> int:
    from tunesmith.launch import comparing

    return comparing.compare(options.runs, options.out, options.json)


def _list(options: argparse.Namespace) -> int:
    from tunesmith.launch import listing

    return listing.show(options.room, options.json)


def _demo(options: argparse.Namespace) -> int:
    from tunesmith.launch.demo import demo

    return _finish(demo(options.out), options, False)
