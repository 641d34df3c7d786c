"""A card for each claim: the sentence, the verdict, its picture, and what can be done with it."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import parse_qs

import streamlit as st

from experiments_db.claims import Thesis, Word
from experiments_db.errors import StoreError
from experiments_db.installation import command
from experiments_db.store import Store
from pages._paper import evidence_of, pictures, running
from pages._paper.chosen_claims import Chosen
from pages._paper.evidence_of import Evidence
from pages._shared import saved, ui

LOOKS = {
    Word.HOLDS: ("green", ":material/check_circle:"),
    Word.IF: ("orange", ":material/rule:"),
    Word.PART: ("orange", ":material/rule:"),
    Word.FAILS: ("red", ":material/cancel:"),
    Word.REDUCED: ("gray", ":material/straighten:"),
    Word.OPEN: ("violet", ":material/help:"),
}
ADDRESS = re.compile(r"\((https?://[^)]+)\)")


def show(store: Store, picked: Chosen) -> None:
    """Shows the cards of the picked claims."""
    try:
        known = evidence_of.gathered(store, picked.claims, picked.scale)
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        return
    _counts(known)
    for title, several in picked.by_family().items():
        st.subheader(title, anchor=False)
        drawn = [claim for claim in several if known[claim.name].chart or known[claim.name].total]
        for claim in drawn:
            with st.container(border=True, key=f"claim-{claim.name}"):
                _card(store, claim, known[claim.name], picked)
        small = [claim for claim in several if claim not in drawn]
        for i in range(0, len(small), 2):
            places = st.columns(2, gap="small", border=True)
            for claim, place in zip(small[i : i + 2], places, strict=False):
                with place:
                    _card(store, claim, known[claim.name], picked)


def _counts(known: dict[str, Evidence]) -> None:
    found = Counter(one.outcome.verdict.word for one in known.values())
    with st.container(horizontal=True, gap="small"):
        for word, (color, icon) in LOOKS.items():
            if found[word]:
                st.badge(f"{word}: {found[word]}", icon=icon, color=color)  # type: ignore[arg-type]
    st.caption(
        "What papers claim, and what runs say of it. A verdict is given where the protocol is the "
        "published one, or of what shorter trainings have settled; comparisons are paired over "
        "seeds, intervals are 95 % by Student's t."
    )


def _card(store: Store, claim: Thesis, found: Evidence, picked: Chosen) -> None:
    checked = f"checked.{claim.name}"
    if st.session_state.get(checked):
        outcome, chart = evidence_of.judged_here("", "", claim.name, picked.scale, store)
        found = Evidence(outcome, chart, "Computed here, in float64.")
    words, drawing = st.columns([5, 6], gap="medium") if found.chart else (st.container(), None)
    with words.container(gap="small"):
        _told(claim, found)
        _actions(store, claim, found, checked)
    if drawing is not None and found.chart is not None:
        with drawing:
            st.vega_lite_chart(
                pictures.in_theme(found.chart, st.context.theme.type == "dark"),
                key=f"paper.{claim.name}",
                alt=f"{claim.sentence} {found.outcome.verdict.word}"[:400],
            )
    if (found.total or found.chart) and len(found.outcome.table):
        _numbers(claim, found, picked)


def _told(claim: Thesis, found: Evidence) -> None:
    verdict = found.outcome.verdict
    color, icon = LOOKS[verdict.word]
    st.markdown(f"**{ui.escaped(claim.sentence)}**")
    st.badge(str(verdict.word), icon=icon, color=color)  # type: ignore[arg-type]
    st.text(verdict.said)
    if found.beside:
        st.text(found.beside)
    time = ui.seconds(found.outcome.cpu_seconds)
    spent = f" {time} of processor time." if found.outcome.cpu_seconds else ""
    counted = f" n = {found.outcome.n}." if found.outcome.n else ""
    st.caption(f"{_linked(claim.source)}. {found.origin}{counted}{spent}")


def _linked(source: str) -> str:
    """Returns a source as markdown: its address, in parentheses, becomes a link."""
    text, address, rest = ADDRESS.split(source, 1) if ADDRESS.search(source) else (source, "", "")
    named = ui.escaped(text.strip())
    return f"[{named}]({address}){ui.escaped(rest)}" if address else named


def _actions(store: Store, claim: Thesis, found: Evidence, checked: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if claim.link:
            st.page_link(
                "pages/explore.py",
                label="Try it",
                icon=":material/explore:",
                query_params=parse_qs(claim.link),
                help="The layer of this claim in Explore, with the settings of the claim.",
            )
        if not found.total:
            st.button(
                "Check it here",
                key=f"check.{claim.name}",
                icon=":material/calculate:",
                disabled=bool(st.session_state.get(checked)),
                on_click=st.session_state.update,
                args=({checked: True},),
                help="Computes both sides on five random streams, in float64.",
            )
    running.show(store, claim, found)


def _numbers(claim: Thesis, found: Evidence, picked: Chosen) -> None:
    table = found.outcome.table
    with st.expander("Numbers", icon=":material/table:"):
        st.dataframe(table, hide_index=True, alt=f"The numbers behind: {claim.sentence}"[:400])
        saved.downloads(table, claim.name, "paper")
        st.code(command("reproduce", claim.name, "--scale", picked.scale), language="bash")
