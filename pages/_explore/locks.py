"""The values in use beside the knobs: tuned, or held by hand; a lock says which and turns one over.

What is held stands in the address as ``hold=signal.step=0.5``: the layer on show is drawn with it
and all else is tuned around it. Pinned layers are tuned freely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import ttr_core as ttr
from pages._shared import address, params, ui
from ttr_core import unknown
from ttr_core.lab import Constants, Knob, knobs

HOLD = "hold"
MOST_HELD = 12
DIGITS = 4
NAMES = {"decay": "log decay", "scale": "sharpness"}
"""What a knob is called where its own name says too little."""


@dataclass(frozen=True)
class HeldValues(params.Param):
    """Values by the names of their knobs, as ``signal.step=0.5``."""

    @property
    def default(self) -> dict[str, float]:
        return {}

    def read(self, key: str, said: Sequence[str]) -> tuple[dict[str, float], list[str]]:
        found: dict[str, float] = {}
        wrong = params.more_than_fit(key, len(said), MOST_HELD)
        for text in said[:MOST_HELD]:
            name, _, number = text.partition("=")
            try:
                found[name] = float(number)
            except ValueError:
                found[name] = math.nan
            if not name or not math.isfinite(found[name]):
                del found[name]
                if text:
                    wrong.append(
                        f"{key} is {text[: params.SHOWN_CHARS]!r} in the address, not NAME=NUMBER, "
                        "such as signal.step=0.5."
                    )
        return found, wrong

    def write(self, value: Any) -> list[str]:
        return [f"{name}={number:.{DIGITS}g}" for name, number in (value or {}).items()] or [""]


def knob_name(knob: str) -> str:
    """Returns what a knob is called wherever its value stands; factors are not told apart."""
    return NAMES.get(knob.partition(".")[0], knob.replace("_", " "))


def values_held(spec: ttr.Spec) -> tuple[tuple[str, float], ...]:
    """Returns what is held of a layer, of what it has."""
    known = {knob.key for knob in knobs(spec)}
    return tuple((k, x) for k, x in address.value(HOLD).items() if k in known)


def say_what_is_no_knob(spec: ttr.Spec) -> None:
    """Complains of what the address holds and the layer has not."""
    known = [knob.key for knob in knobs(spec)]
    for name in address.value(HOLD):
        if name not in known:
            kind = f"knob of {str(spec)[: params.SHOWN_CHARS]}"
            address.complain(str(unknown(kind, name[: params.SHOWN_CHARS], known)))


def show(places: Mapping[str, DeltaGenerator], spec: ttr.Spec, drawn: Constants) -> None:
    """Shows every knob that is tuned, or held, in the card of its ingredient.

    Args:
        places: of the cards, by family.
        spec: the layer on show, as its controls have it.
        drawn: what the picture is drawn with.
    """
    kept = dict(values_held(spec))
    for knob in knobs(spec):
        with places[_card(knob, spec)]:
            _lock(knob, knob.value(drawn), kept.get(knob.key))


def _card(knob: Knob, spec: ttr.Spec) -> str:
    if knob.axis != "signal":
        return knob.axis
    parts = {"weights": spec.weights, "function": spec.function}
    owners = (name for name, part in parts.items() if _has(part, knob.name))
    return next(owners, "optimizer")


def _has(part: ttr.Ingredient, signal: str) -> bool:
    return any(signal == one.name for one in part.signals)


def _lock(knob: Knob, value: float | None, kept: float | None) -> None:
    name = knob_name(knob.name)
    shown = "its own rule" if value is None else f"{value:.3g}"
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", width="content"):
        st.button(
            f"{ui.escaped(name)} **{ui.escaped(shown)}**" if kept is None else ui.escaped(name),
            key=f"lock.{knob.key}",
            type="tertiary",
            icon=":material/lock_open:" if kept is None else ":material/lock:",
            on_click=_turn,
            args=(knob.key, value if kept is None else None),
            disabled=value is None,
            help="Tuned on held-out sequences; a click holds it at this value."
            if kept is None
            else "Held by hand, and in the address; a click lets it be tuned again.",
        )
        if kept is not None:
            box = f"held.{knob.key}"
            st.session_state[box] = kept
            st.number_input(
                name,
                key=box,
                label_visibility="collapsed",
                width=110,
                step=max(10.0 ** math.floor(math.log10(abs(kept) or 1.0)) / 10, 1e-6),
                format="%g",
                on_change=_set,
                args=(knob.key, box),
            )


def _turn(key: str, value: float | None) -> None:
    """Holds a knob at a value, or lets it go; the callback of a lock."""
    others = {name: x for name, x in address.value(HOLD).items() if name != key}
    said = {} if value is None else {key: float(f"{value:.{DIGITS}g}")}
    address.put(HOLD, {**others, **said})


def _set(key: str, box: str) -> None:
    """Holds a knob at what was typed."""
    if (typed := st.session_state[box]) is not None:
        address.put(HOLD, {**address.value(HOLD), key: typed})
