"""Every ingredient: its equation, when to use it, its source, who uses it, its code."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

import ttr_core as ttr
from pages._shared import address, late, params, ui
from ttr_core.words import lesson

FAMILIES = {
    "weights": ("Weights", "What counts: how much each past pair matters.", "blue"),
    "function": ("Function classes", "What is fitted to the pairs.", "orange"),
    "optimizer": ("Optimizers", "How it is fitted.", "green"),
    "map": ("Feature maps", "What a linear function class sees of a key.", "orange"),
    "loss": ("Losses", "What counts as an error.", "green"),
    "readout": ("Read-outs", "How the memory is asked.", "orange"),
}
PLACES = {"weights": 0, "function": 1, "map": 1, "optimizer": 2, "loss": 3, "readout": 4}
"""Where the text of a spec names a choice of a family."""

FAMILY, EVERY = "guide.ingredients", "all"
NAMED = 5


def take_over() -> None:
    """Takes over what the address says."""
    address.take({FAMILY: params.first_of("family", (*FAMILIES, EVERY))})


def show() -> None:
    """Shows the ingredients of a family, or all of them."""
    st.subheader("Every ingredient", anchor="ingredients")
    st.segmented_control(
        "Ingredients",
        [*FAMILIES, EVERY],
        key=FAMILY,
        required=True,
        label_visibility="collapsed",
        format_func=lambda name: FAMILIES[name][0] if name in FAMILIES else "All, to print",
    )
    picked = address.value(FAMILY)
    for family in FAMILIES if picked == EVERY else [picked]:
        title, sentence, color = FAMILIES[family]
        st.markdown(f"**:{color}[{title}]**: {sentence}")
        for cls in ttr.choices(family):
            with st.container(border=True, gap="small"):
                _choice(cls)


def _choice(cls: type[ttr.Ingredient]) -> None:
    told = lesson(cls)
    st.markdown(f"**{ui.escaped(told.name)}**: {told.summary}")
    for equation, text in told.parts:
        if equation:
            st.latex(text)
        else:
            st.markdown(text)
    if told.sources:
        papers = "; ".join(f"[{ui.escaped(t)}]({url}), {by}" for t, by, url in told.sources)
        st.caption(f"Source: {papers}")
    if told.deviation:
        st.caption(f"Deviation: {told.deviation}")
    users = _users(cls.family, cls.name)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if users:
            st.page_link(
                "pages/explore.py",
                label="Try it",
                icon=":material/explore:",
                query_params={"layer": users[0]},
            )
            more = f" and {len(users) - NAMED} more" if len(users) > NAMED else ""
            st.caption(f"Used by {', '.join(users[:NAMED])}{more}.")
        else:
            st.page_link(
                "pages/explore.py",
                label="Try it",
                icon=":material/explore:",
                query_params={"spec": _cell(cls.family, cls.name)},
            )
    late.expander(
        "Code", ":material/code:", f"code.{cls.family}.{cls.name}",
        partial(st.code, told.code, language="python"),
    )  # fmt: skip


@st.cache_data(max_entries=500, show_spinner=False)
def _users(family: str, name: str) -> list[str]:
    """Returns the published layers with an ingredient, in the order of the catalog."""
    return [key for key, entry in ttr.catalog.items() if _holds(entry.spec, family, name)]


@st.cache_data(max_entries=500, show_spinner=False)
def _cell(family: str, name: str) -> str:
    """Returns a layer with an ingredient that no published one has: one of these, changed."""
    (choice,) = (cls for cls in ttr.choices(family) if cls.name == name)
    part: dict[str, Any] = {family: choice()}
    changed = (replace(entry.spec, **part) for entry in ttr.catalog.values())
    return next(str(spec) for spec in changed if not spec.objections())


def _holds(spec: ttr.Spec, family: str, name: str) -> bool:
    part = spec.expanded.split(" | ")[PLACES[family]]
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", part) is not None
