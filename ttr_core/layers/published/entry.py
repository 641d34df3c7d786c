"""Published: one layer of the literature as data, and the catalog of them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ...errors import unknown
from ...limits import Shape
from ...solvers import least
from ...space.ingredient import Paper
from ...space.spec import Spec
from ..frame import Frame
from ..gates import GATES, MadePairs, TurnedGates
from ..layer import SequenceLayer

EVIDENCE = ("code", "paper", "secondary")
REPR_NAMES = 5
LONG = 1 << 20  # tokens, more than any window has


@dataclass(frozen=True)
class Published:
    """A published layer as a point of the design space.

    Args:
        name: its name here, lower case with dashes.
        spec: its three ingredients.
        frame: its own surroundings.
        paper: where it was published.
        summary: one sentence on what it is as a regression.
        deviation: what differs from the paper, or that nothing does.
        evidence: how the equations are known: ``code`` (a public implementation's equations),
            ``paper``, or ``secondary``.
        revision: raised when the layer computes otherwise under the same spec and frame.
        original: the paper's own frame, where ``frame`` adds what one layer needs to see which
            token came before; None where they are one.
        limit: what of associative recall one layer of it does not learn, and the cause as an
            ablation found it; empty where it learns 32 pairs.
        short_from: the number of pairs from which on it falls short.
        parent: the entry that it is a move from in the space, as its summary says; empty for one
            that others are moves from.

    Example:
        >>> import ttr_core as ttr
        >>> entry = ttr.catalog["gla"]
        >>> str(entry.spec), entry.state_size
        ('ChannelGate | Linear | Hebbian', 'd^2 / H')
    """

    name: str
    spec: Spec
    frame: Frame
    paper: Paper
    summary: str
    deviation: str
    evidence: str
    revision: int = 1
    original: Frame | None = None
    limit: str = ""
    short_from: int = 8
    parent: str = ""

    @property
    def deviations(self) -> str:
        """What differs from the paper, the starts of the frame included."""
        return " ".join((self.deviation, *self.frame.starts))

    @property
    def state_size(self) -> str:
        """The numbers that all heads must keep in its own frame, a formula in T, d and H."""
        return self._in_its_frame() or least(self.spec).formula()

    @property
    def packed_state_size(self) -> str:
        """The same with one half of symmetric matrices."""
        return self._in_its_frame() or least(self.spec).packed_formula()

    def _in_its_frame(self) -> str | None:
        spec, frame, size = self.spec, self.frame, self.frame.key_dim
        if not size:
            return None
        # Keys of one size at any d: so many numbers for each value of all heads, and beside them.
        state, wide = least(spec).states[0], spec.feature_size(size)
        none, one = (state.size(Shape(1, 1, LONG, size, v, wide)) for v in (0, 1))
        return f"{(one - none) * frame.expand} d" + (f" + {none} H" if none else "")

    @property
    def tied(self) -> bool:
        """Whether it is what it is by its frame: signals tied or turned, or pairs that it makes.

        In another frame its three ingredients are the cell of this layer, not this layer.
        """
        gates = GATES[self.frame.gates]
        return bool(gates.ties) or issubclass(gates, TurnedGates | MadePairs)

    def layer(
        self,
        d_model: int = 64,
        num_heads: int = 1,
        length: int = 256,
        generator: torch.Generator | None = None,
    ) -> SequenceLayer:
        """Returns the layer in its own frame, [B, T, D] to [B, T, D]."""
        return SequenceLayer(
            self.spec, self.frame, d_model, num_heads, length=length, generator=generator
        )


def _folded(name: object) -> str:
    """Returns what of a name is compared."""
    return str(name).strip().casefold().replace("_", "-").replace(" ", "-")


class Catalog(Mapping[str, Published]):
    """The published layers by name; a name that is not there raises with the nearest ones.

    Names are matched without case; hyphens, underscores and spaces are alike.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.catalog["Gated DeltaNet"].name
        'gated-deltanet'
    """

    def __init__(self, entries: tuple[Published, ...]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self._names = {_folded(name): name for name in self._entries}
        if len(self._names) < len(entries):
            raise ValueError("two entries of the catalog have names that are matched alike")

    def __repr__(self) -> str:
        first = ", ".join([*self._entries][:REPR_NAMES])
        return f"<{len(self)} published layers by name: {first}, ...>"

    def __getitem__(self, name: str) -> Published:
        known = self._names.get(_folded(name))
        if known is None:
            raise unknown("layer", str(name), self._entries)
        return self._entries[known]

    def __contains__(self, name: object) -> bool:
        return _folded(name) in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, spec: Spec | str) -> tuple[str, ...]:
        """Returns the names of the entries at this very point, a spec or its text."""
        spec = Spec.of(spec)
        return tuple(name for name, entry in self._entries.items() if entry.spec == spec)
