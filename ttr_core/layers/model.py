"""SequenceModel: embeddings, a stack of layers (also different ones), tied logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import LimitExceeded, RequestError
from ..limits import MAX_DIM, MAX_HEADS, Shape
from ..named import Carried
from ..solvers import packed_state_size, state_size
from ..space.option import check_options, option
from ..space.spec import Spec
from .adapter import Adapter
from .cross_entropy import cross_entropy, judged
from .frame import ABLATED, FRAMES, Frame
from .init import linear, normal
from .layer import SequenceLayer
from .own_module import OwnModule, is_module
from .published import catalog

MAX_PARAMETERS = 200_000_000


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model.

    Args:
        layers: catalog names or spec texts, used in turn up to ``depth``.
        depth: number of layers.
        d_model: size of the residual stream.
        heads: heads per layer.
        kv_heads: heads of keys and values; none for ``heads``.
        mlp: hidden size of an MLP after each layer, in multiples of ``d_model``; 0 for none.
        frame: the surroundings of each regression.
        key_dim: K, which sets the size of most memories; 0 for the frame's own, which mostly is
            ``d_model / heads``.

    Raises:
        UnknownName: a layer that the catalog lacks; the text names the nearest.
        RequestError: no layer, a setting out of range, or heads that do not divide the model.

    Example:
        >>> ModelConfig(layers=("linear-attention", "softmax-attention"), frame="standard").depth
        1
    """

    name: ClassVar[str] = "model"  # what its settings are called by, as on the command line
    revision: ClassVar[int] = 1  # raised when it computes otherwise under the same settings

    layers: tuple[str, ...] = option(
        ("linear-attention",), "Catalog names or spec texts, used in turn up to the depth."
    )
    depth: int = option(1, "Number of layers.", low=1, high=64)
    d_model: int = option(64, "Size of the residual stream.", low=4, high=MAX_DIM)
    heads: int = option(1, "Heads per layer; they divide d_model.", low=1, high=MAX_HEADS)
    kv_heads: int | None = option(
        None, "Heads of keys and values (none: as many as heads).", low=1, high=MAX_HEADS
    )
    mlp: int = option(0, "Hidden size of an MLP after each layer, over d_model; 0: none.", 0, 16)
    frame: str = option("standard", "Surroundings of each regression.", choices=(*FRAMES, *ABLATED))
    key_dim: int = option(
        0, "Size of a key, which sets that of most memories (0: the frame's own).", low=0,
        high=MAX_DIM, since=2,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)
        if not self.layers:
            raise RequestError("model.layers is empty; name at least one layer or spec.")
        named = tuple(t if "|" in t or is_module(t) else catalog[t].name for t in self.layers)
        object.__setattr__(self, "layers", named)  # one layer, one name, one fingerprint
        shared = self.kv_heads or self.heads
        if self.d_model % self.heads or self.heads % shared:
            raise RequestError(
                f"model.d_model={self.d_model}, model.heads={self.heads}, "
                f"model.kv_heads={shared}: heads must divide d_model, kv_heads must divide heads."
            )

    @property
    def stacked(self) -> tuple[str, ...]:
        """The name or text of every layer, in order."""
        return (self.layers * self.depth)[: self.depth]

    @property
    def modules(self) -> tuple[str, ...]:
        """Those of its layers that are a user's modules, each once."""
        return tuple(dict.fromkeys(filter(is_module, self.stacked)))

    def regressions(self) -> tuple[tuple[Spec, Frame], ...]:
        """Returns the spec and frame of every layer that has them, in order: no user's module.

        Raises:
            UnknownName: a name that is neither in the catalog nor a spec.
            IncompatibleSpec: a spec that is no layer.
        """
        return tuple(self.framed(name) for name in self.stacked if not is_module(name))

    def framed(self, name: str) -> tuple[Spec, Frame]:
        """Returns the spec and the frame of one of its layers.

        Raises:
            UnknownName: a name that is neither in the catalog nor a spec.
            IncompatibleSpec: a spec that is no layer.
        """
        spec, frame = regression(name, self.frame)
        return spec, replace(frame, key_dim=self.key_dim) if self.key_dim else frame


def regression(name: str, frame: str) -> tuple[Spec, Frame]:
    """Returns the spec and the frame that a layer's name or spec text stands for.

    A spec that is not in the catalog has no frame of its own: ``published`` is ``standard`` then.
    """
    entry = catalog[name] if "|" not in name else None
    spec = Spec.parse(name).check() if entry is None else entry.spec
    own = ABLATED.get(frame) or FRAMES[frame]
    if own is None:
        own = entry.frame if entry is not None else FRAMES["standard"]
    assert own is not None
    return spec, own


def about(config: ModelConfig, vocab_size: int) -> int:
    """Returns roughly how many parameters a model has, before it is made."""
    d, total = config.d_model, vocab_size * config.d_model
    for _, frame in config.regressions():
        sizes = frame.sizes(d, config.heads, config.kv_heads)
        # Besides q, k, v: the output gate and projection, and about d^2 for the other gates.
        total += d * (sum(sizes.qkv) + 2 * sizes.inner + d) + 2 * config.mlp * d * d
    return total


class SequenceModel(nn.Module):
    """A residual stack of sequence layers between tied embeddings.

    Args:
        config: its shape.
        vocab_size: number of tokens.
        generator: source of every fresh parameter.
        length: T that fresh gates are spread for.
        adapter: what reads the sequences and readies the answers; None where tokens are embedded
            and outputs taken as they are.

    Raises:
        LimitExceeded: more parameters than are agreed to.

    Example:
        >>> import torch, ttr_core as ttr
        >>> model = ttr.SequenceModel(ttr.ModelConfig(layers=("gla",), d_model=16), 32)
        >>> model(torch.zeros(2, 8, dtype=torch.long)).shape
        torch.Size([2, 8, 32])
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        generator: torch.Generator | None = None,
        length: int = 256,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__()
        d, wanted = config.d_model, about(config, vocab_size)
        if wanted > MAX_PARAMETERS:
            raise LimitExceeded(
                f"The model would have about {wanted:,} parameters; the limit is "
                f"{MAX_PARAMETERS:,}. Lower model.d_model, model.depth or the vocabulary."
            )
        self.config = config
        self.loss_products: torch.dtype | None = None  # as `cross_entropy` takes them
        # Tied logits at unit temperature: rows of norm 1 after the final norm of sqrt(d).
        self.embedding = normal((vocab_size, d), d**-0.5, generator)
        self.blocks = nn.ModuleList(
            Block(name, config, length, generator) for name in config.stacked
        )
        self.norm = nn.Parameter(torch.ones(d))
        self.adapter = adapter
        if adapter is not None:
            self.embedding.requires_grad_(not adapter.fixed)

    def forward(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """Returns logits.

        Args:
            tokens: [B, T], or what the adapter reads.
            positions: [B, P], where logits are wanted; None for everywhere. Most of a training
                step is logits, so ask only where there is a label.

        Returns:
            [B, P or T, vocab_size].

        Raises:
            RequestError: tokens or positions that are no batch of integers on the model's device.
        """
        return self._hidden(tokens, positions) @ self.embedding.mT

    def loss(
        self, tokens: Tensor, positions: Tensor, labels: Tensor, asked: Tensor | None = None
    ) -> Tensor:
        """Returns the mean cross-entropy of the answers, without holding their logits.

        Args:
            tokens: [B, T], or what the adapter reads.
            positions: [B, P], where an answer is asked.
            labels: [B, P], the answers.
            asked: [B, P], which of them count; None for all.

        Returns:
            A scalar, equal to the cross-entropy of `forward`'s logits; see `cross_entropy`.

        Raises:
            RequestError: tokens or positions that are no batch of integers on the model's device,
                or labels that are not as many as the positions.
        """
        hidden = self._hidden(tokens, positions)
        if asked is not None:
            hidden, labels = hidden[asked], labels[asked]
        return cross_entropy(hidden, self.embedding, labels, self.loss_products)

    def judged(self, tokens: Tensor, positions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns each answer's cross-entropy and whether it is right, [B, P]; no gradients.

        Args:
            tokens: [B, T].
            positions: [B, P], where an answer is asked.
            labels: [B, P], the answers.
        """
        return judged(self._hidden(tokens, positions), self.embedding, labels)

    def _hidden(self, tokens: Tensor, positions: Tensor | None) -> Tensor:
        """Returns what is multiplied with the embedding, [B, P or T, D]."""
        x = self.embedded(tokens)
        for block in self.blocks:
            x = block(x)
        if positions is not None:
            self._check("positions", positions, ("B", "P"))
            x = x.gather(1, positions[..., None].expand(-1, -1, x.shape[-1]))
        if self.adapter is not None:
            x = self.adapter.ready(x)
        return F.rms_norm(x, x.shape[-1:], self.norm, 1e-6)

    def step(
        self, tokens: Tensor, states: list[Carried] | None = None
    ) -> tuple[Tensor, list[Carried]]:
        """Decodes one token, [B] to logits [B, vocab_size], going on from ``states``."""
        if self.adapter is not None:
            raise RequestError(
                "This model reads by an adapter of its task, whole sequences at once: call it "
                "instead of its step."
            )
        if states is not None and len(states) != len(self.blocks):
            raise RequestError(
                f"{len(states)} states were given and the model has {len(self.blocks)} layers: "
                "give what its own step returned, or None at the start."
            )
        x = self._embedded(tokens, ("B",))
        after = []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x, state = block.step(x, None if states is None else states[i])
            after.append(state)
        return F.rms_norm(x, x.shape[-1:], self.norm, 1e-6) @ self.embedding.mT, after

    def embedded(self, tokens: Tensor) -> Tensor:
        """Returns what the first layer gets, [B, T, D], of tokens or of what the adapter reads."""
        if self.adapter is not None:
            return self.adapter.read(tokens, self.embedding)
        return self._embedded(tokens, ("B", "T"))

    def _embedded(self, tokens: Tensor, dims: tuple[str, ...]) -> Tensor:
        self._check("tokens", tokens, dims)
        embedded: Tensor = F.embedding(tokens, self.embedding) * self.embedding.shape[-1] ** 0.5
        return embedded

    def _check(self, name: str, given: Tensor, dims: tuple[str, ...]) -> None:
        """Refuses what is no batch of integers on the model's device."""
        if given.dim() != len(dims):
            raise RequestError(
                f"The model takes {name} of shape [{', '.join(dims)}]; these have shape "
                f"{tuple(given.shape)}: add the batch by [None], or take it away."
            )
        if given.dtype not in (torch.int64, torch.int32):
            raise RequestError(
                f"The {name} hold {given.dtype}; they are integers: convert them by .long()."
            )
        if given.device != self.embedding.device:
            raise RequestError(
                f"The {name} are on {given.device} and the model on {self.embedding.device}: bring "
                "both to one device by .to()."
            )

    def parameter_count(self) -> int:
        """Returns the number of learned numbers."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def state_size(self, length: int) -> int | None:
        """Returns the numbers that all memories must keep after ``length`` tokens.

        None where a layer is a user's module, which does not say.
        """
        return self._over_heads(state_size, length)

    def packed_state_size(self, length: int) -> int | None:
        """Returns the same with one half of symmetric matrices."""
        return self._over_heads(packed_state_size, length)

    def _over_heads(self, size: Callable[[Spec, int, int, int], int], length: int) -> int | None:
        if self.config.modules:
            return None
        every = [(layer.spec, layer.sizes) for layer in self.layers()]
        return sum(s.heads * size(spec, s.key_dim, s.value_dim, length) for spec, s in every)

    def flops_per_token(self, length: int) -> float:
        """Returns the forward operations per token, logits included."""
        total = 2.0 * sum(p.numel() for p in self.parameters() if p.dim() > 1)
        for layer in self.layers():
            sizes, wide = layer.sizes, layer.spec.feature_size(layer.sizes.key_dim)
            shape = Shape(1, sizes.heads, length, sizes.key_dim, sizes.value_dim, wide)
            total += layer.solver.estimate(layer.spec, shape).flops / length
        return total

    def layers(self) -> list[SequenceLayer]:
        """Returns the sequence layers, in order."""
        return [module for module in self.modules() if isinstance(module, SequenceLayer)]


def made(
    name: str, config: ModelConfig, length: int, generator: torch.Generator | None
) -> SequenceLayer | OwnModule:
    """Returns a fresh layer of a model."""
    if is_module(name):
        return OwnModule(name, config.d_model, generator)
    spec, frame = config.framed(name)
    more = (config.heads, config.kv_heads, length, generator)
    return SequenceLayer(spec, frame, config.d_model, *more)


class Block(nn.Module):
    """A layer, and an MLP if there is one, each before a residual connection."""

    def __init__(
        self,
        name: str,
        config: ModelConfig,
        length: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        d, hidden = config.d_model, config.mlp * config.d_model
        self.norm = nn.Parameter(torch.ones(d))
        self.layer = made(name, config, length, generator)
        self.mlp_norm = nn.Parameter(torch.ones(d)) if hidden else None
        self.mlp = (
            nn.Sequential(linear(d, hidden, generator), nn.GELU(), linear(hidden, d, generator))
            if hidden
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, T, D] to [B, T, D]."""
        x = x + self.layer(F.rms_norm(x, x.shape[-1:], self.norm, 1e-6))
        return self._mlp(x)

    def step(self, x: Tensor, state: Carried | None) -> tuple[Tensor, Carried]:
        """Maps one token, [B, D]."""
        y, after = self.layer.step(F.rms_norm(x, x.shape[-1:], self.norm, 1e-6), state)
        return self._mlp(x + y), after

    def _mlp(self, x: Tensor) -> Tensor:
        if self.mlp is None:
            return x
        added: Tensor = x + self.mlp(F.rms_norm(x, x.shape[-1:], self.mlp_norm, 1e-6))
        return added
