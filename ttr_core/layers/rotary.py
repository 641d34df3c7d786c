"""Rotary positions, and further keys that are treated as a token's own."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..precision import accumulated
from ..stream import Stream
from .frame import Frame
from .norms import unit

TURN = 2 * math.pi


def with_extra_keys(frame: Frame, x: Stream, offset: int) -> Stream:
    """Treats further keys of a token as its own: normalized and rotated by the frame.

    Args:
        frame: whose normalization and rotation it is.
        x: a stream; without a signal ``extra_keys`` it is returned as it is.
        offset: position of the first token.
    """
    if "extra_keys" not in x.signals:
        return x
    keys = x.signals["extra_keys"]
    keys = keys.unflatten(-1, (keys.shape[-1] // x.key_dim, x.key_dim)).transpose(2, 3)
    if frame.qk_norm == "l2":
        keys = unit(keys)
    elif frame.qk_norm == "rms":
        keys = F.rms_norm(keys, keys.shape[-1:])
    if frame.rope:
        keys = rotated(keys.flatten(0, 1), offset, frame.rope).view_as(keys)
    keys = keys.transpose(2, 3).flatten(3)
    return replace(x, signals={**x.signals, "extra_keys": keys})


def rotated(x: Tensor, offset: int, base: float) -> Tensor:
    """Applies rotary positions to [B, H, T, K], the first token at ``offset``.

    Angles are counted in float64 and within one turn: in float32 those of a late token are off by
    a part of their own size, and in half precision there is none beyond 65 504.

    Source: RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al., 2021)
    https://arxiv.org/abs/2104.09864
    """
    half = x.shape[-1] // 2
    place = torch.arange(half, dtype=torch.float64, device=x.device)
    time = torch.arange(offset, offset + x.shape[2], dtype=torch.float64, device=x.device)
    angle = (time[:, None] * base ** (-place / half)).remainder(TURN).to(accumulated(x.dtype))
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], -1)
