"""Queries that are attention over slots: gated slot attention's first pass."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch

from ...fading import left
from ...named import Carried
from ...stream import Stream
from .base import MadePairs

CHUNK, FEWER = 64, {"cpu": 32}
"""Tokens that meet at once, and fewer where that was measured to be faster: docs/benchmarks.md."""


class Slots(MadePairs):
    r"""Keys are shares of slots, queries attend to what the slots hold: gated slot attention.

    $$K_t = \mathrm{Diag}(a_t) K_{t-1} + (1 - a_t) k_t^\top, \qquad
    q_t \leftarrow \mathrm{softmax}(K_t q_t), \qquad k_t \leftarrow 1 - a_t$$

    The gate of a slot is also what it takes of a token. As many slots as a key has entries. What is
    compared with a query is a mean of keys, shorter than one key, so that nothing divides it by
    the root of K, nor does the authors' code: divided, slots were nearly alike to a query.

    Reference: Gated Slot Attention for Efficient Linear-Time Sequence Modeling (Zhang et al., 2024)
    https://arxiv.org/abs/2409.07146
    """

    name: ClassVar[str] = "slots"
    revision: ClassVar[int] = 2  # it divided by the root of K

    def pairs(self, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        decay, k = stream.signals["decay"], stream.k
        taken, q = -torch.expm1(decay), stream.q
        held = state.get("slots", 0 * k[:, :, :1].mT @ k[:, :, :1])
        logits = []
        size = FEWER.get(q.device.type, CHUNK)
        parts = (z.split(size, 2) for z in (q, k, taken, decay))
        for queries, keys, share, fade in zip(*parts, strict=True):
            between, since, _ = left(fade.mT[..., None])  # (B H M C C), (B H M C 1)
            since = since.squeeze(-1).mT
            written = (queries @ keys.mT)[:, :, None] * between  # (B H M C C)
            said = (written @ share.mT[..., None]).squeeze(-1).mT
            logits.append(said + since * (queries @ held.mT))
            fresh = (between[..., -1, :] * share.mT) @ keys
            held = since[:, :, -1, :, None] * held + fresh
        q = torch.softmax(torch.cat(logits, 2), -1)
        return replace(stream, q=q, k=taken), {"slots": held}
