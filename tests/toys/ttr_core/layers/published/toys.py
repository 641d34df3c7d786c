"""A toy."""

from __future__ import annotations

from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from .entry import Published

ENTRIES = (
    Published(
        name="toy-layer",
        spec=Spec.parse("Gate | Linear | SGD(residual=undecayed)"),
        frame=Frame(conv=4, qk_norm="l2", gates="toy"),
        paper=Paper("A toy", "Nobody", 2026, "https://example.org"),
        summary="The gated delta rule with half a step.",
        deviation="None.",
        evidence="paper",
    ),
)
