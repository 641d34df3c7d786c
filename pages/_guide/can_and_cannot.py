"""What layers can track and cannot: the theorems, their conditions and sources, layer by layer."""

from __future__ import annotations

import streamlit as st

import ttr_core as ttr
from ttr_core.words import REFLECTIONS, THEOREMS, TheoryCard, abilities

MARKS = {"can": ":green[can]", "cannot": ":orange[cannot]", "open": "open"}


def show() -> None:
    """Shows the theorems, and what they say of every published layer."""
    st.subheader("What a layer can track, and what it cannot", anchor="theory")
    for one in THEOREMS.values():
        with st.container(border=True, gap="small"):
            st.subheader(f"{one.name[0].upper()}{one.name[1:]}", anchor=f"theory-{one.name}")
            st.markdown(_told(one))
    st.markdown(
        "For one layer, from the numbers that a token multiplies its memory by; *open* is where "
        "none of these theorems applies. A name opens the layer in Explore."
    )
    st.markdown(_table())


def _told(one: TheoryCard) -> str:
    sources = "; ".join(
        f"[{paper.title}]({paper.url}) ({paper.authors}, {paper.year})" for paper in one.sources
    )
    return f"{one.claim} *{one.conditions}* {sources}"


@st.cache_data(show_spinner=False)
def _table() -> str:
    """Returns the published layers of which something is known, as a Markdown table."""
    lines = [f"| layer | {' | '.join(REFLECTIONS)} |", "|---" * (1 + len(REFLECTIONS)) + "|"]
    for name, entry in ttr.catalog.items():
        found = abilities(entry.spec)
        if {*found.values()} != {"open"}:
            marks = " | ".join(MARKS[said] for said in found.values())
            lines.append(f"| [{name}](explore?layer={name}) | {marks} |")
    return "\n".join(lines)
