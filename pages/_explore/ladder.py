"""The ladder: one sequence, and from the average of the past to an exact fit rung by rung."""

from __future__ import annotations

import streamlit as st

import ttr_core as ttr
from pages._explore import asked
from pages._explore.asked import Picked
from pages._shared import ui
from pages._shared.rungs import RUNGS

ASKED = "One sequence, six ways to remember it: each rung changes one thing."


def show(picked: Picked) -> None:
    """Shows the rungs, each of which is a state of the page."""
    here = _here(picked)
    with st.container(
        horizontal=True, gap="xsmall", key="ladder", vertical_alignment="center", width="content"
    ):
        st.caption("The ladder", width="content")
        for number, (name, (text, adds)) in enumerate(RUNGS.items(), 1):
            st.button(
                name,
                key=f"rung.{name}",
                type="primary" if name == here else "secondary",
                icon=f":material/counter_{number}:",
                on_click=asked.set_spec,
                args=(text,),
                help=ui.escaped(f"{adds} {text}"),
            )


def tell_rung(picked: Picked) -> None:
    """Says what the rung on show adds, in a place that is there for any layer."""
    here = _here(picked)
    with st.container(key="rung-says"):
        st.caption(ui.escaped(RUNGS[here][1] if here else ASKED))


def _here(picked: Picked) -> str | None:
    return next((name for name, (text, _) in RUNGS.items() if _same(text, picked)), None)


def _same(text: str, picked: Picked) -> bool:
    return ttr.Spec.parse(text).expanded == picked.spec.expanded
