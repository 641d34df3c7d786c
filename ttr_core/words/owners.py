r"""Owners: formulas in which each letter is marked by the ingredient that brings it along.

The marks are commands that no LaTeX knows, ``\weights{..}``, ``\function{..}`` and
``\optimizer{..}``, for whoever shows the formulas to define; keys, values and queries, which are
data, have none.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..space.optimizers.base import Retrospective
from ..space.spec import Spec
from ..space.story import Equation
from ..space.terms import Index, Let, Letter, Named, Numeral, Term
from .equations import Pen, objective, read, update

WEIGHTS, FUNCTION, OPTIMIZER = OWNERS = ("weights", "function", "optimizer")
DATA = frozenset({"k", "v", "q", "eye", "root", "head", "F", "chunk"})
EQUATED = ("now", "before")  # letters that an equation of the update gives a value
MEMORY = "memory"
MEMORIES = frozenset({MEMORY, f"now.{MEMORY}", f"before.{MEMORY}", "start"})


@dataclass(frozen=True)
class Owned(Term):
    """A term with a mark.

    Args:
        owner: one of `OWNERS`.
        body: the term.
    """

    owner: str
    body: Term

    @property
    def binds(self) -> int:
        return self.body.binds

    @property
    def stands_last(self) -> bool:
        return self.body.stands_last

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.body,)

    def tex(self) -> str:
        return with_mark(self.owner, self.body.tex())

    def value(self, moment: Any) -> Any:
        return self.body.value(moment)


def with_mark(owner: str, text: str) -> str:
    """Returns LaTeX with a mark."""
    return rf"\{owner}{{{text}}}"


class Marking(Pen):
    """Marks the terms of a spec.

    Args:
        spec: whose they are.
    """

    def __init__(self, spec: Spec) -> None:
        weights = spec.optimizer.weighed_by(spec.weights)
        said = [w.written() for w in (weights, *weights.factors())]
        said += [weights.proportional()]
        said += [f(index) for f in (weights.kept, weights.brought) for index in "ti"]
        self.others = FUNCTION if isinstance(spec.optimizer, Retrospective) else OPTIMIZER
        self.weights = tuple(term for term in said if not isinstance(term, Numeral))
        self.letters = frozenset(
            one.name for term in said for one in term.walk()
            if isinstance(one, Letter) and one.name.partition(".")[0] not in {*DATA, "phi"}
        )  # fmt: skip

    def left(self, equation: Equation) -> str:
        """Returns the left side of an equation."""
        return with_mark(FUNCTION if equation.name == MEMORY else self.others, equation.left)

    def term(self, term: Term) -> Term:
        """Returns a term whose parts are marked."""
        if isinstance(term, Let) and term.body in self.weights:
            letter, defined = (t and with_mark(WEIGHTS, t) for t in (term.letter, term.defined))
            return dataclasses.replace(term, letter=letter, defined=defined, body=Owned(
                WEIGHTS, term.body))  # fmt: skip
        if term in self.weights:
            return Owned(WEIGHTS, term)
        if isinstance(term, Letter):
            owner = self._owner(term)
            return Owned(owner, term) if owner else term
        if isinstance(term, Named):
            return Owned(FUNCTION, term)
        made = _rebuilt(term, self.term)
        if isinstance(made, Let) and self._of_optimizer(made):
            letter, defined = (t and with_mark(OPTIMIZER, t) for t in (made.letter, made.defined))
            return dataclasses.replace(made, letter=letter, defined=defined)
        return made

    def _of_optimizer(self, made: Let) -> bool:
        """Whether a letter stands for something of the optimizer and of no memory: its step."""
        owners = {part.owner for part in made.walk() if isinstance(part, Owned)}
        return OPTIMIZER in owners and FUNCTION not in owners

    def _owner(self, letter: Letter) -> str:
        kind = letter.name.partition(".")[0]
        if letter.name in self.letters:
            return WEIGHTS
        if letter.name in MEMORIES:
            return FUNCTION
        if kind == "phi":
            return FUNCTION if letter.where else ""
        return "" if kind in DATA else self.others if kind in EQUATED else OPTIMIZER


def _rebuilt(term: Term, change: Any) -> Term:
    """Returns a term with its parts changed, wherever it keeps them."""

    def changed(value: Any) -> Any:
        if isinstance(value, Term):
            return value if isinstance(value, (Numeral, Index)) else change(value)
        return tuple(changed(one) for one in value) if isinstance(value, tuple) else value

    made: Any = term  # a dataclass, as all of them are
    fields = [field.name for field in dataclasses.fields(made) if field.init]
    again: Term = dataclasses.replace(made, **{n: changed(getattr(made, n)) for n in fields})
    return again


def marked_formulas(spec: Spec) -> tuple[str, str, str]:
    r"""Returns what `formulas` does, with marks of the ingredients that letters come from.

    Args:
        spec: a layer.

    Example:
        >>> import ttr_core as ttr
        >>> marked_formulas(ttr.Spec.parse("Gate | Linear | Hebbian"))[1]
        '\\function{S_t} = \\weights{a_t} \\function{S_{t-1}} + k_t v_t^\\top'
    """
    pen = Marking(spec)
    return objective(spec, pen), update(spec, pen), read(spec, pen)
