"""The upper part of Explore: what layer the three ingredients make, in words and equations."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

import streamlit as st

import ttr_core as ttr
from pages._explore import fresh, pickers
from pages._shared import controls, ui
from ttr_core import Ingredient
from ttr_core.words import called

HEAD_SIZE, LENGTH = 64, 1024  # the sizes at which the state is counted
POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
SHOWN_NAMES, SHOWN_NEIGHBORS = 4, 5
WHERE = r",\qquad "  # what parts a formula from the definition of a symbol in it: wraps there

LAYER, SLOW, UNDEFINED = "layer", "slow", "undefined"
BADGES = {
    LAYER: ("layer", ":material/check_circle:", "green", "Well defined, with a fast exact solver."),
    SLOW: (
        "defined but slow",
        ":material/hourglass_bottom:",
        "orange",
        "Well defined, but not for training.",
    ),
    UNDEFINED: (
        "not a layer",
        ":material/block:",
        "red",
        "These three ingredients do not determine an output for every query.",
    ),
}


@dataclass(frozen=True)
class Verdict:
    """Whether the spec is a layer.

    Args:
        kind: ``layer``, ``slow`` (defined, not for training) or ``undefined``.
        solver: the solver that runs it, or None.
        reasons: why it is not a layer, or why it is slow.
    """

    kind: str
    solver: str | None
    reasons: tuple[str, ...]


@st.cache_data(max_entries=1000, show_spinner=False)
def judged(text: str) -> Verdict:
    """Returns the verdict on a spec."""
    spec = ttr.Spec.parse(text)
    objections = spec.objections()
    if objections:
        return Verdict(UNDEFINED, None, tuple(objections))
    slow = ttr.caution(spec)
    return Verdict(SLOW if slow else LAYER, ttr.resolve(spec).name, (slow,) if slow else ())


def show(picked: pickers.Picked) -> Verdict:
    """Shows the layer and returns its verdict."""
    found = judged(picked.text)
    name, more = st.columns([3, 2], vertical_alignment="center", gap="small")
    with name.container(horizontal=True, vertical_alignment="center", gap="small"):
        title = _title(picked, found)
        st.header(title, anchor=False, width="content")
        if found.kind != UNDEFINED:
            _badge(found)
        for other in _other_names(picked, title):
            st.badge(other, icon=":material/menu_book:", color="gray", help="Also published as")
        if picked.layer:
            paper = ttr.catalog[picked.layer].paper
            st.caption(ui.escaped(f"{paper.authors}, {paper.year}"), width="content")
    if found.kind == UNDEFINED:
        _not_a_layer(picked, found)
        return found
    with more.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
        _looks_inside(picked)
        if found.kind == LAYER:
            fresh.show(picked)
    _what_it_is(picked, found)
    return found


def _title(picked: pickers.Picked, found: Verdict) -> str:
    if picked.layer:
        return called(picked.layer, st.session_state.get("frame", "standard"))
    if found.kind == UNDEFINED:
        return "Not a layer"
    return _described(picked.text).standing.title


def _other_names(picked: pickers.Picked, shown: str) -> tuple[str, ...]:
    if judged(picked.text).kind == UNDEFINED:
        return ()
    names = _described(picked.text).standing.names
    return tuple(name for name in names if not shown.endswith(name))[:SHOWN_NAMES]


def _badge(found: Verdict) -> None:
    label, icon, color, help = BADGES[found.kind]
    st.badge(label, icon=icon, color=color, help=help)  # type: ignore[arg-type]


def _not_a_layer(picked: pickers.Picked, found: Verdict) -> None:
    with st.container(border=True):
        st.markdown("**Why not**")
        for reason in found.reasons:
            st.text(reason)
        alternatives = picked.spec.alternatives()
        if not alternatives:
            st.caption("No single change makes it one. Choose another optimizer.")
            return
        st.markdown("**Nearest layers** – choose one to go on from it")
        with st.container(horizontal=True, gap="small"):
            for text in alternatives:
                st.button(
                    ui.escaped(text),
                    key=f"alternative.{text}",
                    on_click=pickers.set_spec,
                    args=(text,),
                    help="Makes this the spec.",
                )


@st.cache_data(max_entries=500, show_spinner="Comparing with every listed layer")
def _described(text: str) -> ttr.Description:
    return ttr.describe(ttr.Spec.parse(text))


def _what_it_is(picked: pickers.Picked, found: Verdict) -> None:
    about = _described(picked.text)
    for reason in found.reasons:
        st.caption(f":orange[Slow:] {ui.escaped(reason)}.")
    st.caption(ui.escaped(about.words))
    equations, facts = st.columns([3, 2], gap="medium")
    with equations.container(border=True, height="stretch", gap="xsmall"):
        _equations(about)
    with facts.container(border=True, height="stretch", gap="xsmall"):
        _facts(picked, about, found)
    _neighbors(picked, about)


def _looks_inside(picked: pickers.Picked) -> None:
    with st.popover("Solvers", icon=":material/speed:", help="Who computes it, who refuses."):
        _solvers(picked)
    with st.popover("Source", icon=":material/code:", help="The definitions of its parts."):
        _source(picked)
    if picked.layer:
        with st.popover("Paper", icon=":material/menu_book:", help="Where it was published."):
            _paper(picked.layer)


def _equations(about: ttr.Description) -> None:
    for name, latex, help in (
        ("Objective", about.objective, "What the memory minimizes at each step t."),
        ("Update", about.update, "How the memory goes on when token t arrives."),
        ("Output", about.read, "How the query is answered."),
    ):
        label, formula = st.columns([2, 9], vertical_alignment="center", gap="xsmall")
        label.caption(name, help=help)
        with formula.container(horizontal=True, vertical_alignment="center", gap="medium"):
            for part in latex.split(WHERE):
                st.latex(part, width="content")


def _facts(picked: pickers.Picked, about: ttr.Description, found: Verdict) -> None:
    floats = ttr.state_size(picked.spec, HEAD_SIZE, HEAD_SIZE, LENGTH)
    st.metric(
        "State per head",
        f"{ui.count(floats)} floats",
        help=f"Numbers kept between tokens by a head with K = V = {HEAD_SIZE}, after {LENGTH} "
        f"tokens. Over all heads: {_raised(about.state_size)}.",
    )
    rows = {
        "State": _raised(about.state_size),
        "Cost per head": _raised(about.cost),
        "Solver": found.solver,
        "Forgetting": about.forgets,
        "Same as": "; ".join(about.same_as),
        "In the literature": str(about.standing),
    }
    for name, text in rows.items():
        if text:
            st.caption(f"**{name}** {ui.escaped(text)}")
    for known in about.standing.elsewhere:
        paper = ui.escaped(f"{known.name}: {known.paper}.")
        st.caption(f"{paper} Beyond this cell: {ui.escaped(known.beyond)}")


def _raised(formula: str) -> str:
    """Returns a formula with its powers raised: T^2 as T²."""
    return re.sub(r"\^(\d)", lambda power: POWERS[int(power[1])], formula)


def _neighbors(picked: pickers.Picked, about: ttr.Description) -> None:
    nearest = [(n, d) for n, d in about.neighbors if n != picked.layer]
    others, more = nearest[:SHOWN_NEIGHBORS], len(nearest[SHOWN_NEIGHBORS:])
    if not others:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption("Nearest published", width="content")
        for name, difference in others:
            st.button(
                f"**{name}** {ui.escaped(difference)}",
                key=f"neighbor.{name}",
                type="tertiary",
                icon=":material/arrow_forward:",
                on_click=_go_to,
                args=(name,),
                help=f"Show {name}.",
            )
        if more:
            st.caption(f"and {more} more as near", width="content")


def _go_to(layer: str) -> None:
    pickers.set_spec(str(ttr.catalog[layer].spec))
    controls.assign("layer", layer)


def _solvers(picked: pickers.Picked) -> None:
    st.markdown("**Who computes this layer**")
    running = judged(picked.text).solver
    for name, refusal in ttr.explain(picked.spec).items():
        with st.container(horizontal=True, gap="small", width=520):
            icon = ":material/check:" if refusal is None else ":material/close:"
            st.badge(name, icon=icon, color="green" if refusal is None else "gray")
            st.text(refusal or ("runs it" if name == running else "could run it, but slower"))


def _source(picked: pickers.Picked) -> None:
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
