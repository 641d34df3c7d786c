"""Signals that nothing ties."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ...named import Carried
from ...stream import Stream
from .base import Gates


class Dense(Gates):
    """Every signal is a projection of its own."""

    name: ClassVar[str] = "dense"

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        return stream, state
