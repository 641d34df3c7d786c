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
from pages._shared import ui
from ttr_core.lab import Constants, Prepared, Regression

if TYPE_CHECKING:
    from torch import Tensor

ProcessSettings = tuple[tuple[str, Any], ...]
BASELINES = {
    "repeat_last": "repeat the last value",
    "fixed_linear": "best fixed linear map",
    "noise_floor": "noise floor",
}
DRAWS = 4  # processes whose sequences are kept, some ten megabytes each


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
def constants(text: str, settings: ProcessSettings, seed: int) -> Constants:
    """Finds what a layer is drawn with."""
    with ui.computing():
        return Regression(**dict(settings)).constants_of(ttr.Spec.parse(text), seed)


@st.cache_data(max_entries=500, show_spinner=False)
def curve(text: str, settings: ProcessSettings, seed: int) -> Line:
    """Computes one layer's curve."""
    task = Regression(**dict(settings))
    used, prepared = constants(text, settings, seed), _prepared(task, seed)
    with ui.computing():
        found = task.evaluate(ttr.Spec.parse(text), seed, constants=used, prepared=prepared)
    curves = found.curves
    return Line(
        tuple(curves[Regression.main().name]),
        tuple(curves["error_se"]),
        tuple(found.tables["constants"]),
        found.metrics,
        {name: tuple(curves[name]) for name in BASELINES},
    )


def attention(text: str, settings: ProcessSettings, seed: int, tokens: int) -> tuple[Tensor, float]:
    """Computes the attention map of the first tokens of the first sequence.

    Returns:
        The map [T, T], and its relative error where random signs have estimated it, else 0.
    """
    task = Regression(**dict(settings))
    used, prepared = constants(text, settings, seed), _prepared(task, seed)
    with ui.computing():
        q, k, v = (x[:, :1, :tokens] for x in (prepared.data.q, prepared.data.k, prepared.data.v))
        if task.keys == "l2":
            q, k = (part / part.norm(dim=-1, keepdim=True) for part in (q, k))
        stream = used.stream(q, k, v)
        if used.spec.linear_in_v:
            return ttr.attention_map(used.spec, stream)[0, 0], 0.0
        found = ttr.sampled_map(used.spec, stream)
        return found.weights[0, 0], found.relative_error


def _prepared(task: Regression, seed: int) -> Prepared:
    """Returns the sequences of a process, which no setting of the layers changes."""
    return _drawn(repr(task.world), task.sequences, seed, task)


@st.cache_data(max_entries=DRAWS, show_spinner=False)
def _drawn(world: str, sequences: int, seed: int, _task: Regression) -> Prepared:
    with ui.computing():
        return _task.prepared(seed)
