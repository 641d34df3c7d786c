"""The layout is law: who may import whom, how long a file may be, what a page may hold."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import (
    LAYERS,
    ROOT,
    dotted,
    imports,
    modules,
    name,
    of_every_file,
    sources,
    surface,
    tree,
)

MAX_LINES, MAX_FUNCTION, MAX_COLUMNS = 400, 40, 100

# Each line may import from the lines above it, and from its own.
CORE_ORDER = (
    ("errors", "named", "stream", "limits", "precision", "systems", "fading"),
    ("space",),
    ("solvers",),
    ("layers",),
    ("words",),
    ("lab",),
    ("tools",),
)
SPACE_ORDER = (
    ("constraints",),
    ("option",),
    ("ingredient", "terms", "fates"),
    ("sharpness",),
    ("story",),
    ("letters",),
    ("maps", "losses", "readouts", "weights", "functions", "newton", "optimizers"),
    ("text",),
    ("spec",),
)
DB_ORDER = (
    ("errors", "installation"), ("store",), ("read",), ("run",), ("sweeps",),
    ("search", "claims", "atlas"), ("cli",), ("__main__",),
)  # fmt: skip
ALLOWED = {
    "ttr_core": {"torch"},
    "experiments_db": {
        "ttr_core", "duckdb", "pandas", "pyarrow", "pydantic", "yaml", "safetensors", "numpy",
        "typer", "rich", "platformdirs", "altair", "vl_convert", "ray",
    },
    "pages": {"ttr_core", "experiments_db", "streamlit", "altair", "pandas", "yaml"},
    "app": {"pages", "streamlit"},
    "batch": {"experiments_db"},
}  # fmt: skip


def runtime_imports(path: Path) -> Iterator[str]:
    """Yields every module a file imports when it runs, as a dotted absolute name."""
    return modules(imports(path, typing=False))


def top(module: str) -> str:
    return module.split(".")[0]


@of_every_file(*LAYERS)
def test_imports_only_what_its_layer_may(path: Path) -> None:
    layer = path.relative_to(ROOT).with_suffix("").parts[0]
    allowed = ALLOWED[layer] | {layer} | set(sys.stdlib_module_names)
    if path.name == "ui.py":
        allowed |= {"torch"}  # only to say how many threads a computation may have
    assert {top(module) for module in runtime_imports(path)} - allowed == set()


# --- the border of the core --------------------------------------------------------------------

DOORS = ("ttr_core", "ttr_core.lab", "ttr_core.words", "ttr_core.tools")


LOADERS = ("getattr", "import_module", "__import__")
"""What takes something by a text."""


def crossings(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (package, name) of everything a file takes from the core, by import or by dot."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname or "": alias.name for alias in node.names}
    aliases = {short: long for short, long in aliases.items() if top(long) == "ttr_core"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in aliases:
            aliases |= {ast.unparse(it): aliases[ast.unparse(node.value)] for it in node.targets}
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(LOADERS):
            said = ast.unparse(node.args[0]).strip("'") if node.args else ""
            if top(aliases.get(said, said)) == "ttr_core":
                yield ast.unparse(node.func), ast.unparse(node)
    for module, what in imports(path):
        if top(module) == "ttr_core":
            yield module, what
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            short, _, rest = ast.unparse(node).partition(".")
            reached = f"{aliases.get(short, short)}.{rest}"
            if top(reached) == "ttr_core" and reached not in DOORS:
                yield reached.rpartition(".")[0], reached.rpartition(".")[2]


def smuggled(path: Path) -> list[str]:
    """Returns what a file takes from the core that no door of the core offers."""
    return [
        f"{module}: {what or 'the module itself'}"
        for module, what in crossings(path)
        if not (module in DOORS and what in surface(module) | {"", "__version__"})
        and not any(module.startswith(f"{door}.{offered}") for door, offered in OFFERED)
    ]


OFFERED = [(door, what) for door in DOORS for what in surface(door)]  # ttr.Spec.parse: of Spec


@of_every_file("experiments_db", "pages", "app", "batch")
def test_takes_of_the_core_what_its_doors_offer(path: Path) -> None:
    assert smuggled(path) == []


@pytest.mark.parametrize(
    "text",
    [
        "from ttr_core.space.spec import Spec",
        "import ttr_core as ttr\nttr.space.spec.Spec",
        "import ttr_core as ttr\nt = ttr\nt.space.spec.Spec",
        "import ttr_core as ttr\ngetattr(ttr, 'space')",
        "import importlib\nimportlib.import_module('ttr_core.space')",
    ],
)
def test_a_way_past_the_doors_is_seen(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for module in ("sources", "test_architecture"):
        monkeypatch.setattr(f"tests.{module}.tree", lambda path: ast.parse(text))
    assert smuggled(ROOT / "pages/toy.py") != []


def test_every_door_offers_something_and_the_core_not_too_much() -> None:
    assert [door for door in DOORS if not surface(door)] == []
    assert len(surface("ttr_core")) <= 48


# --- the order inside each wing ----------------------------------------------------------------

ORDERS = {"ttr_core": CORE_ORDER, "ttr_core/space": SPACE_ORDER, "experiments_db": DB_ORDER}


def above(path: Path, folder: str) -> list[str]:
    """Returns what a file imports from rooms of its folder that stand above its own."""
    rank = {room: rank for rank, rooms in enumerate(ORDERS[folder]) for room in rooms}
    package = folder.replace("/", ".") + "."
    own = path.relative_to(ROOT / folder).with_suffix("").parts[0]
    if own == "__init__":
        return []  # the surface of a folder is above everything in it
    assert own in rank, f"{folder}/{own} has no place in the order of {folder}; give it one"
    used = (m for m in runtime_imports(path) if m.startswith(package))
    rooms = {module.removeprefix(package).split(".")[0] for module in used}
    return sorted(room for room in rooms if rank.get(room, -1) > rank[own])


def told(folder: str) -> str:
    """The order of a folder as docs/architecture.md tells it."""
    there = [[r for r in rooms if [*(ROOT / folder).glob(f"{r}*")]] for rooms in ORDERS[folder]]
    return " < ".join(", ".join(rooms) for rooms in there if rooms)


@pytest.mark.parametrize("folder", ORDERS)
def test_the_order_of_a_folder_is_documented(folder: str) -> None:
    text = " ".join((ROOT / "docs/architecture.md").read_text().split())
    assert f" {folder.rpartition('/')[2]} {told(folder)} " in text


@pytest.mark.parametrize("folder", ORDERS)
def test_imports_downward(folder: str) -> None:
    found = {name(path): above(path, folder) for path in sources(folder)}
    assert {path: rooms for path, rooms in found.items() if rooms} == {}


@of_every_file("pages")
def test_a_page_imports_its_own_parts_and_what_is_shared(path: Path) -> None:
    room = path.relative_to(ROOT / "pages").with_suffix("").parts[0]
    own = {f"_{room.removeprefix('_')}", "_shared"} if room != "_shared" else {"_shared"}
    used = {m.split(".")[1] for m in runtime_imports(path) if m.startswith("pages.")}
    assert used - own == set()


# --- circles -----------------------------------------------------------------------------------

CIRCLES = {
    # `Gate() * ExpKernel()` is a product, and a product is made of weights
    ("ttr_core.space.weights.base", "ttr_core.space.weights.products"),
}
"""Imports inside a function that close a circle while the program runs."""

TOLD = {
    # an ingredient says of a whole spec whether it can stand in it; a spec is made of ingredients
    ("ttr_core.space", "ttr_core.space.spec"),
    ("ttr_core.space.weights.base", "ttr_core.space.optimizers"),
}
"""Circles that only a type checker follows: (from, to)."""


def arrows(typing: bool) -> dict[str, set[str]]:
    """Returns module -> the modules of the project that it imports."""
    files = {dotted(path): path for path in sources(*LAYERS)}
    graph: dict[str, set[str]] = {module: set() for module in files}
    for module, path in files.items():
        for base, what in imports(path, typing):
            target = f"{base}.{what}" if f"{base}.{what}" in files else base
            if target in files and target != module:
                graph[module].add(target)
    return graph


def circles(graph: dict[str, set[str]], known: set[tuple[str, str]]) -> list[list[str]]:
    """Returns the circles that are left once the known arrows are taken out."""

    def is_known(start: str, end: str) -> bool:
        start, end = f"{start}.", f"{end}."
        return any(start.startswith(f"{of}.") and end.startswith(f"{to}.") for of, to in known)

    kept = {a: {b for b in ends if not is_known(a, b)} for a, ends in graph.items()}
    while free := {a for a, ends in kept.items() if not ends}:  # whoever imports nobody is in none
        kept = {a: ends - free for a, ends in kept.items() if a not in free}
    reached = {a: _reached(kept, a) for a in kept}
    return [[a, *sorted(reached[a])] for a in kept if a in reached[a]]


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    ahead = set(graph[start])
    while ahead:
        found |= ahead
        ahead = {b for a in ahead for b in graph[a]} - found
    return found


def test_no_circle_runs() -> None:
    graph = arrows(typing=False)
    assert circles(graph, CIRCLES) == []
    for arrow in CIRCLES:
        assert circles(graph, CIRCLES - {arrow}), f"{arrow} closes no circle; take it out"


def test_no_circle_is_told_to_the_type_checker() -> None:
    graph = arrows(typing=True)
    assert circles(graph, CIRCLES | TOLD) == []
    for arrow in TOLD:
        assert circles(graph, (CIRCLES | TOLD) - {arrow}), f"{arrow} closes no circle; take it out"


def test_ingredients_do_not_import_solvers() -> None:
    for path in sources("ttr_core/space"):
        assert not any("solvers" in module for module in runtime_imports(path)), name(path)


@of_every_file("app", "pages")
def test_pages_hold_no_sql(path: Path) -> None:
    text = path.read_text()
    found = re.search(r"\b(SELECT\s|INSERT INTO|UPDATE \w+ SET|DELETE FROM|duckdb)", text)
    assert found is None, f"{found and found[0]!r}: a query belongs in experiments_db/read"


@of_every_file(*LAYERS, "tests")
def test_file_is_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MAX_LINES
    assert [i for i, line in enumerate(lines, 1) if len(line) > MAX_COLUMNS] == []


@of_every_file(*LAYERS)
def test_functions_are_short_and_annotated(path: Path) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]
    long = {f.name: _body_lines(f) for f in functions if _body_lines(f) > MAX_FUNCTION}
    assert long == {}
    assert [f.name for f in functions if f.returns is None and f.name != "__init__"] == []


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code: the docstring is documentation and may be as long as it needs."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


@of_every_file(*LAYERS)
def test_no_swallowed_errors_and_no_grab_bags(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            broad = caught in ("everything", "Exception", "BaseException")
            edge = "# the edge of" in path.read_text().splitlines()[node.lineno - 1]
            assert raises or edge or not broad, f"line {node.lineno} catches {caught} and goes on"
