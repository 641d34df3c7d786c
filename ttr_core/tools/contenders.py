"""What the benchmark times: a solve, a layer, or torch's attention, on inputs of one size."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.layer import SequenceLayer
from ..layers.model import regression
from ..limits import Shape
from ..solvers import resolve, solve
from ..space.spec import Spec
from ..stream import LINKS, Stream

Size = tuple[int, int, int, int]
"""B, H, T and the size of keys and values of a head."""

SDPA = "sdpa"
LINEAR = "Uniform | Linear | Hebbian"
BY, IN = " by ", " in "
BACKWARD = 3
"""What a solve holds with its backward pass, over what its forward pass does."""


@dataclass(frozen=True)
class Passes:
    """Where and how contenders run.

    Args:
        device: ``cpu`` or ``cuda``.
        dtype: of the inputs.
        backward: whether gradients are taken, too.
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    backward: bool = True


class Contender(abc.ABC):
    """Something to be timed.

    Args:
        text: as it stands in the list of work.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What the row is called."""

    @property
    @abc.abstractmethod
    def linear(self) -> str:
        """The text of the linear attention that it is compared with."""

    @abc.abstractmethod
    def forward(self, size: Size, setting: Passes) -> tuple[Callable[[], Tensor], list[Tensor]]:
        """Returns a forward pass, and the tensors that it is a function of."""

    @abc.abstractmethod
    def estimate(self, size: Size) -> float:
        """Returns about how many bytes a forward pass holds beyond its inputs."""

    def needs(self, size: Size, setting: Passes) -> float:
        """Returns about how many bytes it takes, known before any of them is allocated."""
        batch, heads, length, dim = size
        inputs = 4.0 * batch * heads * length * dim * torch.finfo(setting.dtype).bits / 8
        passes = BACKWARD if setting.backward else 1
        return inputs * (2 if setting.backward else 1) + passes * self.estimate(size)

    def call(self, size: Size, setting: Passes) -> tuple[Callable[[], None], int]:
        """Returns what is timed, and how many bytes its inputs and outputs take."""
        forward, leaves = self.forward(size, setting)
        for leaf in leaves:
            leaf.requires_grad_(setting.backward)

        above: list[Tensor] = []  # the gradient of the outputs, as dense as a layer hands it back

        def call() -> None:
            with torch.set_grad_enabled(setting.backward):
                y = forward()
            if setting.backward:
                if not above:
                    above.append(torch.ones_like(y, requires_grad=False))
                y.backward(above[0])
                for leaf in leaves:
                    leaf.grad = None

        given = [z for z in leaves if not isinstance(z, nn.Parameter)]
        y = torch.empty(size, dtype=setting.dtype, device="meta")
        return call, sum(z.numel() * z.element_size() for z in (*given, y))


class TimedAttention(Contender):
    """Torch's own attention, causal."""

    name: ClassVar[str] = SDPA
    linear: ClassVar[str] = LINEAR

    def forward(self, size: Size, setting: Passes) -> tuple[Callable[[], Tensor], list[Tensor]]:
        q, k, v = _inputs(size, setting)
        return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True), [q, k, v]

    def estimate(self, size: Size) -> float:
        return 0.0


class TimedSolve(Contender):
    """A spec by a solver: ``SPEC`` by the fastest, or ``SPEC by SOLVER``."""

    linear: ClassVar[str] = LINEAR

    def __init__(self, text: str) -> None:
        super().__init__(text)
        spec, _, by = text.partition(BY)
        self.spec, self.by = Spec.parse(spec), by or None
        self.solver = resolve(self.spec, self.by)

    @property
    def name(self) -> str:
        return f"{self.solver.name}: {self.text.partition(BY)[0]}"

    def forward(self, size: Size, setting: Passes) -> tuple[Callable[[], Tensor], list[Tensor]]:
        x = _stream(self.spec, size, setting)
        return lambda: solve(self.spec, x, solver=self.by), [x.q, x.k, x.v, *x.signals.values()]

    def estimate(self, size: Size) -> float:
        return self.solver.estimate(self.spec, _shape(self.spec, size)).bytes


class TimedLayer(Contender):
    """``NAME in FRAME``: a layer of the catalog, or a spec, of H heads, with all that it learns."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.layer, self.frame = text.split(IN)

    @property
    def name(self) -> str:
        return f"layer: {self.text}"

    @property
    def linear(self) -> str:
        return f"linear-attention{IN}{self.frame}"

    def forward(self, size: Size, setting: Passes) -> tuple[Callable[[], Tensor], list[Tensor]]:
        batch, heads, length, dim = size
        spec, frame = regression(self.layer, self.frame)
        source = torch.Generator().manual_seed(0)
        layer = SequenceLayer(spec, frame, heads * dim, heads, generator=source, length=length)
        layer = layer.to(setting.device, setting.dtype)
        x = torch.randn(batch, length, heads * dim, generator=source)
        x = x.to(setting.device, setting.dtype)
        return lambda: layer(x), [x, *layer.parameters()]

    def estimate(self, size: Size) -> float:
        batch, heads, length, dim = size
        spec, frame = regression(self.layer, self.frame)
        sizes = frame.sizes(heads * dim, heads, None)
        keys, values = sizes.key_dim, sizes.value_dim
        shape = Shape(batch, sizes.heads, length, keys, values, spec.feature_size(keys))
        return resolve(spec).estimate(spec, shape).bytes


def contender(text: str) -> Contender:
    """Returns what a text of the list of work stands for.

    Example:
        >>> [contender(text).name for text in ("sdpa", "Uniform | Linear | SGD", "gla in standard")]
        ['sdpa', 'chunked_delta: Uniform | Linear | SGD', 'layer: gla in standard']
    """
    if text == SDPA:
        return TimedAttention(text)
    return TimedLayer(text) if IN in text else TimedSolve(text)


def _shape(spec: Spec, size: Size) -> Shape:
    batch, heads, length, dim = size
    return Shape(batch, heads, length, dim, dim, spec.feature_size(dim))


def _inputs(size: Size, setting: Passes) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(size, generator=generator) for _ in range(3))
    unit = (F.normalize(q, dim=-1), F.normalize(k, dim=-1), v)
    a, b, c = (z.to(setting.device, setting.dtype) for z in unit)
    return a, b, c


def _stream(spec: Spec, size: Size, setting: Passes) -> Stream:
    batch, heads, length, dim = size
    generator = torch.Generator().manual_seed(1)
    signals = {}
    for signal in spec.signals:
        width = spec.signal_width(signal, dim, dim)
        raw = torch.randn(batch, heads, length, width, generator=generator)
        # Further keys and values are as large as the token's own: unit keys, for one of them.
        raw = F.normalize(raw, dim=-1) if signal.free else raw + 3.0
        signals[signal.name] = LINKS[signal.link](raw).to(setting.device, setting.dtype)
    return replace(Stream(*_inputs(size, setting)), signals=signals)
