"""The six rules by which the project grows, read from its syntax and its registry.

Each rule lists what breaks it today; the lists are to end empty, and an entry that nothing breaks
any more fails the test, too. The fourth rule, of fingerprints, is tested by what it promises, in
tests/test_growth.py: a copy of the project that grows runs nothing anew and pools nothing.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import ttr_core as ttr
from tests.core.stories import formula
from tests.sources import LAYERS, ROOT, dotted, imports, name, sources, surface, tree
from ttr_core.lab.tasks import constants
from ttr_core.space.ingredient import REGISTRY, Ingredient

# --- 1: above an axis only traits are named ----------------------------------------------------

FOLDERS = {"weights": "weights", "functions": "function", "optimizers": "optimizer", "maps": "map",
           "losses": "loss", "readouts": "readout"}  # fmt: skip
CHOICES = {cls.__name__: cls for known in REGISTRY.values() for cls in known.values()}
NAMES = {*CHOICES, *(written for known in REGISTRY.values() for written in known)}
SAID = {written for written in NAMES if written[0].isupper()}  # "silu" is an activation, too
DATA = (ROOT / "ttr_core/layers/published", ROOT / "ttr_core/words/equal_cells.py")
"""What is data and names what it lists: the catalog, and what a command wrote down of the grid."""


OTHERS = ("nn", "torch.nn", "ast")
"""Modules from elsewhere, whose names are no choices: nn.Linear, ast.Constant."""


def family_of(path: Path) -> str | None:
    """Returns the family whose folder a file lies in."""
    parts = path.relative_to(ROOT).parts
    return FOLDERS.get(parts[2]) if parts[:2] == ("ttr_core", "space") else None


def named_choices(path: Path) -> set[str]:
    """Returns the final choices of other families that a file names: imports, tests, texts.

    A spec as text is data, and so is a choice that is made once, as a default, in the design space.
    """
    own = family_of(path)
    taken = {what for module, what in imports(path) if module.startswith("ttr_core")}
    dots = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)]
    taken |= {node.attr for node in dots if ast.unparse(node.value) not in OTHERS}
    taken = {what for what in taken & {*CHOICES} if CHOICES[what].family != own}
    if path.is_relative_to(ROOT / "ttr_core/space"):
        made = [n.func for n in ast.walk(tree(path)) if isinstance(n, ast.Call)]
        used = [n for n in ast.walk(tree(path)) if isinstance(n, ast.Name) and n not in made]
        taken &= {node.id for node in used}
    family = {cls.name for cls in CHOICES.values() if cls.family == own} | {
        label for label, cls in CHOICES.items() if cls.family == own
    }
    return taken | ((_spoken(path) | _compared(path)) - family)


def _spoken(path: Path) -> set[str]:
    """Returns the choices that stand in a file as a text of nothing but their name."""
    named = {"name", "read", "examples"}
    given = [
        n.value
        for n in ast.walk(tree(path))
        if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) in named
    ]
    texts = {
        n.value for n in ast.walk(tree(path)) if isinstance(n, ast.Constant) and n not in given
    }
    return {text for text in texts if isinstance(text, str)} & SAID


def _compared(path: Path) -> set[str]:
    """Returns the choices that a file compares a ``.name`` with, or looks for in it."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        matches = isinstance(node, ast.Match) and ast.unparse(node.subject).endswith(".name")
        asks = isinstance(node, ast.Call) and ".name." in ast.unparse(node.func)
        if matches or asks:
            found |= {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)} & NAMES
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Attribute) and side.attr == "name" for side in sides):
                inner = [leaf for side in sides for leaf in ast.walk(side)]
                found |= {leaf.value for leaf in inner if isinstance(leaf, ast.Constant)} & NAMES
    return found


NAMED_TODAY: dict[str, set[str]] = {}


def planted(monkeypatch: pytest.MonkeyPatch, text: str, where: str) -> Path:
    """Returns the path of a file that is read as a text wherever rules read one."""
    for module in ("sources", "test_rules"):
        monkeypatch.setattr(f"tests.{module}.tree", lambda path: ast.parse(text))
    return ROOT / where


@pytest.mark.parametrize(
    "text",
    [
        "from ttr_core.space.optimizers import SGD as Step",
        "from ttr_core import SGD",
        "from ..space import optimizers\nis_step = lambda x: isinstance(x, optimizers.SGD)",
        "match x:\n    case optimizers.SGD(): pass",
        "match x.name:\n    case 'silu': pass",
        "x.name.startswith('silu')",
        "x.name in ('silu', 'elu1')",
        "type(x).__name__ == 'SGD'",
    ],
)
def test_a_choice_is_seen_however_it_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert named_choices(planted(monkeypatch, text, "ttr_core/solvers/toy.py")) & {"SGD", "silu"}


def test_above_an_axis_only_traits_are_named() -> None:
    files = [p for p in sources(*LAYERS) if not any(p.is_relative_to(data) for data in DATA)]
    found = {name(path): named for path in files if (named := named_choices(path))}
    assert found == NAMED_TODAY


def traits() -> list[type[Ingredient]]:
    """Returns the classes between a family and its choices."""
    lines = {
        base for cls in CHOICES.values() for base in cls.__mro__ if issubclass(base, Ingredient)
    }
    between = lines - {*CHOICES.values(), Ingredient}
    return [cls for cls in between if Ingredient not in cls.__bases__ and inspect.isabstract(cls)]


MARKERS: set[str] = set()


def test_a_trait_declares_what_its_solver_computes_with() -> None:
    empty = set()
    for cls in traits():
        own = {*vars(cls), *inspect.get_annotations(cls)} - {"phrase", "needs", "name"}
        if not any(word for word in own if not word.startswith("_")):
            empty.add(cls.__name__)
    assert empty == MARKERS


# --- 2: what is said of a choice stands on the choice ------------------------------------------


@pytest.mark.parametrize("cls", CHOICES.values(), ids=lambda cls: f"{cls.family}-{cls.name}")
def test_a_choice_tells_its_story(cls: type[Ingredient]) -> None:
    assert formula(cls()), "no formula: LaTeX for the place of the choice in the equations"
    assert (inspect.getdoc(cls) or "").splitlines()[0].endswith("."), "no first sentence"
    assert [opt.name for opt in cls.options() if len(opt.help) < 8] == [], "a setting without help"


@pytest.mark.parametrize("cls", CHOICES.values(), ids=lambda cls: f"{cls.family}-{cls.name}")
def test_a_choice_says_its_versions_and_what_tuning_tries(cls: type[Ingredient]) -> None:
    assert cls.revision >= 1
    for opt in cls.options():
        assert opt.since >= 1
        assert [opt.check(opt.name, value) for value in opt.tune] == [*opt.tune]


def test_tasks_tune_what_options_say_and_nothing_beside_it() -> None:
    tried = {
        (knob.name, knob.values)
        for name in ttr.catalog
        for knob in constants.knobs(ttr.catalog[name].spec)
        if knob.axis != "signal"
    }
    declared = {
        (opt.name, opt.tune) for cls in CHOICES.values() for opt in cls.options() if opt.tune
    }
    assert tried and tried <= declared


GRIDS = {
    "ttr_core/lab/tasks/constants.py: DECAYS",
    # what is measured at, not tuned
    "ttr_core/lab/probes/capacity.py: SCALES",
    "ttr_core/lab/probes/noise.py: (ROUNDS, LEVEL, LONGEST)",
    "ttr_core/lab/probes/sharpness_needed.py: SCALES",
    "ttr_core/lab/vitals.py: LENGTHS",
}  # of a signal, which is no setting of a choice


def number(node: ast.expr) -> bool:
    """Whether an expression is a number that is written out, perhaps with a sign."""
    node = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


def test_no_grid_for_tuning_stands_beside_the_options() -> None:
    found = {
        f"{name(path)}: {ast.unparse(node.targets[0])}"
        for path in sources("ttr_core/lab")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Tuple, ast.List))
        if len(node.value.elts) > 2 and all(number(one) for one in node.value.elts)
    }
    assert found == GRIDS


# --- 3: one door -------------------------------------------------------------------------------


SOLVERS = {type(solver).__name__ for solver in ttr.SOLVERS}


def runs_of_a_solver(path: Path) -> Iterator[str]:
    """Yields where ``run`` or ``solve`` is taken of something called a solver, or of one made."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and node.attr in ("run", "solve"):
            whose = ast.unparse(node.value)
            if "solver" in whose.lower() or "resolve" in whose or whose.split("(")[0] in SOLVERS:
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            said = {ast.unparse(argument) for argument in node.args}
            yield from [ast.unparse(node)] if said & {"'run'", "'solve'"} else []


@pytest.mark.parametrize(
    "text",
    [
        "self.solver.run(x)",
        "go = solver.run\ngo(x)",
        "getattr(solver, 'run')(x)",
        "resolve(spec).solve(x, None)",
        "Attention().run(spec, x, params, None)",
    ],
)
def test_a_way_round_the_door_is_seen(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert [*runs_of_a_solver(planted(monkeypatch, text, "ttr_core/layers/toy.py"))]


def test_every_solve_goes_through_one_door() -> None:
    found = {name(p): [*runs_of_a_solver(p)] for p in sources(*LAYERS)}
    assert found.pop("ttr_core/solvers/api.py")
    # Behind the door: it hands on windows of what the door has let in.
    assert {*found.pop("ttr_core/solvers/sliding.py")} == {"solver.run"}
    # The same in pieces, one after the other.
    assert {*found.pop("ttr_core/solvers/pieces.py")} == {"solver.run"}
    # In a file that is taken home: it has no door.
    assert {*found.pop("ttr_core/tools/standalone/substitutes.py")} == {"solver.run"}
    assert {path: calls for path, calls in found.items() if calls} == {}


# --- 4: identity, which is tested by what it promises -------------------------------------------

IDENTITY = {
    "test_added_settings_relabel_no_run", "test_a_revision_makes_new_runs",
    "test_the_map_pools_no_superseded_run", "test_a_hash_is_the_same_in_every_process",
}  # fmt: skip


def test_the_identity_of_runs_is_tested() -> None:
    assert {what for what, _ in defined(ROOT / "tests/test_growth.py")} >= IDENTITY


# --- 5: what is measured is declared by the task -----------------------------------------------

MEASURED_TODAY: dict[str, set[str]] = {
    "experiments_db/store/records.py": {"accuracy", "error"},  # columns of the released schema
}


def test_only_tasks_name_what_they_measure() -> None:
    found: dict[str, set[str]] = {}
    for path in sources(*LAYERS):
        if not path.is_relative_to(ROOT / "ttr_core/lab/tasks"):
            texts = {n.value for n in ast.walk(tree(path)) if isinstance(n, ast.Constant)}
            if said := texts & {"accuracy", "error"}:
                found[name(path)] = said  # type: ignore[assignment]
    assert found == MEASURED_TODAY


# --- 6: a name means one thing -----------------------------------------------------------------

ROOMS = {
    "__init__": "the surface of a package",
    "base": "what the choices of a family, the gates, the solvers and the tasks have in common",
    "convolution": "weights that are a filter, and their solver",
    "elementwise": "one number at a time",
    "errors": "what a user can get wrong",
    "filters": "what picks some of the runs: asked by a query, shown by a page",
    "kernels": "weights that are kernels, and the published layers with them",
    "layer": "a layer: a module, shown by a page",
    "learned": "what has parameters of its own",
    "linear": "a function class, and the published layers with it",
    "regression": "a task, shown by a page",
    "sweep": "a sweep: a command, shown by a page",
    "training": "a training, shown by a page",
}
"""Modules of one name in several packages, and what they have in common."""


def test_modules_of_one_name_mean_one_thing() -> None:
    found = defaultdict(list)
    for path in sources(*LAYERS):
        found[path.stem].append(name(path))
    assert {stem for stem, paths in found.items() if len(paths) > 1} == {*ROOMS}


def defined(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (name, kind) of what a file defines for others: class, function or constant."""
    for node in tree(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, "class" if isinstance(node, ast.ClassDef) else "function"
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    kind = "constant" if target.id.isupper() else "class"
                    yield target.id, kind


def homes(*kinds: str, inside: tuple[str, ...] = LAYERS) -> dict[str, list[str]]:
    """Returns public name -> where it is defined, for what is defined in several places."""
    found = defaultdict(list)
    for path in sources(*inside):
        for what, kind in defined(path):
            if kind in kinds and not what.startswith("_"):
                found[what].append(dotted(path))
    return {what: where for what, where in found.items() if len(where) > 1}


CLASSES_TODAY: set[str] = set()


def test_a_class_or_type_has_one_home() -> None:
    twice = {what for what in homes("class") if what[0].isupper() and len(what) > 1}
    assert twice == CLASSES_TODAY


FUNCTIONS = {
    "main": "where a process starts",
    "take_over": "takes over what the address says",
    "runs": "a table of runs",
    "show": "draws a part of a page",
    "summary": "what ended, in a few words",
}
"""Functions of one name in several modules, and what they have in common."""


COMMANDS = "experiments_db.cli.commands"  # a command is called what it does, and calls it


def test_functions_of_one_name_mean_one_thing() -> None:
    found = set()
    for wing in LAYERS:
        for what, where in homes("function", inside=(wing,)).items():
            if len([module for module in where if module != COMMANDS]) > 1:
                found.add(what)
    assert found == {*FUNCTIONS}


def test_what_a_door_of_the_core_offers_is_defined_nowhere_else() -> None:
    doors = ("ttr_core", "ttr_core.lab", "ttr_core.words", "ttr_core.tools")
    offered = {what for door in doors for what in surface(door)}
    twice = {
        f"{module}: {what}"
        for what, where in homes("class", "function", "constant").items()
        for module in where
        if what in offered and not module.startswith(("ttr_core", COMMANDS))
    }
    assert twice == set()
