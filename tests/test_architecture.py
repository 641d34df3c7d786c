"""The layout is law: who may import whom, how long a file may be, what a page may hold."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES, MAX_FUNCTION, MAX_COLUMNS = 400, 40, 100

# Each line may import from the lines above it, and from its own.
CORE_ORDER = (
    ("errors", "stream", "limits", "systems"),
    ("space",),
    ("solvers",),
    ("layers",),
    ("words",),
    ("lab",),
    ("tools",),
)
SPACE_ORDER = (
    ("ingredient",),
    ("maps", "losses", "readouts", "weights", "functions", "newton", "optimizers"),
    ("spec",),
)
LAYERS = ("ttr_core", "experiments_db", "pages", "app", "batch")
ALLOWED = {
    "ttr_core": {"torch"},
    "experiments_db": {
        "ttr_core", "duckdb", "pandas", "pyarrow", "pydantic", "yaml", "safetensors", "numpy",
        "typer", "rich",
    },
    "pages": {"ttr_core", "experiments_db", "streamlit", "altair", "pandas", "yaml"},
    "app": {"pages", "streamlit"},
    "batch": {"experiments_db"},
}  # fmt: skip


def sources(*folders: str) -> list[Path]:
    found: list[Path] = []
    for folder in folders:
        path = ROOT / folder
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [path for path in found if path.exists()]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def runtime_imports(path: Path) -> Iterator[str]:
    """Yields every module a file imports when it runs, as a dotted absolute name."""
    tree = ast.parse(path.read_text())
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not typing_only:
            yield child
            yield from _running(child)


def top(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("path", sources(*LAYERS), ids=name)
def test_imports_only_what_its_layer_may(path: Path) -> None:
    layer = path.relative_to(ROOT).with_suffix("").parts[0]
    allowed = ALLOWED[layer] | {layer} | set(sys.stdlib_module_names)
    if path.name == "ui.py":
        allowed |= {"torch"}  # only to say how many threads a computation may have
    assert {top(module) for module in runtime_imports(path)} - allowed == set()


def ranks(order: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    return {module: rank for rank, modules in enumerate(order) for module in modules}


def above(path: Path, folder: str, order: tuple[tuple[str, ...], ...]) -> list[str]:
    """Returns what a file imports from rooms of its folder that stand above its own."""
    rank, package = ranks(order), folder.replace("/", ".") + "."
    own = path.relative_to(ROOT / folder).with_suffix("").parts[0]
    if own == "__init__":
        return []  # the surface of a folder is above everything in it
    assert own in rank, f"{folder}/{own} has no place in the order of {folder}; give it one"
    modules = (m for m in runtime_imports(path) if m.startswith(package))
    used = {module.removeprefix(package).split(".")[0] for module in modules}
    return sorted(module for module in used if rank.get(module, -1) > rank[own])


@pytest.mark.parametrize("path", sources("ttr_core"), ids=name)
def test_core_imports_downward(path: Path) -> None:
    assert above(path, "ttr_core", CORE_ORDER) == []


@pytest.mark.parametrize("path", sources("ttr_core/space"), ids=name)
def test_space_imports_downward(path: Path) -> None:
    assert above(path, "ttr_core/space", SPACE_ORDER) == []


def test_ingredients_do_not_import_solvers() -> None:
    for path in sources("ttr_core/space"):
        assert not any("solvers" in module for module in runtime_imports(path)), name(path)


@pytest.mark.parametrize("path", sources("app", "pages"), ids=name)
def test_pages_hold_no_sql(path: Path) -> None:
    text = path.read_text()
    found = re.search(r"\b(SELECT\s|INSERT INTO|UPDATE \w+ SET|DELETE FROM|duckdb)", text)
    assert found is None, f"{found and found[0]!r}: a query belongs in experiments_db/read"


ALL = sources(*LAYERS, "tests")


@pytest.mark.parametrize("path", ALL, ids=name)
def test_file_is_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MAX_LINES
    assert [i for i, line in enumerate(lines, 1) if len(line) > MAX_COLUMNS] == []


@pytest.mark.parametrize("path", sources(*LAYERS), ids=name)
def test_functions_are_short_and_annotated(path: Path) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
    long = {f.name: _body_lines(f) for f in functions if _body_lines(f) > MAX_FUNCTION}
    assert long == {}
    assert [f.name for f in functions if f.returns is None and f.name != "__init__"] == []


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code: the docstring is documentation and may be as long as it needs."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


@pytest.mark.parametrize("path", sources(*LAYERS), ids=name)
def test_no_swallowed_errors_and_no_grab_bags(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            broad = caught in ("everything", "Exception", "BaseException")
            edge = "# the edge of" in path.read_text().splitlines()[node.lineno - 1]
            assert raises or edge or not broad, f"line {node.lineno} catches {caught} and goes on"
