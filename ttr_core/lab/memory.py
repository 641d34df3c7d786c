"""How long memories last and how far their steps go, in a fresh layer and in a trained model."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers.layer import SequenceLayer
from ..layers.model import Block, SequenceModel
from ..space.spec import Spec
from ..space.weights import MemorylessWeights
from ..stream import Stream

SEQUENCES = 8
"""Sequences of the test set over which the memories of a trained model are measured."""


def half_lives(spec: Spec, stream: Stream, params: dict[str, Tensor]) -> Tensor | None:
    r"""Returns the tokens after which each head or channel has forgotten half.

    $$ \ln 2 / \overline{(-\ln \gamma_t)} $$

    Args:
        spec: the regression.
        stream: what it is given.
        params: the spec's own tensors by name.

    Returns:
        One number for each head, or for each channel, of each weight that fades, over the tokens
        and sequences of the stream; infinite where nothing fades, None where there are no decays.

    Example:
        >>> import ttr_core as ttr
        >>> spec = ttr.Spec.parse("Decay(gamma=0.5) | Linear | Hebbian")
        >>> x = torch.ones(1, 1, 4, 2)
        >>> half_lives(spec, ttr.Stream(x, x, x), spec.parameters(2, 2, 1))
        tensor([1.])
    """
    own = {n.partition(".")[2]: p for n, p in params.items() if n.startswith("weights.")}
    rates = []
    for i, factor in enumerate(spec.weights.factors()):
        if not isinstance(factor, MemorylessWeights) or not factor.fades:
            continue
        many = len(spec.weights.factors()) > 1
        part = {n.removeprefix(f"{i}."): p for n, p in own.items()} if many else own
        log_decay = factor.recency(stream, part).log_decay
        if log_decay is not None:
            rates.append(-log_decay.float().mean((0, 2)).flatten())
    return math.log(2) / torch.cat(rates) if rates else None


def steps(stream: Stream) -> Tensor | None:
    """Returns the mean step of each head or channel, None where no step is signaled."""
    sizes = stream.signals.get("step")
    return None if sizes is None else sizes.float().mean((0, 2)).flatten()


def streams(
    model: SequenceModel, tokens: Tensor
) -> Iterator[tuple[int, SequenceLayer, Stream, dict[str, Tensor]]]:
    """Yields what the regression of each layer of a model is given; modules of users have none.

    Args:
        model: fresh or trained.
        tokens: [B, T], or [B, T, n] where a place has several.

    Yields:
        The layer's place, from 1, itself, its stream and the spec's own tensors by name.

    Example:
        >>> import ttr_core as ttr
        >>> model = ttr.SequenceModel(ttr.ModelConfig(d_model=8), 16)
        >>> [(at, stream.length) for at, _, stream, _ in streams(model, torch.zeros(1, 4).long())]
        [(1, 4)]
    """
    x = model.embedded(tokens)
    for number, block in enumerate(model.blocks, 1):
        assert isinstance(block, Block)
        if isinstance(block.layer, SequenceLayer):
            mixed = F.rms_norm(x, x.shape[-1:], block.norm, 1e-6)
            yield number, block.layer, *block.layer.regression(mixed)
        x = block(x)


@torch.no_grad()
def memory_rows(model: SequenceModel, tokens: Tensor) -> list[dict[str, float | None]]:
    """Returns a row for each layer of a model: its half-lives and its steps.

    Args:
        model: fresh or trained.
        tokens: [B, T], or [B, T, n]; the first `SEQUENCES` of them are read.

    Returns:
        The lowest, the median and the highest over heads and channels, each the mean over
        tokens; of layers that neither forget nor signal a step there is no row.

    Example:
        >>> import torch
        >>> import ttr_core as ttr
        >>> model = ttr.SequenceModel(ttr.ModelConfig(layers=("retnet",), d_model=8), 16)
        >>> (row,) = memory_rows(model, torch.zeros(1, 4, dtype=torch.long))
        >>> row["layer"], row["half_life_low"] > 20, row["step_low"]
        (1, True, None)
    """
    rows: list[dict[str, float | None]] = []
    for number, layer, stream, params in streams(model, tokens[:SEQUENCES]):
        found = {"half_life": half_lives(layer.spec, stream, params), "step": steps(stream)}
        if any(each is not None for each in found.values()):
            spread = {name: _spread(each) for name, each in found.items()}
            rows.append(
                {"layer": number}
                | {f"{name}_{at}": x for name, each in spread.items() for at, x in each.items()}
            )
    return rows


def _spread(each: Tensor | None) -> dict[str, float | None]:
    """Returns the least, the middle and the largest of some numbers."""
    if each is None:
        return dict.fromkeys(("low", "median", "high"))
    return {"low": float(each.min()), "median": float(each.median()), "high": float(each.max())}
