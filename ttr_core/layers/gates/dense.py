"""Signals that nothing ties."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ...stream import Stream
from .base import Gates, State


class Dense(Gates):
    """Every signal is a projection of its own."""

    name: ClassVar[str] = "dense"

    def tie(self, source: Tensor, stream: Stream, state: State) -> tuple[Stream, State]:
        return stream, state
