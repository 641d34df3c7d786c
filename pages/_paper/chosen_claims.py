"""Which claims are on show and at which scale, all of it in the address."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from experiments_db.claims import CLAIMS, FAMILIES, SCALES, Scale, Thesis, named_claims, scale
from pages._shared import address, params

WHAT, SCALE = "paper.claims", "paper.scale"
EVERYTHING = "all"
TITLES = {
    EVERYTHING: "All claims",
    "regression": "Figure 2: online regression",
    "mqar": "Figure 3: trained recall",
    "recall": "Recall without training",
    "state": "State tracking",
    "literature": "What papers publish for the same layer",
    "identities": "Layers that are regressions",
}
SIZES = {"quick": "quick: minutes", "paper": "paper: the published sizes"}


@dataclass(frozen=True)
class Chosen:
    """What the page shows.

    Args:
        claims: in the order of the report.
        scale: how large the runs behind them are.
    """

    claims: tuple[Thesis, ...]
    scale: Scale

    def by_family(self) -> dict[str, list[Thesis]]:
        """Returns the claims by the titles of their families, what has pictures first."""
        families = [*(one for one in TITLES if one in FAMILIES), *(set(FAMILIES) - set(TITLES))]
        found = {
            _title(family): [claim for claim in FAMILIES[family] if claim in self.claims]
            for family in families
        }
        return {title: claims for title, claims in found.items() if claims}


def take_over() -> Chosen:
    """Takes the address over, shows the controls and returns what they hold."""
    names = (EVERYTHING, *FAMILIES, *CLAIMS)
    address.take({WHAT: params.first_of("claim", names), SCALE: params.first_of("scale", SCALES)})
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        what = st.selectbox("Claims", names, key=WHAT, width=420, format_func=_title)
        size = st.segmented_control(
            "Scale",
            SCALES,
            key=SCALE,
            required=True,
            format_func=SIZES.__getitem__,
            help="quick: smaller than published where something is trained, so that it gets no "
            "verdict. paper: many hours of a processor.",
        )
    return Chosen(named_claims(what), scale(size or SCALES[0]))


def _title(name: str) -> str:
    return TITLES.get(name) or name.replace("-", " ")
