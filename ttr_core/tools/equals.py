"""Computes which cells of the grid are the same layer, and writes it down: equal_cells.py.

python -m ttr_core.tools.equals           # compares what is computed with what is written
python -m ttr_core.tools.equals --write   # takes some seconds
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..layers.published import catalog
from ..space.spec import AXES, Spec, listed
from ..words import equal_cells
from ..words.same import Signature, equal, groups, kind, kinds, layers

FILE = Path(equal_cells.__file__)
WIDTH = 100  # of a line of code
HEAD = '''\
"""Which cells of the grid are the same layer: equal outputs of the same signals in float64.

Computed and written by ``python -m ttr_core.tools.equals --write``. `COVERED`: the choices that
were listed then; `OFF_GRID`: the published layers that are no cell; `FIRST`: each of both that
equals a cell before it -> the first such cell.
"""
'''


def covering() -> dict[str, tuple[str, ...]]:
    """Returns the choices that the grid lists, by their axes."""
    return {axis: tuple(str(part) for part in listed(axis)) for axis in AXES}


def off_grid() -> Iterator[Spec]:
    """Yields the published layers that are no cell of the grid."""
    cells = {spec for found in kinds().values() for spec in found}
    yield from dict.fromkeys(e.spec for e in catalog.values() if e.spec not in cells)


def firsts(kind: Signature) -> dict[str, str]:
    """Returns, of the listed layers of a kind, those that equal one before -> the first such.

    Args:
        kind: of layers.
    """
    return {text: first for first, *others in groups(layers(kind)) for text in others}


def first_equal(spec: Spec) -> str:
    """Returns the first cell that a layer equals; empty if there is none.

    Args:
        spec: a layer that is no cell.
    """
    return next(iter(equal(spec, layers(kind(spec)))), "")


def file_text(
    covered: Mapping[str, Sequence[str]], others: Iterable[str], found: Mapping[str, str]
) -> str:
    """Returns the text of the file.

    Args:
        covered: the listed choices by axis.
        others: the published layers that are no cell.
        found: layers that equal a cell before -> the first such.
    """
    lines = [HEAD, "COVERED: dict[str, tuple[str, ...]] = {"]
    for axis, parts in covered.items():
        lines += [f'    "{axis}": (', *(f'        "{part}",' for part in parts), "    ),"]
    lines += ["}", "", "OFF_GRID: tuple[str, ...] = ("]
    lines += [f'    "{text}",' for text in others]
    lines += [")", "", "FIRST: dict[str, str] = {"]
    lines += [_pair(text, first) for text, first in found.items()]
    return "\n".join([*lines, "}", ""])


def _pair(text: str, first: str) -> str:
    """A line of the mapping, as the formatter would break it."""
    line = f'    "{text}": "{first}",'
    return line if len(line) <= WIDTH else f'    "{text}": (\n        "{first}"\n    ),'


def computed() -> str:
    """Returns the text of the file as the code has it now."""
    others = list(off_grid())
    found = {text: first for one in kinds() for text, first in firsts(one).items()}
    found |= {str(spec): first for spec in others if (first := first_equal(spec))}
    return file_text(covering(), map(str, others), found)


def main(arguments: list[str]) -> int:
    """Computes, and writes or compares; 1 if something is another than written."""
    text = computed()
    if "--write" in arguments:
        FILE.write_text(text, encoding="utf-8")
        return 0
    as_written = FILE.read_text(encoding="utf-8") == text
    print("as written" if as_written else f"{FILE.name} is stale: run with --write")
    return int(not as_written)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
