"""Stories: what an ingredient says of the memory it makes, in terms that can be computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .terms import (
    Letter,
    Term,
    Value,
    each,
)

MINIMUM, LEAST, STEP = "minimum", "least norm", "step"
"""How an objective is solved: by its minimum, by that of least norm, by one step of size one."""


QUERY = Letter("q", "q_t", ("t",))


@dataclass(frozen=True)
class Criterion:
    """What is minimized.

    Args:
        term: a number, a function of the memory.
        free: the letter of that memory.
        solved: how: ``MINIMUM``, ``LEAST`` or ``STEP``.
        gives: the name of the letter that the solution is.
        repeats: how often, each time beside the last solution.
    """

    term: Term
    free: Letter
    solved: str = MINIMUM
    gives: str = "memory"
    repeats: int = 1


def unchanged(memory: Value) -> Value:
    """Returns the memory that a model starts with."""
    return memory


@dataclass(frozen=True)
class Reading:
    """Another way to say the same update: a gradient step, from the memory before, on some loss.

    Args:
        sentence: it in words.
        size: of the step.
        loss: a number, a function of the memory.
    """

    sentence: str
    size: Term
    loss: Term


@dataclass(frozen=True)
class Equation:
    """A letter and what it is at a token.

    Args:
        name: the letter's name; other terms know its value now and before by it.
        left: it in LaTeX.
        right: what it is.
        start: its value before the first token, from the memory that the model starts with.
    """

    name: str
    left: str
    right: Term
    start: Callable[[Value], Value] = unchanged


@dataclass(frozen=True)
class Story:
    """How a memory comes about and answers.

    Args:
        objective: what each token's memory minimizes.
        update: how it is found.
        answer: what it says of the query.
    """

    objective: Criterion
    update: tuple[Equation, ...]
    answer: Term


def nothing(memory: Value) -> Value:
    """Returns a memory of zeros."""
    return each(torch.zeros_like, memory)


def key(index: str) -> Letter:
    """Returns the key of a token."""
    return Letter("k", f"k_{index}", (index,))


def target(index: str) -> Letter:
    """Returns the value of a token."""
    return Letter("v", f"v_{index}", (index,))


def now(name: str, written: str, *index: str) -> Letter:
    """Returns the value that an equation gives to a letter at this token."""
    return Letter(f"now.{name}", written, index)


def signal(written: str, name: str, *index: str) -> Letter:
    """Returns the letter of a signal at this token, or of one of its numbers."""
    return Letter(name, written, ("t", *index))


def before(name: str, written: str) -> Letter:
    """Returns the value that an equation gave to a letter at the token before."""
    return Letter(f"before.{name}", written)
