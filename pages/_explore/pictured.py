"""What Explore computes of a layer in a setting: constants, curve, map; each once for all sessions.

Every computation goes through the server's one door. A layer is named by its expanded text, so
that aliases share what was found, and constants are tuned once for curve, map, equations and notes.
What is kept counts against `server.maxCacheDataSize`, in bytes; the least recently used goes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

import ttr_core as ttr
from pages._explore.pairs import unpacked
from pages._shared import ui
from ttr_core.lab import Constants, Experiment, Prepared, Regression, check_sizes

if TYPE_CHECKING:
    from torch import Tensor

ProcessSettings = tuple[tuple[str, Any], ...]
HeldTo = tuple[tuple[str, float], ...]  # of knobs that are held
BASELINES = {
    "repeat_last": "repeat the last value",
    "fixed_linear": "best fixed linear map",
    "noise_floor": "noise floor",
}
AT_ONCE = 2e11
"""Operations of a curve that nobody has to wait for longer than half a minute."""
DRAWS = 4  # processes whose sequences are kept, some ten megabytes each


@dataclass(frozen=True)
class Sequence:
    """What is played.

    Args:
        settings: of the task.
        seed: decides the draws.
        pairs: those that somebody brings instead, packed; empty where a process is drawn.
    """

    settings: ProcessSettings
    seed: int
    pairs: str = ""

    @property
    def task(self) -> Regression:
        """The task with these settings."""
        return Regression(**dict(self.settings))

    @property
    def words(self) -> tuple[str, ...]:
        """What the tokens are called, where they are words."""
        task = self.task
        read = task.world.words if task.process == "text" else ()
        return tuple(read[t % len(read)] for t in range(task.seq_len)) if read else ()

    def prepared(self) -> Prepared:
        """Returns the sequences, which no setting of the layers changes."""
        task = self.task
        if not self.pairs:
            return _drawn(repr(task.world), task.sequences, self.seed, task)
        rows, stop = unpacked(self.pairs), task.seq_len + 1
        return Prepared.given(rows.keys[:stop], rows.values[:stop])


@dataclass(frozen=True)
class Line:
    """What the chart shows of one layer.

    Args:
        error: mean squared error at every step.
        spread: its standard error.
        facts: rows of what was tuned.
        metrics: means by name.
        baselines: what needs no layer, at every step, by name.
    """

    error: tuple[float, ...]
    spread: tuple[float, ...]
    facts: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, float]
    baselines: Mapping[str, tuple[float, ...]]


@st.cache_data(max_entries=500, show_spinner=False)
def constants(text: str, sequence: Sequence, held: HeldTo = ()) -> Constants:
    """Finds what a layer is drawn with; for pairs that somebody brings on these themselves.

    A curve that takes more than `AT_ONCE` operations is refused.
    """
    if not sequence.pairs:
        check_sizes(Experiment(sequence.task, ttr.ModelConfig(layers=(text,))), AT_ONCE)
    brought = sequence.prepared().data if sequence.pairs else None
    with ui.computing():
        return sequence.task.constants_of(
            ttr.Spec.parse(text), sequence.seed, data=brought, held=dict(held)
        )


@st.cache_data(max_entries=500, show_spinner=False)
def curve(text: str, sequence: Sequence, held: HeldTo = ()) -> Line:
    """Computes one layer's curve."""
    used, prepared = constants(text, sequence, held), sequence.prepared()
    with ui.computing():
        found = sequence.task.evaluate(
            ttr.Spec.parse(text), sequence.seed, constants=used, prepared=prepared
        )
    curves = found.curves
    return Line(
        tuple(curves[Regression.main().name]),
        tuple(curves["error_se"]),
        tuple(found.tables["constants"]),
        found.metrics,
        {name: tuple(curves[name]) for name in BASELINES if name in curves},
    )


def attention(text: str, sequence: Sequence, held: HeldTo, tokens: int) -> tuple[Tensor, float]:
    """Computes the attention map of the first tokens of the first sequence.

    Returns:
        The map [T, T], and its relative error where random signs have estimated it, else 0.
    """
    used, prepared = constants(text, sequence, held), sequence.prepared()
    with ui.computing():
        q, k, v = (x[:, :1, :tokens] for x in (prepared.data.q, prepared.data.k, prepared.data.v))
        if sequence.task.keys == "l2":
            q, k = (part / part.norm(dim=-1, keepdim=True).clamp(min=1e-12) for part in (q, k))
        stream = used.stream(q, k, v)
        if used.spec.linear_in_v:
            return ttr.attention_map(used.spec, stream)[0, 0], 0.0
        found = ttr.sampled_map(used.spec, stream)
        return found.weights[0, 0], found.relative_error


@st.cache_data(max_entries=DRAWS, show_spinner=False)
def _drawn(world: str, sequences: int, seed: int, _task: Regression) -> Prepared:
    with ui.computing():
        return _task.prepared(seed)
