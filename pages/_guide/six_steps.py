"""The six steps: what changes from one to the next, its equation, and where to see it."""

from __future__ import annotations

import streamlit as st

import ttr_core as ttr
from pages._shared import palette, ui
from pages._shared.rungs import RUNGS
from ttr_core.words import marked_formulas

INTRODUCTION = """
A sequence layer is shown keys and values, one pair at a time, and is asked a query at every
token. What it answers is a **regression**: it fits a function to the pairs seen so far and
returns its value at the query. Three choices make a layer:

- :blue[**What counts**], the *weights*: how much each past pair matters.
- :orange[**What is fitted**], the *function class*: a constant, a matrix, a network.
- :green[**How it is fitted**], the *optimizer*: a sum, one gradient step, or the best fit there is.

The six steps below stand on one sequence, a few keys that come round and whose values change half
way. Each ends in a picture that
plays, and is a button of *The ladder* in Explore.
"""

LESSONS = {
    "average": (
        "The simplest memory keeps the mean of all values it has seen. It does not look at the "
        "query, so it answers every question alike. Look for: an error that never falls, and a "
        "map whose rows are flat."
    ),
    "softmax": (
        "Let pairs count by how much their keys resemble the query, and the mean becomes local: "
        "this is softmax attention. It keeps all past pairs, so its memory grows with the "
        "sequence. Look for: rows that light up where the same key was seen. After the change it "
        "mixes what the key meant before with what it means now."
    ),
    "Hebbian sum": (
        "Put a matrix in place of the pairs and add every pair to it: linear attention. The memory "
        "has a fixed size, and nothing is ever corrected: keys that are not orthogonal disturb "
        "each other, and old values stay in the sum."
    ),
    "SGD steps": (
        "First ask the memory what it would have answered, and write only the difference: a "
        "gradient step on the newest pair, DeltaNet. A key that comes again replaces its value. "
        "Look for: an error that jumps at the change and falls as the keys come round."
    ),
    "Exact fit": (
        "Instead of a step, take the matrix that fits all pairs best: least squares, the "
        "mesa-layer. Every pair counts alike, from before the change and after it, so the fit ends "
        "between both rules and recovers as slowly as softmax. Its ridge, the I of the equation, "
        "draws the fit towards zero, and the best for the whole sequence is 1: with .1 the error "
        "before the change is .035, less than that of a step, and after it more."
    ),
    "with a gate": (
        "Let the past fade by a share that each token chooses, and the fit is of recent pairs: it "
        "forgets the first rule when the second begins, sooner than any of the others. That "
        "has its price: the gate found best here halves a pair's weight within four tokens, too "
        "few to fit sixteen keys, so at the end a step has the smaller error."
    ),
}
"""What each rung of the ladder teaches, by its name."""

MEASURED = {
    "average": (0.98, 1.04, 1.0),
    "softmax": (0.11, 1.11, 0.67),
    "Hebbian sum": (0.3, 1.62, 0.97),
    "SGD steps": (0.059, 0.41, 0.062),
    "Exact fit": (0.13, 1.15, 0.66),
    "with a gate": (0.093, 0.11, 0.091),
}
"""Mean squared errors over 16 steps: before the change, from 16 steps after it, at the end."""


def show() -> None:
    """Shows the introduction and the steps."""
    st.markdown(INTRODUCTION)
    for number, (name, (text, _)) in enumerate(RUNGS.items(), 1):
        with st.container(border=True, gap="small"):
            st.subheader(f"{number}. {name[0].upper()}{name[1:]}", anchor=f"step-{number}")
            st.markdown(LESSONS[name])
            st.latex(_update(text))
            before, after, end = MEASURED[name]
            st.caption(
                f"{ui.escaped(text)}. Squared error before the change {before:g}, 16 to 32 steps "
                f"after it {after:g}, at the end {end:g}."
            )
            st.page_link(
                "pages/explore.py",
                label="See it play",
                icon=":material/explore:",
                query_params={"spec": text},
            )


@st.cache_data(max_entries=20, show_spinner=False)
def _update(text: str) -> str:
    _, update, _ = marked_formulas(ttr.Spec.parse(text))
    return palette.colored(update)
