"""A read-only store refuses every write that this program has: found in its code, then tried.

A page that shows no button is no refusal: whoever speaks to the server as a browser does can send
what no widget offers. What is refused here is refused to every page.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import experiments_db
from experiments_db.read import queries
from experiments_db.read.edits import Edit
from experiments_db.run.jobs import Job
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Outcome, Store, StoreError, open_store
from experiments_db.store.backup import backup
from tests.batch.conftest import FakeExperiment
from tests.store.conftest import run_like

STORE = ("Store", "Kept")
"""What a function calls the store that it is given."""

CHANGING, ASKED = {"write", "allow_writing", "driver"}, {"open", "locked"}
"""Methods of a store that change it whenever they are called, and those that do if asked."""

Function = Callable[..., Any]


@cache
def project() -> tuple[ModuleType, ...]:
    """Returns the modules of the lab; those that only run in a process of their own are left."""
    names = [one.name for one in pkgutil.walk_packages(experiments_db.__path__, "experiments_db.")]
    alone = ("__main__", "cluster", "joining", "node")  # the command; what needs Ray: no stores
    return tuple(
        importlib.import_module(name) for name in names if name.rpartition(".")[2] not in alone
    )


def functions() -> Iterator[Function]:
    """Yields every function and method of the lab."""
    for module in project():
        for thing in vars(module).values():
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(thing):
                yield from (m for m in vars(thing).values() if inspect.isfunction(m))
            elif inspect.isfunction(thing):
                yield thing


@cache
def calls(function: Function) -> tuple[ast.Call, ...]:
    if inspect.unwrap(function).__code__.co_filename.startswith("<"):
        return ()  # made by a dataclass
    text = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    return tuple(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))


def stores_of(function: Function) -> set[str]:
    """Returns how a function calls the stores that it is given or belongs to."""
    given = inspect.signature(inspect.unwrap(function)).parameters.values()
    named = {one.name for one in given if str(one.annotation).split(" |")[0] in STORE}
    return (
        named
        | {"self._store", "self.store"}
        | ({"self"} if function.__qualname__.startswith("Store.") else set())
    )


def changes(call: ast.Call, stores: set[str]) -> bool:
    """Says whether a call is of a method that changes a store."""
    if not (isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in stores):
        return False
    asked = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "write")]
    may = any(not (isinstance(a, ast.Constant) and a.value is False) for a in asked)
    return call.func.attr in CHANGING or (call.func.attr in ASKED and may)


def called(call: ast.Call, function: Function) -> Function | None:
    """Returns the function of this project that a call is of, where its name says so."""
    scope, word = inspect.unwrap(function).__globals__, call.func
    if isinstance(word, ast.Name):
        found = scope.get(word.id)
    elif isinstance(word, ast.Attribute) and isinstance(word.value, ast.Name):
        found = getattr(scope.get(word.value.id), word.attr, None)
        if word.value.id == "self" and "." in function.__qualname__:
            found = getattr(scope[function.__qualname__.split(".")[0]], word.attr, None)
    else:
        found = None
    if inspect.isclass(found):
        found = found.__init__
    ours = inspect.isfunction(found) and found.__module__.startswith("experiments_db")
    return found if ours else None


@cache
def writes(function: Function) -> bool:
    """Says whether a function, or one that it hands its store to, changes that store."""
    seen, left = set[Function](), [function]
    while left:
        one = left.pop()
        if one in seen or one is Store.__init__:  # which keeps for later how the file is opened
            continue
        seen.add(one)
        stores = stores_of(one)
        for call in calls(one):
            if changes(call, stores):
                return True
            handed = {ast.unparse(value) for value in call.args} & stores
            of_self = (
                isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "self"
            )
            if (handed or of_self) and (found := called(call, one)) is not None:
                left.append(found)
    return False


def is_public(function: Function) -> bool:
    parts = function.__qualname__.split(".")
    return not any(part.startswith("_") and part != "__init__" for part in parts)


SILENT = (Store.allow_writing, Supervisor.warm)
"""Who asks a store whether it may be written, and writes nothing."""

WRITERS = {
    f"{one.__module__}.{one.__qualname__}": one
    for one in functions()
    if is_public(one) and one not in SILENT and writes(one)
}


def test_the_writers_that_are_known_are_found() -> None:
    ends = {name.rpartition("experiments_db.")[2] for name in WRITERS}
    named = {"write", "claim", "finish", "set_note", "star", "unstar", "tag", "untag", "delete"}
    assert {f"store.store.Store.{name}" for name in named} <= ends
    assert {
        "store.backup.restore", "store.importing.import_runs", "store.keeping.keep",
        "store.driver.Driver.__init__", "read.edits.perform", "sweeps.drive.started",
        "run.supervisor.Supervisor.start",
    } <= ends  # fmt: skip
    assert not ends & {"read.queries.runs", "read.listing.runs", "store.backup.backup"}


class Untouched:
    """An argument that nothing may be asked of: the store is asked first."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f".{name} was asked for before the store was")


@pytest.fixture(scope="module")
def shut(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a run, of which a server shows what there is."""
    store = open_store(tmp_path_factory.mktemp("shown") / "runs.duckdb")
    with store.driver() as driver:
        run = store.claim(driver, run_like()).run_id
        store.finish(str(run), Outcome("finished"))
    return Store(store.path, readonly=True)


@pytest.fixture(scope="module")
def samples(shut: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an argument is given by what it says of itself; all others are `Untouched`."""
    source = backup(Store(shut.path), tmp_path_factory.mktemp("elsewhere") / "copy.duckdb")
    (run_id,) = queries.ids(shut)
    return {
        "Store": shut, "Kept": shut, "str": run_id, "bool": True, "Sequence[str]": [run_id],
        "Edit": Edit("star", (run_id,)), "Path | str": source, "Iterable[Path]": [source],
        "Experiment": FakeExperiment(),
    }  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_store_refuses(shut: Store, samples: dict[str, Any], name: str) -> None:
    function = WRITERS[name]
    asked = function.__qualname__ in ("Store.open", "Store.locked")
    given = [
        samples.get(str(word.annotation), Untouched())
        for word in inspect.signature(function).parameters.values()
        if word.name != "self" and (asked or word.default is word.empty)
    ]
    before = contents(shut.path.parent)
    with pytest.raises(StoreError, match="is read-only here"):
        entered(partial(function, *selves(function, shut), *given))
    assert contents(shut.path.parent) == before


def selves(function: Function, shut: Store) -> list[Any]:
    """Returns whose method it is, if it is one."""
    of, _, method = function.__qualname__.rpartition(".")
    if not of:
        return []
    if of == "Store":
        return [shut]
    cls = function.__globals__[of]
    made = object.__new__(cls)
    if method != "__init__":
        made = Supervisor(shut) if of == "Supervisor" else made
        made._store = shut
    return [made]


def entered(call: Callable[[], Any]) -> None:
    """Calls something, and enters what it returns if that is what one enters.

    Raises:
        StoreError: a job that it returns has failed, which is how a Supervisor refuses.
    """
    answer = call()
    if isinstance(answer, Job) and answer.status == "failed":
        raise StoreError(answer.error or "")
    if hasattr(answer, "__enter__"):
        with answer:
            pass


def contents(folder: Path) -> dict[str, bytes]:
    """Returns every file of a folder but the lock, which readers take, too."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".lock")
    return {str(file): file.read_bytes() for file in files}
