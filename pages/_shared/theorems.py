"""What theorems say of a cell, in a line."""

from __future__ import annotations

import streamlit as st

import ttr_core as ttr
from ttr_core.words import abilities, cards_of


@st.cache_data(max_entries=500, show_spinner=False)
def of_cell(text: str) -> str:
    """Returns what one layer can track and cannot, as Markdown; nothing where no theorem applies.

    Args:
        text: a spec.
    """
    spec = ttr.Spec.parse(text)
    if not cards_of(spec):
        return ""
    found = abilities(spec)
    told = [
        f"{verdict} track {', '.join(names)}"
        for verdict in ("can", "cannot")
        if (names := [name for name, said in found.items() if said == verdict])
    ]
    said = f"At every length one layer {' and '.join(told)}. " if told else ""
    links = ", ".join(f"[{one.name}](guide#theory-{one.name})" for one in cards_of(spec))
    return f"{said}Theorems: {links}."
