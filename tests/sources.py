"""The project's files as the tests of its form read them: by their syntax, never by importing."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("ttr_core", "experiments_db", "pages", "app", "batch")


def sources(*folders: str) -> list[Path]:
    """Returns every Python file of the folders, or of a module at the top."""
    found: list[Path] = []
    for folder in folders:
        path = ROOT / folder
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [path for path in found if path.exists()]


def name(path: Path) -> str:
    """Returns a file's path inside the project."""
    return str(path.relative_to(ROOT))


def of_every_file(*folders: str) -> Callable[[Callable[[Path], None]], Callable[[str], None]]:
    """Makes a test of one file one of each folder, which fails with every file that fails."""

    def decorated(check: Callable[[Path], None]) -> Callable[[str], None]:
        def checked(folder: str) -> None:
            wrong, paths = [], sources(folder)
            for path in paths:
                try:
                    check(path)
                except AssertionError as error:
                    wrong.append(f"{name(path)}: {error}")
            assert paths and not wrong, f"{len(wrong)} of {len(paths)}:\n" + "\n".join(wrong)

        checked.__name__, checked.__doc__ = check.__name__, check.__doc__
        return pytest.mark.parametrize("folder", folders)(checked)

    return decorated


def dotted(path: Path) -> str:
    """Returns the name that a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    """Returns the syntax of a file."""
    return ast.parse(path.read_text())


def imports(path: Path, typing: bool = True) -> Iterator[tuple[str, str]]:
    """Yields (module, name) of every import, absolute; a plain ``import m`` has no name.

    Args:
        path: the file.
        typing: whether those count that only a type checker follows.
    """
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree(path)) if typing else running(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def modules(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yields the modules that imports may load: ``from m import n`` may mean m or m.n."""
    for module, what in found:
        yield module
        if what:
            yield f"{module}.{what}"


def running(node: ast.AST) -> Iterator[ast.AST]:
    """Yields what runs below a node, without what stands under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not typing_only:
            yield child
            yield from running(child)


def surface(module: str) -> frozenset[str]:
    """Returns the ``__all__`` of a package."""
    file = ROOT / Path(*module.split(".")) / "__init__.py"
    for node in tree(file).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()
