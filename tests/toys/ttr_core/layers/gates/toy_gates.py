"""A toy."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried
from ...stream import Stream
from .base import Gates


class ToyGates(Gates):
    """Every step is one half."""

    name: ClassVar[str] = "toy"
    ties: ClassVar[tuple[str, ...]] = ("step",)

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        half = torch.full_like(stream.k[..., :1], 0.5)
        return replace(stream, signals={**stream.signals, "step": half}), state
