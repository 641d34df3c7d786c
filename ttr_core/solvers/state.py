"""What a solver keeps from token to token: how large it is, how it is kept and taken up again."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from ..limits import Shape
from ..named import Carried, Params, part, whole
from ..space.functions import FunctionClass, MatrixModel
from ..space.spec import Spec
from ..stream import WIDTHS, Stream


class State(abc.ABC):
    """What a solver needs to go on, of one spec."""

    @abc.abstractmethod
    def size(self, shape: Shape) -> int:
        """Returns how many numbers a head's state holds after ``shape.length`` tokens."""

    @abc.abstractmethod
    def formula(self) -> str:
        """Returns that size for all heads as a formula in T, d (model size), H and F.

        F, the number of features, stands where it is neither fixed nor a multiple of the key size.
        """

    @property
    def halved(self) -> State:
        """The same without what lies above the diagonals of symmetric matrices."""
        return self


@dataclass(frozen=True)
class Matrix(State):
    """Matrices of the size of S, and what stands beside them.

    Args:
        model: whose coefficients they are.
        copies: how many there are.
        gram: whether there is a symmetric matrix of all features by all features, too.
        vectors: how many vectors of all features there are.
        numbers: how many numbers.
        packed: whether of a symmetric matrix only one half is counted, with its diagonal.
    """

    model: MatrixModel
    copies: int = 1
    gram: bool = False
    vectors: int = 0
    numbers: int = 0
    packed: bool = False

    def size(self, shape: Shape) -> int:
        f = shape.features
        square = self.gram * (f * (f + 1) // 2 if self.packed else f * f)
        return f * (self.copies * shape.value_dim + self.vectors) + square + self.numbers

    @property
    def halved(self) -> Matrix:
        return replace(self, packed=True)

    def formula(self) -> str:
        width = self.model.width
        square, line = (0.5, 0.5) if self.packed else (1, 0)
        square, line = self.gram * square, self.gram * line + self.vectors
        if width(2) == width(3) == width(60):
            f = width(2)
            beside = square * f**2 + line * f + self.numbers
            return _sum((self.copies * f, "d"), (beside, "H"))
        per_key, rest = divmod(width(60), 60)
        if rest or width(2) != 2 * per_key:
            terms: tuple[tuple[float, str], ...]
            terms = ((self.copies, "F d"), (square, "H F^2"), (line, "H F"))
        else:
            squares = self.copies * per_key + square * per_key**2
            terms = ((squares, "d^2 / H"), (line * per_key, "d"))
        return _sum(*terms, (self.numbers, "H"))

    @staticmethod
    def keep(memory: Tensor) -> Carried:
        """Returns what goes on from one matrix."""
        return {"S": memory}

    @staticmethod
    def restored(kept: Params | None) -> Tensor | None:
        """Returns the matrix that was kept; None at the start."""
        return None if kept is None else kept["S"]


@dataclass(frozen=True)
class Both(State):
    """Two states side by side."""

    first: State
    second: State

    def size(self, shape: Shape) -> int:
        return self.first.size(shape) + self.second.size(shape)

    def formula(self) -> str:
        count: dict[str, float] = {}
        for term in f"{self.first.formula()} + {self.second.formula()}".split(" + "):
            number, _, what = term.partition(" ") if term[0].isdigit() else ("1", "", term)
            count[what] = count.get(what, 0) + float(number)
        return _sum(*((number, what) for what, number in count.items()))


@dataclass(frozen=True)
class WithNewest(State):
    """A matrix, and the features and the value of the pair that was written last.

    Args:
        model: whose coefficients they are.
        divides: whether values have a one beside them.
    """

    model: MatrixModel
    divides: bool = False

    def size(self, shape: Shape) -> int:
        return (shape.features + 1) * (shape.value_dim + self.divides) + shape.features

    def formula(self) -> str:
        ones = int(self.divides)
        return Both(Matrix(self.model, vectors=1 + ones, numbers=ones), Vectors(1)).formula()


@dataclass(frozen=True)
class Vectors(State):
    """Vectors of the size of a value.

    Args:
        count: how many there are.
        numbers: how many numbers beside them.
    """

    count: int
    numbers: int = 0

    def size(self, shape: Shape) -> int:
        return self.count * shape.value_dim + self.numbers

    def formula(self) -> str:
        return _sum((self.count, "d"), (self.numbers, "H"))


@dataclass(frozen=True)
class Memories(State):
    """Memories of any function class.

    Args:
        model: whose memory it is.
        copies: how many there are.
        numbers: how many numbers beside them.
    """

    model: FunctionClass
    copies: int = 1
    numbers: int = 0

    def size(self, shape: Shape) -> int:
        return self.copies * self.model.memory_size(shape.key_dim, shape.value_dim) + self.numbers

    def formula(self) -> str:
        if isinstance(self.model, MatrixModel):
            return Matrix(self.model, self.copies, numbers=self.numbers).formula()
        # A polynomial of the size of keys without a constant, through three of its values.
        one, two, three = (Fraction(self.model.memory_size(k, k), k) for k in (1, 2, 3))
        cubes = (three - 2 * two + one) / 2
        squares = two - one - 3 * cubes
        found = (cubes, squares, one - squares - cubes)
        sizes = (float(self.copies * n) for n in found)
        terms = zip(sizes, ("d^3 / H^2", "d^2 / H", "d"), strict=True)
        return _sum(*terms, (self.numbers, "H"))

    def begun(self, x: Stream, own: Params) -> Carried:
        """Returns the memory before the first token, [B, H, ...] each; heads may start apart."""
        each = [
            self.model.init(x.key_dim, x.value_dim, x.k, {n: p[h : h + 1] for n, p in own.items()})
            for h in range(x.heads)
        ]
        stacked = {n: torch.stack([one[n] for one in each]) for n in each[0]}
        return {n: m.expand(x.k.shape[0], *m.shape).clone() for n, m in stacked.items()}


@dataclass(frozen=True)
class Pairs(State):
    """A key, a value and some numbers for every pair, and perhaps one for every two pairs.

    Args:
        numbers: how many for each pair.
        square: whether there is one for every two pairs.
        reach: how many of the newest pairs may yet count, the next one among them; None for all.
    """

    numbers: int = 0
    square: bool = False
    reach: int | None = None

    def size(self, shape: Shape) -> int:
        t = shape.length if self.reach is None else min(shape.length, self.reach - 1)
        return t * (shape.key_dim + shape.value_dim + self.numbers) + self.square * t * t

    def formula(self) -> str:
        if self.reach is not None:
            tokens = self.reach - 1
            return _sum((2 * tokens, "d"), (tokens * self.numbers, "H"))
        return _sum((int(self.square), "T^2 H"), (2, "T d"), (self.numbers, "T H"))


@dataclass(frozen=True)
class Past(State):
    """The keys, values and signals themselves, of as many pairs as may yet count.

    Args:
        spec: whose weights say how many that are.
    """

    spec: Spec

    @property
    def reach(self) -> int | None:
        """How many of the newest pairs may yet count, the next one among them; None for all."""
        weights = self.spec.weights
        return None if weights.reads_past else weights.reach

    def size(self, shape: Shape) -> int:
        widths = (
            self.spec.signal_width(signal, shape.key_dim, shape.value_dim)
            for signal in self.spec.signals
        )
        reach = self.reach
        tokens = shape.length if reach is None else min(shape.length, reach - 1)
        return tokens * (shape.key_dim + shape.value_dim + sum(widths))

    def formula(self) -> str:
        tokens = 1 if self.reach is None else self.reach - 1
        count = dict.fromkeys(WIDTHS, 0)
        for signal in self.spec.signals:
            count[signal.unit] += signal.count
        t = "T " if self.reach is None else ""
        return _sum(
            (tokens * (2 + count["key"] + count["value"]), f"{t}d"),
            (tokens * count["scalar"], f"{t}H"),
            (tokens * count["feature"], f"{t}H F"),
        )

    def keep(self, x: Stream) -> Carried:
        """Returns what may yet count of all tokens so far."""
        reach = self.reach
        if reach is not None:
            first = max(0, x.length - reach + 1)
            x = Stream(x.q[:, :, :0], x.k, x.v, x.signals).map(lambda z: z[:, :, first:])
        return {"k": x.k, "v": x.v} | whole(signal=x.signals)

    @staticmethod
    def restored(x: Stream, kept: Params | None) -> Stream:
        """Puts a kept past before the new tokens; the queries stay those of the new ones."""
        if kept is None:
            return x
        return Stream(kept["k"][:, :, :0], kept["k"], kept["v"], part(kept, "signal")).then(x)


def _sum(*terms: tuple[float, str]) -> str:
    """Returns a sum of so many of each, without those that are zero.

    Example:
        >>> _sum((2, "d"), (0, "H"), (1, "T"))
        '2 d + T'
    """
    return " + ".join(f"{'' if n == 1 else f'{n:g} '}{what}" for n, what in terms if n) or "0"
