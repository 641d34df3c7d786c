"""Spec: one point of the design space, with its text form and its objections."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from ..errors import IncompatibleSpec, RequestError
from ..named import part
from ..stream import Signal
from .functions import FeatureModel, FunctionClass, LinearModel, MatrixModel
from .ingredient import Ingredient, choices
from .losses import Loss, QuadraticLoss, Squared
from .optimizers import Optimizer
from .option import Written, changed, every
from .readouts import Plain, Readout
from .sharpness import Comparison
from .text import fields_of, ingredient
from .weights import LISTED_PRODUCTS, Weights

AXES = ("weights", "function", "optimizer")

SQUARED, PLAIN = Squared(), Plain()


@dataclass(frozen=True)
class Spec:
    """A sequence layer as a regression: weights, function class, optimizer.

    Args:
        weights: how much each past pair counts.
        function: what is fitted to the past.
        optimizer: how it is fitted.
        loss: what the fit minimizes.
        readout: how the output is read.

    Example:
        >>> import ttr_core as ttr
        >>> spec = ttr.Spec.parse("Gate | Linear | SGD")
        >>> print(spec.expanded)
        Gate | Linear(map=identity) | SGD(residual=decayed, link=sigmoid) | loss=Squared
        | readout=Plain
    """

    weights: Weights
    function: FunctionClass
    optimizer: Optimizer
    loss: Loss = SQUARED
    readout: Readout = PLAIN

    builder: ClassVar[Callable[..., nn.Module]]
    """What makes a layer of a spec: set by the layers, which stand above the design space."""

    @classmethod
    def of(cls, spec: Spec | str) -> Spec:
        """Returns a spec as it is, or the one that a text stands for.

        Raises:
            RequestError: neither a spec nor the text of one.

        Example:
            >>> import ttr_core as ttr
            >>> ttr.Spec.of("Gate | Linear | SGD") == ttr.Spec.parse("Gate | Linear | SGD")
            True
        """
        if isinstance(spec, cls):
            return spec
        if isinstance(spec, str) and "|" in spec:
            return cls.parse(spec)
        raise RequestError(
            f"{spec!r:.200} is not a spec; write 'weights | function | optimizer', such as "
            "'Gate | Linear | SGD', or take that of a published layer, ttr.catalog[NAME].spec."
        )

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Reads the text form ``weights | function | optimizer [| loss=..] [| readout=..]``.

        Raises:
            RequestError: the text has another form; the message shows where.
            UnknownName: an ingredient or an option that does not exist.
        """
        others = tuple(f.name for f in fields(cls)[len(AXES) :])
        parts = fields_of(text, AXES, others)
        return cls(**{family: ingredient(family, part) for family, part in parts.items()})

    def __str__(self) -> str:
        return self.text()

    @property
    def expanded(self) -> str:
        """The text with every default written out: what is stored."""
        return self.text(every)

    def text(self, shown: Written = changed) -> str:
        """Returns the text that `Spec.parse` reads back.

        Args:
            shown: which settings are written out.
        """
        axes = [getattr(self, axis).text(shown) for axis in AXES]
        for f in fields(self)[len(AXES) :]:
            part = getattr(self, f.name)
            if shown is not changed or part != f.default:
                axes.append(f"{f.name}={part.text(shown)}")
        return " | ".join(axes)

    @property
    def ingredients(self) -> tuple[Ingredient, ...]:
        """The five parts, in order."""
        return tuple(getattr(self, f.name) for f in fields(self))

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Every per-token quantity that the frame must project."""
        return tuple(signal for part in self.ingredients for signal in part.signals)

    @property
    def linear_in_v(self) -> bool:
        """Whether the output is linear in the values, so that its attention map is exact."""
        per_value = any(s.unit == "value" and not s.free for s in self.signals)
        matrix = isinstance(self.function, (MatrixModel, FeatureModel))
        linear = isinstance(self.loss, QuadraticLoss) and matrix
        return linear and self.optimizer.linear_in_values and not per_value

    def feature_size(self, key_dim: int) -> int:
        """Returns F, rows of the matrix that is fitted; the key size where there is no matrix."""
        model = self.function
        return model.width(key_dim) if isinstance(model, MatrixModel) else key_dim

    def signal_width(self, signal: Signal, key_dim: int, value_dim: int) -> int:
        """Returns how many numbers per token and head a signal has."""
        if signal.unit == "feature":
            if not isinstance(self.function, LinearModel):
                raise RequestError(f"{self.function} has no features for signal {signal.name!r}.")
            return signal.count * self.function.width(key_dim)
        return signal.count * {"scalar": 1, "key": key_dim, "value": value_dim}[signal.unit]

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        """Returns the ingredients' own tensors, named ``axis.name``, head first.

        Those that are learned require a gradient. Most specs have none.
        """
        return {
            f"{f.name}.{name}": value
            for f in fields(self)
            for name, value in getattr(self, f.name).parameters(key_dim, value_dim, heads).items()
        }

    def comparisons(self) -> dict[str, Comparison]:
        """Returns what compares queries with keys through a scale, by its parameters' path."""
        placed = {
            ".".join(filter(None, (f.name, inner))): found
            for f in fields(self)
            for inner, found in getattr(self, f.name).placed().items()
        }
        return {p: c for p, c in placed.items() if isinstance(c, Comparison) and c.compares}

    @property
    def starts_by_steps(self) -> bool:
        """Whether a fresh layer's steps or scale are others than on keys of unit length alone."""
        if not self.optimizer.corrects:
            return False
        if any(compared.sharper_steps for compared in self.comparisons().values()):
            return True
        if not any(signal.by_curvature for signal in self.signals):
            return False
        own = part(self.parameters(8, 8, 1), "function")
        keys = torch.eye(8, dtype=torch.float64)[None]
        wide = {name: tensor.detach().double() for name, tensor in own.items()}
        found = self.function.curvature(keys, wide)
        return found is not None and float(found.max()) > 1 + 1e-6

    def layer(
        self,
        d_model: int = 64,
        num_heads: int = 1,
        frame: object = "standard",
        length: int = 256,
        generator: Generator | None = None,
    ) -> nn.Module:
        """Returns the spec as a `SequenceLayer`, a module from [B, T, D] to [B, T, D].

        Args:
            d_model: D, size of its inputs and outputs.
            num_heads: H; must divide ``d_model``.
            frame: what surrounds it: ``standard``, ``paper`` or a frame of one's own.
            length: T that fresh gates are spread for.
            generator: source of the fresh parameters; None takes torch's own.

        Raises:
            IncompatibleSpec: the spec is not a layer.
            NoFastSolver: it is defined, but too slow to be a module.
            RequestError: sizes that do not fit, or no such frame.

        Example:
            >>> import torch, ttr_core as ttr
            >>> layer = ttr.Spec.parse("Gate | Linear | SGD").layer(d_model=16, num_heads=2)
            >>> layer(torch.randn(1, 5, 16)).shape
            torch.Size([1, 5, 16])
        """
        return Spec.builder(self, frame, d_model, num_heads, length=length, generator=generator)

    def with_axis(self, axis: str, part: Any) -> Spec:
        """Returns the spec with another ingredient on one axis."""
        return self._with({axis: part})

    def _with(self, changes: dict[str, Any]) -> Spec:
        return replace(self, **changes)

    def objections(self) -> tuple[str, ...]:
        """Says, a sentence each, why this is no layer; empty if it is one."""
        found = [part.objection(self) for part in self.ingredients]
        return tuple(dict.fromkeys(text for text in found if text))

    def check(self) -> Spec:
        """Returns the spec itself if it is a layer.

        Raises:
            IncompatibleSpec: it is not; the error carries the reasons and the alternatives.
        """
        if reasons := self.objections():
            raise IncompatibleSpec(str(self), reasons, self.alternatives())
        return self

    def alternatives(self, most: int = 12) -> tuple[str, ...]:
        """Returns the texts of layers that differ in one part, found by trying every choice.

        Those that differ in two parts where none is nearer.
        """
        axes = [f.name for f in fields(self)]
        others = {a: [part for part in listed(a) if part != getattr(self, a)] for a in axes}
        for count in (1, 2):
            found = [
                str(spec)
                for chosen in itertools.combinations(axes, count)
                for parts in itertools.product(*(others[a] for a in chosen))
                if not (spec := self._with(dict(zip(chosen, parts, strict=True)))).objections()
            ]
            if found:
                return tuple(dict.fromkeys(found))[:most]
        return ()


def listed(axis: str) -> tuple[Ingredient, ...]:
    """Returns the choices that the grid lists on an axis, products of weights included."""
    singles = [cls(**settings) for cls in choices(axis) for settings in cls.listings()]
    if axis != "weights":
        return tuple(singles)
    return (*singles, *(ingredient(axis, text) for text in LISTED_PRODUCTS))


def triples() -> Iterator[Spec]:
    """Yields every triple of listed choices, layers and others.

    Example:
        >>> import ttr_core as ttr
        >>> sum(1 for spec in ttr.triples()) == len(ttr.grid())
        True
    """
    axes: list[Any] = [listed(axis) for axis in AXES]
    for parts in itertools.product(*axes):
        yield Spec(*parts)
