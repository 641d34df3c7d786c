"""Tries every cell of the grid, and writes down those that read nothing back: unread_cells.py.

python -m ttr_core.tools.trials           # compares what is measured with what is written
python -m ttr_core.tools.trials --write   # takes some minutes of one processor
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from ..errors import RequestError
from ..lab import reads_back
from ..solvers import caution
from ..space.spec import Spec, triples
from ..words import unread_cells
from ..words.unread_cells import UNREAD
from ..words.verdicts import one_answer

FILE = Path(unread_cells.__file__)
CLOSE = 0.06  # to the bound: such a cell is as good as the draw of its pairs
HEAD = '''\
"""The cells of the grid that do not read back pairs as they start in the standard frame.

Measured and written by ``python -m ttr_core.tools.trials --write``: share of 8 clean pairs, and
what was seen (`ttr_core.words.verdicts.Unread`).
"""

UNREAD: dict[str, tuple[float, str]] = {
'''


def tried() -> Iterator[Spec]:
    """Yields the listed specs whose verdict a trial decides."""
    for spec in triples():
        if not spec.objections() and not caution(spec) and not one_answer(spec):
            yield spec


def outcomes(specs: Iterable[Spec]) -> dict[str, tuple[float, float, str]]:
    """Returns the share that each reads back, its lower bound, and what was seen; "" if it reads.

    Args:
        specs: layers of the grid.
    """
    found = {}
    for spec in specs:
        try:
            one = reads_back(spec)
            found[str(spec)] = (one.share, one.low, one.why)
        except RequestError:
            found[str(spec)] = (0.0, 0.0, "SINGULAR")
    return found


def written(found: dict[str, tuple[float, float, str]]) -> str:
    """Returns the text of the file."""
    rows = (f'    "{s}": ({share:.3g}, "{why}"),\n' for s, (share, _, why) in found.items() if why)
    return f"{HEAD}{''.join(rows)}}}\n"


def wrong(
    found: dict[str, tuple[float, float, str]], kept: Container[str] = UNREAD, bound: float = 0.25
) -> list[str]:
    """Returns the cells whose written verdict is not what was measured, those at the bound apart.

    Args:
        found: what was measured.
        kept: the cells that are written down.
        bound: what a layer exceeds.
    """
    return [
        s
        for s, (_, low, why) in found.items()
        if bool(why) != (s in kept) and abs(low - bound) > CLOSE
    ]


def main(arguments: list[str]) -> int:
    """Measures, and writes or compares; 1 if something is another than written."""
    found = outcomes(tried())
    print(f"{len(found)} cells tried, {sum(bool(why) for *_, why in found.values())} read nothing")
    if "--write" in arguments:
        FILE.write_text(written(found), encoding="utf-8")
        return 0
    differ = wrong(found)
    print("\n".join(differ) or "as written")
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
