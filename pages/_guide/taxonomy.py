"""The published layers by what they fit and how: who differs from whom in which ingredient."""

from __future__ import annotations

from collections import defaultdict

import streamlit as st

import ttr_core as ttr
from pages._shared import ui
from ttr_core.words import place


def show() -> None:
    """Shows every published layer at its place."""
    st.subheader("Who stands where", anchor="families")
    st.markdown(
        "Every published layer by :orange[what it fits] and :green[how]; on each line those that "
        "weigh the past alike. Layers of one line differ in what surrounds the memory "
        "or in numbers."
    )
    for (function, optimizer), lines in _families().items():
        names = [
            f"- :blue[{ui.escaped(weights)}]: {', '.join(found)}"
            for weights, found in lines.items()
        ]
        head = f"**:orange[{ui.escaped(function)}], :green[{ui.escaped(optimizer)}]**"
        st.markdown("\n".join([head, "", *names]))


@st.cache_data(show_spinner=False)
def _families() -> dict[tuple[str, str], dict[str, list[str]]]:
    """Returns function and optimizer -> weights -> layers with their years, the oldest first."""
    found: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, entry in sorted(ttr.catalog.items(), key=lambda item: item[1].paper.year):
        weights, function, optimizer = place(entry.spec)
        link = f"[{ui.escaped(name)}](explore?layer={name})"
        found[function, optimizer][weights].append(f"{link} {entry.paper.year}")
    return {key: dict(lines) for key, lines in found.items()}
