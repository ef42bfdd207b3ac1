"""Two kinds of import-linter contract that its own kinds do not cover; pyproject.toml says where they hold.

`siblings`: files of one room never import each other, except files whose names begin with `_`. A file added later is covered.
`home`: import-linter's `protected`, which also sees `require("peft", ...)`, the way this project imports optional packages.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.contracts.protected import ProtectedContract


@final
class SiblingsContract(Contract):
    """Options: `rooms`, the packages whose files must not import each other."""

    type_name = "siblings"
    rooms: Any = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Every direct import of a sibling whose name does not begin with `_`."""
        found = []
        for room in self.rooms:
            members = graph.find_descendants(room)
            for importer in sorted(members):
                for imported in sorted(graph.find_modules_directly_imported_by(importer) & members):
                    name = _member(imported, room)
                    if not name.startswith("_") and name != _member(importer, room):
                        lines = [str(detail["line_number"]) for detail in graph.get_import_details(importer=importer, imported=imported)]
                        found.append(f"{importer} -> {imported} (l.{', '.join(lines)})")
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """List what was found, with the way out."""
        for line in check.metadata["found"]:
            output.print_error(f"- {line}", bold=False)
        output.print_error("Move what they share to a file of the room whose name begins with `_`, or to core.", bold=False)


@final
class HomeContract(ProtectedContract):
    """Options: those of `protected`."""

    type_name = "home"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """As `protected`, after each `require("x.y")` has become an import of `x`."""
        for module in sorted(m for m in graph.modules if not graph.is_module_squashed(m)):
            for line, package in _required(module):
                graph.add_module(package, is_squashed=True)
                graph.add_import(importer=module, imported=package, line_number=line, line_contents=f'require("{package}")')
        for package in self.contract_options["protected_modules"]:
            graph.add_module(package, is_squashed=True)
        return super().check(graph, verbose)


def _member(module: str, room: str) -> str:
    return module.removeprefix(f"{room}.").split(".")[0]


def _required(module: str) -> list[tuple[int, str]]:
    """Line and top-level package of every `require("...")` with a literal name."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return []
    return [
        (node.lineno, str(node.args[0].value).split(".")[0])
        for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "require"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
