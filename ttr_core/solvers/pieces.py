"""Linear models by pieces of a long sequence, so that never the work on all tokens is held."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..named import Carried, Params
from ..precision import HALF
from ..space.functions import LinearModel
from ..space.spec import Spec
from ..stream import Stream
from .base import AnySolver
from .chunks import CHUNK
from .state import Past

WIDE = 2
"""Features for each entry of a key from which they are what a solve holds most of."""

LONG = 2048
"""Tokens from which a sequence is cut."""

ALONE, LEARNED = (2**15, 64), (2**17, 256)
"""Features of a piece, and its least tokens, without and with a backward pass."""


def piece_size(solver: AnySolver, spec: Spec, x: Stream) -> int:
    """Returns how many tokens are solved at a time; all of them where that is as well.

    Long sequences are cut where a memory is carried from piece to piece, and no pairs. With a
    backward pass, which computes each piece once more, only wide features are worth it; others
    wait for each other, which keeps an accelerator idle. Half precision is not carried on.

    Args:
        solver: which runs the spec.
        spec: a layer.
        x: the stream.
    """
    whole = max(1, x.length)
    if x.length < LONG or x.k.dtype in HALF or not isinstance(spec.function, LinearModel):
        return whole
    features = spec.feature_size(x.key_dim)
    wide = features >= WIDE * x.key_dim
    if not wide and (torch.is_grad_enabled() or x.k.device.type != "cpu"):
        return whole
    if isinstance(solver.state(solver.narrowed(spec)), Past):
        return whole
    most, least = LEARNED if torch.is_grad_enabled() else ALONE
    return max(least, most // features // CHUNK * CHUNK)


def in_pieces(
    solver: AnySolver, spec: Spec, x: Stream, params: Params, kept: Carried | None
) -> tuple[Tensor, Carried]:
    """Runs a solver as `Solver.run`, each piece from where the one before left off.

    The backward pass computes each piece once more and keeps what lies between them: of
    F features at most F V / 256 numbers of each token instead of several times F, at the price of
    one more forward pass.

    Args:
        solver: which runs the spec.
        spec: a layer.
        x: the stream, every tensor with H heads.
        params: the spec's parameters by full name.
        kept: where an earlier part of the sequence left off.
    """
    size = piece_size(solver, spec, x)
    if size >= x.length:
        return solver.run(spec, x, params, kept)
    run: Callable[..., tuple[Tensor, Carried]] = solver.run
    if torch.is_grad_enabled():
        run = partial(checkpoint, solver.run, use_reentrant=False, preserve_rng_state=False)
    outputs, after = [], kept
    for start in range(0, x.length, size):
        y, after = run(spec, x.tokens(start, start + size), params, after)
        outputs.append(y)
    assert after is not None
    return torch.cat(outputs, 2), after
