"""Sizes: how many heads a layer has of what, and how wide they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The sizes of a layer's heads.

    Args:
        heads: H.
        q_heads: heads of queries that are projected; they divide H.
        k_heads: heads of keys; they divide H and ``q_heads``.
        v_heads: heads of values; they divide H.
        key_dim: K.
        value_dim: V.
        key_inputs: projected numbers per head that a query and a key start from; K but for a few.
    """

    heads: int
    q_heads: int
    k_heads: int
    v_heads: int
    key_dim: int
    value_dim: int
    key_inputs: int

    @property
    def inner(self) -> int:
        """H V, the width of the outputs of all heads."""
        return self.heads * self.value_dim

    @property
    def qkv(self) -> tuple[int, int, int]:
        """The widths of the projections to queries, keys and values."""
        keys = self.key_inputs
        return self.q_heads * keys, self.k_heads * keys, self.v_heads * self.value_dim
