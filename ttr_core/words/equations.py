"""A spec's objective, update and readout in LaTeX, as its ingredients tell them."""

from __future__ import annotations

from functools import lru_cache

from ..space.letters import Letters
from ..space.spec import Spec
from ..space.story import LEAST, Equation, Story
from ..space.terms import Term, definitions

BESIDE = r",\qquad "


def letters(spec: Spec) -> Letters:
    """Returns the letters that a spec is written in."""
    return Letters(spec.optimizer.weighed_by(spec.weights), spec.function, spec.loss)


def window(spec: Spec) -> int | None:
    """Returns over how many pairs a running memory passes anew at each token; None for all."""
    return spec.optimizer.passes_over(spec.weights)


@lru_cache(maxsize=256)
def story(spec: Spec) -> Story:
    """Returns how the memory of a spec comes about and answers."""
    return spec.optimizer.story(letters(spec))


def output(spec: Spec) -> Term:
    """Returns what is read from the memory."""
    return spec.readout.written(letters(spec), story(spec).answer)


class Pen:
    """How terms are written: as they stand."""

    def term(self, term: Term) -> Term:
        """Returns a term as it is written."""
        return term

    def left(self, equation: Equation) -> str:
        """Returns the left side of an equation."""
        return equation.left


UNMARKED = Pen()


def objective(spec: Spec, pen: Pen = UNMARKED) -> str:
    """Returns what is minimized."""
    goal = story(spec).objective
    term = pen.term(goal.term)
    lines = [term.tex(), *definitions(term)]
    if goal.solved == LEAST:
        norm = pen.term(spec.function.written_norm(goal.free)).tex()
        lines.insert(1, rf"{norm} \text{{ the least of all minimizers}}")
    return BESIDE.join(lines)


def update(spec: Spec, pen: Pen = UNMARKED) -> str:
    """Returns how the memory is found; letters that the objective defines are not defined again."""
    told = story(spec)
    rights = [pen.term(e.right) for e in told.update]
    lines = [f"{pen.left(e)} = {r.tex()}" for e, r in zip(told.update, rights, strict=True)]
    known = definitions(pen.term(told.objective.term))
    new = [d for d in definitions(*rights) if d not in known]
    if (pairs := window(spec)) is not None:
        new.append(rf"\text{{anew at each token, over the newest {pairs} pairs from the start}}")
    return BESIDE.join([*lines, *new])


def read(spec: Spec, pen: Pen = UNMARKED) -> str:
    """Returns how the output is read."""
    told, said = story(spec), pen.term(output(spec))
    terms = (told.objective.term, *(e.right for e in told.update))
    known = definitions(*(pen.term(term) for term in terms))
    new = [d for d in definitions(said) if d not in known]
    return BESIDE.join([f"y_t = {said.tex()}", *new])
