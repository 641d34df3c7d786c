"""What layer the three ingredients make: the headline of Explore, and its small print below."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import ttr_core as ttr
from pages._explore import asked, fresh
from pages._explore.asked import Picked
from pages._shared import late, palette, theorems, ui
from ttr_core import Ingredient
from ttr_core.words import called, marked_formulas, verdict

SIZES = HEAD_SIZE, _, LENGTH = 64, 64, 1024  # K, V, T at which the state is counted
FLOATS = (
    f"Numbers that a head with K = V = {HEAD_SIZE} must keep after {LENGTH} tokens, by the layer's "
    "definition; never more than the pairs themselves, where the memory can be had from them."
)
POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
SHOWN_NAMES, SHOWN_NEIGHBORS = 4, 5
WHERE = r",\qquad "  # what parts a formula from the definition of a symbol in it: wraps there

INSTEAD = "What is asked for is no layer: this is the one shown last, or the nearest."
LAYER, UNREAD, SLOW = "layer", "unread", "slow"
BADGES = {
    LAYER: ("layer", ":material/check_circle:", "green", "Well defined, with a fast exact solver."),
    SLOW: (
        "defined but slow",
        ":material/hourglass_bottom:",
        "orange",
        "Well defined, but not for training.",
    ),
    UNREAD: (
        "unread",
        ":material/hearing_disabled:",
        "orange",
        "Well defined, but it does not tell the pairs it has just seen from one another.",
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What kind of layer a spec is.

    Args:
        kind: ``layer``, ``slow`` (defined, not for training) or ``unread`` (it runs, and does not
            read back pairs).
        solver: the solver that runs it.
        reasons: why it is no other kind.
    """

    kind: str
    solver: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Upper:
    """The headline as it stands.

    Args:
        verdict: on the layer that is drawn.
        update: the place of what a token does to the memory.
    """

    verdict: Verdict
    update: DeltaGenerator


@st.cache_data(max_entries=1000, show_spinner=False)
def judged(text: str) -> Verdict:
    """Returns the verdict on a layer."""
    spec = ttr.Spec.parse(text)
    solver = ttr.resolve(spec).name
    kind, reason = verdict(spec)
    return Verdict(kind, solver, (reason,) if reason else ())


def show(picked: Picked) -> Upper:
    """Shows what is asked for, and the layer that is drawn; returns what is filled in later."""
    if picked.wrong:
        with st.container(key="refused"):
            _not_a_layer(picked)
    found = judged(picked.text)
    with st.container(key="headline"):
        name, formula, size = st.columns([6, 6, 2], vertical_alignment="center", gap="small")
    with name.container(horizontal=True, vertical_alignment="center", gap="small"):
        title = _title(picked)
        if picked.wrong:
            st.subheader(title, anchor=False, width="content")
            st.badge("shown instead", icon=":material/history:", color="orange", help=INSTEAD)
        else:
            st.header(title, anchor=False, width="content")
        _badge(found)
        for other in _other_names(picked, title):
            st.badge(other, icon=":material/menu_book:", color="gray", help="Also published as")
        if picked.layer:
            paper = ttr.catalog[picked.layer].paper
            st.caption(ui.escaped(f"{paper.authors}, {paper.year}"), width="content")
    size.caption(f"{ui.count(_floats(picked.spec))} floats per head", help=FLOATS)
    return Upper(found, formula.container(horizontal=True, gap="medium", key="update"))


def show_equations(upper: Upper, drawn: str) -> None:
    """Fills in what a token does to the memory, with the values that the pictures are drawn with.

    Args:
        upper: where it belongs.
        drawn: the text of the layer with these values.
    """
    with upper.update:
        for part in _formulas(drawn)[1].split(WHERE):
            st.latex(part, width="content")


def show_more(picked: Picked, upper: Upper, drawn: str) -> None:
    """Shows what else there is to say of the layer: words, equations, facts and neighbors."""
    about = _described(picked.text)
    for reason in upper.verdict.reasons:
        kind = "Slow" if upper.verdict.kind == SLOW else "Note"
        st.caption(f":orange[{kind}:] {ui.escaped(reason)}.")
    if about.caution:
        st.caption(f":orange[Caution:] {ui.escaped(about.caution)}")
    _neighbors(picked, about)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _looks_inside(picked)
        if upper.verdict.kind in (LAYER, UNREAD):
            fresh.show(picked)
    st.caption(ui.escaped(about.words))
    if said := theorems.of_cell(picked.text):
        st.caption(said)
    equations, facts = st.columns([3, 2], gap="medium")
    objective, _, read = _formulas(drawn)
    with equations.container(border=True, height="stretch", gap="xsmall"):
        _equation("Objective", objective, "What the memory minimizes at each step t.")
        _equation("Output", read, "How the query is answered.")
    with facts.container(border=True, height="stretch", gap="xsmall"):
        _facts(picked, about, upper.verdict)


def _equation(name: str, latex: str, help: str) -> None:
    label, formula = st.columns([2, 9], vertical_alignment="center", gap="xsmall")
    label.caption(name, help=help)
    with formula.container(horizontal=True, vertical_alignment="center", gap="medium"):
        for part in latex.split(WHERE):
            st.latex(part, width="content")


@st.cache_data(max_entries=500, show_spinner=False)
def _formulas(text: str) -> tuple[str, str, str]:
    objective, update, read = map(palette.colored, marked_formulas(ttr.Spec.parse(text)))
    return objective, update, read


def _title(picked: Picked) -> str:
    if picked.layer:
        return called(picked.layer, asked.frame_of(picked))
    return _described(picked.text).standing.title


def _other_names(picked: Picked, shown: str) -> tuple[str, ...]:
    names = _described(picked.text).standing.names
    return tuple(name for name in names if not shown.endswith(name))[:SHOWN_NAMES]


def _badge(found: Verdict) -> None:
    label, icon, color, help = BADGES[found.kind]
    st.badge(label, icon=icon, color=color, help=help)  # type: ignore[arg-type]


def _not_a_layer(picked: Picked) -> None:
    """Says why what is asked for is not drawn, and offers what is nearest."""
    st.header("Not a layer", anchor=False)
    with st.container(border=True):
        st.markdown("**Why not**")
        for reason in picked.wrong:
            st.text(reason)
        if not picked.offers:
            st.caption(picked.nothing_near)
            return
        st.markdown("**Nearest layers** – choose one to go on from it")
        with st.container(horizontal=True, gap="small"):
            for text in picked.offers:
                name = ", ".join(asked.named(text)[:SHOWN_NAMES])
                st.button(
                    f"**{name}** {ui.escaped(text)}" if name else ui.escaped(text),
                    key=f"alternative.{text}",
                    on_click=asked.set_spec,
                    args=(text,),
                    help="Makes this the spec.",
                )


@st.cache_data(max_entries=500, show_spinner="Comparing with every listed layer")
def _described(text: str) -> ttr.Description:
    return ttr.describe(ttr.Spec.parse(text))


def _looks_inside(picked: Picked) -> None:
    with st.popover("Solvers", icon=":material/speed:", help="Who computes it, who refuses."):
        _solvers(picked)
    with st.container(width="content"):  # else what reruns by itself pushes the others away
        late.popover(
            "Source", ":material/code:", "source", "The definitions of its parts.",
            partial(_source, picked),
        )  # fmt: skip
    if picked.layer:
        with st.popover("Paper", icon=":material/menu_book:", help="Where it was published."):
            _paper(picked.layer)


def _facts(picked: Picked, about: ttr.Description, found: Verdict) -> None:
    packed = ttr.packed_state_size(picked.spec, *SIZES)
    st.metric(
        "State per head",
        f"{ui.count(_floats(picked.spec))} floats",
        help=f"{FLOATS} With one half of symmetric matrices {ui.count(packed)}.",
    )
    rows = {
        "State of all heads": _raised(about.state_size),
        "Packed": ""
        if about.packed_state_size == about.state_size
        else _raised(about.packed_state_size),
        "Held by the solver": _raised(about.held),
        "Cost per head": _raised(about.cost),
        "Solver": found.solver,
        "Forgetting": about.forgets,
        "Same as": "; ".join(about.same_as),
        "In the literature": str(about.standing),
    }
    for name, text in rows.items():
        if text:
            st.caption(f"**{name}** {ui.escaped(text)}")
    st.caption(letters_in(about.state_size, about.held, about.cost))
    for known in about.standing.elsewhere:
        paper = ui.escaped(f"{known.name}: {known.paper}.")
        st.caption(f"{paper} Beyond this cell: {ui.escaped(known.beyond)}")


LETTERS = {
    "T": "tokens", "d": "model width", "H": "heads", "K": "size of a key", "V": "size of a value",
    "F": "features of a key", "C": "tokens of a chunk", "P": "numbers of a network", "R": "filters",
}  # fmt: skip
"""What the letters of sizes and costs stand for; a head has K = V = d / H."""


def letters_in(*formulas: str) -> str:
    """Returns what the letters of some formulas stand for.

    Example:
        >>> letters_in("d^2 / H")
        'd model width, H heads'
    """
    used = set(re.findall(r"\b[A-Za-z]\b", " ".join(formulas)))
    return ", ".join(f"{letter} {means}" for letter, means in LETTERS.items() if letter in used)


def _floats(spec: ttr.Spec) -> float:
    return ttr.state_size(spec, *SIZES)


def _raised(formula: str) -> str:
    """Returns a formula with its powers raised: T^2 as T²."""
    return re.sub(r"\^(\d)", lambda power: POWERS[int(power[1])], formula)


def _neighbors(picked: Picked, about: ttr.Description) -> None:
    nearest = [(n, d) for n, d in about.neighbors if n != picked.layer]
    others, more = nearest[:SHOWN_NEIGHBORS], len(nearest[SHOWN_NEIGHBORS:])
    if not others:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="neighbors"):
        st.caption("Nearest published", width="content")
        for name, difference in others:
            st.button(
                f"**{name}** {ui.escaped(difference)}",
                key=f"neighbor.{name}",
                type="tertiary",
                icon=":material/arrow_forward:",
                on_click=asked.set_layer,
                args=(name,),
                help=f"Show {name}.",
            )
        if more:
            st.caption(f"and {more} more as near", width="content")


def _solvers(picked: Picked) -> None:
    st.markdown("**Who computes this layer**")
    running = judged(picked.text).solver
    for name, refusal in ttr.explain(picked.spec).items():
        with st.container(horizontal=True, gap="small", width=520):
            icon = ":material/check:" if refusal is None else ":material/close:"
            st.badge(name, icon=icon, color="green" if refusal is None else "gray")
            st.text(refusal or ("runs it" if name == running else "could run it, but slower"))


def _source(picked: Picked) -> None:
    """Shows the classes that define the ingredients, as they stand in the code."""
    for part in parts(picked.spec):
        st.code(inspect.getsource(type(part)), language="python", width=760, height=320)


def parts(spec: ttr.Spec) -> tuple[Ingredient, ...]:
    """Returns the ingredients with the factors of a product one by one."""
    return (*spec.weights.factors(), spec.function, spec.optimizer, spec.loss, spec.readout)


def _paper(layer: str) -> None:
    entry = ttr.catalog[layer]
    paper = entry.paper
    st.markdown(f"**{paper.title}**")
    st.text(f"{paper.authors}, {paper.year}")
    st.link_button(paper.url, paper.url, icon=":material/open_in_new:")
    st.caption(entry.summary)
    st.caption(f"Deviation: {entry.deviations}")
    st.caption(f"Evidence: {entry.evidence}")
