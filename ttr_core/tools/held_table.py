"""Prints what every solver holds over its inputs and outputs, forward and with the backward pass.

``python -m ttr_core.tools.held_table`` tries every layer of the catalog, and of solvers that run
none of these a cell of the grid, with one head of 64 and 4096 tokens; docs/benchmarks.md says why
some hold more than `FORWARD` and `BOTH` times as much. ``--tokens 256`` shows that it works.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..layers.published import catalog
from ..limits import Shape
from ..solvers import SOLVERS, resolve
from ..space.spec import Spec, triples
from .contenders import Passes, TimedSolve
from .held import peak_bytes

FORWARD, BOTH = 2.0, 6.0
"""What a solver is to stay within, forward and with the backward pass."""

SIZE, HEAD = 4096, 64
MOST = 2e11  # operations of a forward pass; what takes more is left out


@dataclass(frozen=True)
class HeldRow:
    """What a spec holds over its inputs and outputs.

    Args:
        spec: its text.
        solver: which runs it.
        forward: without gradients; None where the work is too much.
        both: with the backward pass.
    """

    spec: str
    solver: str
    forward: float | None = None
    both: float | None = None

    @property
    def fine(self) -> bool:
        """Whether it was measured and keeps within both bounds."""
        measured = self.forward is not None and self.both is not None
        return measured and (self.forward or 0) <= FORWARD and (self.both or 0) <= BOTH


def tried_specs() -> list[Spec]:
    """Returns the specs of the catalog, and of other solvers the first cell that each runs."""
    specs = list(dict.fromkeys(entry.spec for entry in catalog.values()))
    seen = {SOLVERS[-1].name, *(resolve(spec).name for spec in specs)}  # never the reference
    for spec in triples():
        if not spec.objections() and (name := resolve(spec).name) not in seen:
            seen.add(name)
            specs.append(spec)
    return specs


def held_by(specs: Sequence[Spec], tokens: int) -> Iterator[HeldRow]:
    """Yields what each spec holds.

    Args:
        specs: which.
        tokens: T.
    """
    for spec in specs:
        solver = resolve(spec)
        shape = Shape(1, 1, tokens, HEAD, HEAD, spec.feature_size(HEAD))
        if solver.estimate(spec, shape).flops > MOST:
            yield HeldRow(str(spec), solver.name)
            continue
        found = []
        for backward in (False, True):
            call, given = TimedSolve(str(spec)).call(
                (1, 1, tokens, HEAD), Passes(backward=backward)
            )
            call()  # what is made once is not held by every call
            found.append(peak_bytes(call, "cpu") / given)
        yield HeldRow(str(spec), solver.name, *found)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=SIZE, help="T")
    asked = parser.parse_args(argv)
    print("| spec | solver | forward | with backward | |\n|---|---|---|---|---|")
    rows = []
    for row in held_by(tried_specs(), asked.tokens):
        rows.append(row)
        forward, both = ("" if z is None else f"{z:.1f}" for z in (row.forward, row.both))
        said = "" if row.fine else "left out: too much work" if row.both is None else "above"
        name = row.spec.replace("|", "\\|")
        print(f"| `{name}` | {row.solver} | {forward} | {both} | {said} |", flush=True)
    fine = sum(row.fine for row in rows)
    print(f"\n{fine} of {len(rows)} within {FORWARD:g} forward and {BOTH:g} with the backward pass")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
