"""The sidebar of Explore: three ingredients, or a published layer, or the text of a spec.

The text is the state; the address carries it. Every control here is a view of the parsed text and
writes a new text when it changes. What can be chosen comes from the registered classes, so that a
new ingredient shows up by itself.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import streamlit as st

import ttr_core as ttr
from pages._shared import controls
from ttr_core import Ingredient, RequestError, unknown

DEFAULT_LAYER = "gated-deltanet"
FAMILIES = {
    "function": ("Function class", "What is fitted: the class of functions from keys to values."),
    "optimizer": ("Optimizer", "How it is fitted, token by token or from the whole past."),
    "loss": ("Loss", "What the fit minimizes; squared unless a layer says otherwise."),
    "readout": ("Read-out", "How the fitted function answers the query."),
}
MAX_TEXT = 500


@dataclass(frozen=True)
class Picked:
    """What the sidebar holds.

    Args:
        spec: the spec to show, always a valid text, perhaps not a layer.
        layer: the published layer it was chosen as, or None.
    """

    spec: ttr.Spec
    layer: str | None

    @property
    def text(self) -> str:
        """The canonical text."""
        return str(self.spec)


def read_address() -> list[str]:
    """Puts the spec and layer that the address names in place; returns what was wrong with them."""
    problems = []
    layer = st.session_state.get("layer") or st.query_params.get("layer", "")
    if layer and layer not in ttr.catalog:
        problems.append(str(unknown("layer", layer[:MAX_TEXT], ttr.catalog)))
        layer = ""
    layer = ttr.catalog[layer].name if layer else ""  # as the catalog writes it
    if "compare" not in st.session_state:
        known = set(ttr.catalog)  # the list takes names as the catalog writes them, alone
        asked = [name for name in st.query_params.get_all("compare") if name not in known]
        problems += [str(unknown("layer", name[:MAX_TEXT], ttr.catalog)) for name in asked]
    text = st.session_state.get("spec") or st.query_params.get("spec", "")
    if not text:
        layer = layer or DEFAULT_LAYER
        text = str(ttr.catalog[layer].spec)
    controls.assign("layer", layer)
    controls.assign("spec", text[:MAX_TEXT])
    st.session_state.setdefault("good", str(ttr.catalog[DEFAULT_LAYER].spec))
    return problems


def sidebar() -> Picked:
    """Shows the pickers and returns what they hold."""
    picked, problem = _parse()
    _sync(picked)
    with st.sidebar:
        st.selectbox(
            "Published layer",
            ["", *ttr.catalog],
            key="layer",
            format_func=lambda name: name or "– none: free choice –",
            help="Choosing one fills in its ingredients. Its projections, convolution and gates "
            "(the frame) are used when it is trained.",
            on_change=_layer_chosen,
            bind="query-params",
        )
        _weights(picked.spec)
        _family("function", picked.spec.function)
        _family("optimizer", picked.spec.optimizer)
        with st.expander("Loss and read-out", expanded=_unusual(picked.spec)):
            _family("loss", picked.spec.loss)
            _family("readout", picked.spec.readout)
        st.text_input(
            "The same as text",
            key="spec",
            max_chars=MAX_TEXT,
            help="weights | function class | optimizer. Options in parentheses; weights multiply, "
            "as in Gate * ExpKernel; loss=... and readout=... may follow.",
            bind="query-params",
        )
        for error in filter(None, [problem, st.session_state.pop("picker_error", None)]):
            controls.refused(error)
    return picked


def set_spec(text: str) -> None:
    """Makes ``text`` the spec; for the callbacks of buttons."""
    controls.assign("spec", text)


def _parse() -> tuple[Picked, RequestError | None]:
    """Parses the text; while it does not parse, the last one that did stays on show."""
    problem = None
    try:
        spec = ttr.Spec.parse(st.session_state["spec"])
    except RequestError as error:
        problem, spec = error, ttr.Spec.parse(st.session_state["good"])
    else:
        st.session_state["good"] = str(spec)
        if str(spec) != st.session_state["spec"]:
            controls.assign("spec", str(spec))
    layer = st.session_state["layer"] or None
    if layer and str(ttr.catalog[layer].spec) != str(spec):
        layer = None
        controls.assign("layer", "")
    return Picked(spec, layer), problem


def _layer_chosen() -> None:
    layer = st.session_state["layer"]
    if layer in ttr.catalog:
        set_spec(str(ttr.catalog[layer].spec))


def _unusual(spec: ttr.Spec) -> bool:
    plain = [ttr.choices(family)[0]() for family in ("loss", "readout")]
    return [spec.loss, spec.readout] != plain


# --- from the spec to the controls -------------------------------------------------------------


def _parts(spec: ttr.Spec) -> dict[str, Ingredient]:
    """Returns every ingredient by the key of its control."""
    factors = {f"weights.{i}": part for i, part in enumerate(spec.weights.factors())}
    return {**factors, **{family: getattr(spec, family) for family in FAMILIES}}


def _sync(picked: Picked) -> None:
    """Gives every control the value that the spec has."""
    spec = picked.spec
    names = [factor.name for factor in spec.weights.factors()]
    controls.assign("pick.weights", names[0])
    controls.assign("pick.times", list(dict.fromkeys(names[1:])))
    for key, part in _parts(spec).items():
        if key in FAMILIES:
            controls.assign(f"pick.{key}", part.name)
        _sync_options(f"pick.{key}", part)


def _sync_options(prefix: str, part: Ingredient) -> None:
    for option in part.options():
        value = getattr(part, option.name)
        if isinstance(value, Ingredient):
            _sync_options(f"{prefix}.{option.name}", value)
            value = value.name
        controls.assign(f"{prefix}.{option.name}", value)


# --- the controls ------------------------------------------------------------------------------


def _summaries(family: str) -> dict[str, str]:
    return {cls.name: cls.summary() for cls in ttr.choices(family)}


def _weights(spec: ttr.Spec) -> None:
    names, factors = list(_summaries("weights")), spec.weights.factors()
    st.selectbox(
        "Weights",
        names,
        key="pick.weights",
        on_change=_changed,
        help="How the past is weighted when the regression is fitted. "
        + controls.first_sentence(_summaries("weights").get(factors[0].name, "")),
    )
    st.multiselect(
        "Times",
        [name for name in names if name != st.session_state["pick.weights"]],
        key="pick.times",
        on_change=_changed,
        placeholder="nothing else",
        help="Further weights that multiply the first: a gate times a kernel, say.",
    )
    for i, factor in enumerate(factors):
        if len(factors) > 1 and factor.options():
            st.caption(factor.name)
        _option_controls(f"pick.weights.{i}", factor)


def _family(family: str, current: Ingredient) -> None:
    title, about = FAMILIES[family]
    summaries = _summaries(family)
    st.selectbox(
        title,
        list(summaries),
        key=f"pick.{family}",
        on_change=_changed,
        help=f"{about} {controls.first_sentence(summaries.get(current.name, ''))}",
    )
    _option_controls(f"pick.{family}", current)


def _option_controls(prefix: str, part: Ingredient) -> None:
    """Shows the settings of a chosen ingredient, indented, two in a row."""
    options = part.options()
    if not options:
        return
    with st.container(horizontal=True, gap="small", key=f"box.{prefix}"):
        for option in options:
            with st.container(width=244 if controls.is_wide(option) else 118):
                controls.control(option, f"{prefix}.{option.name}", False, _changed)
    for option in options:
        inner = getattr(part, option.name)
        if isinstance(inner, Ingredient):
            _option_controls(f"{prefix}.{option.name}", inner)


# --- from the controls to the spec -------------------------------------------------------------


def _changed() -> None:
    """Writes the text that the controls now say; the callback of each of them."""
    current = ttr.Spec.parse(st.session_state["good"])
    try:
        set_spec(str(ttr.Spec.parse(_composed(current))))
    except RequestError as error:
        st.session_state["picker_error"] = error


def _composed(current: ttr.Spec) -> str:
    names = [st.session_state["pick.weights"], *st.session_state["pick.times"]]
    factors = current.weights.factors()
    before = {factor.name: i for i, factor in enumerate(factors)}
    weights = [
        _built("weights", name, factors[before[name]], before[name]) if name in before else name
        for name in dict.fromkeys(names)
    ]
    parts = {
        family: _built(family, st.session_state[f"pick.{family}"], getattr(current, family))
        for family in FAMILIES
    }
    text = " | ".join([" * ".join(map(str, weights)), str(parts["function"])])
    return f"{text} | {parts['optimizer']} | loss={parts['loss']} | readout={parts['readout']}"


def _built(family: str, name: str, current: Ingredient, index: int | None = None) -> Ingredient:
    """Returns the ingredient that the controls describe; a newly chosen one has its defaults."""
    prefix = f"pick.{family}" if index is None else f"pick.{family}.{index}"
    if name != current.name:
        return _class(family, name)()
    return _with_options(prefix, current)


def _with_options(prefix: str, current: Ingredient) -> Ingredient:
    values = {}
    for option in current.options():
        key, inner = f"{prefix}.{option.name}", getattr(current, option.name)
        value = st.session_state.get(key, inner)
        if isinstance(inner, Ingredient):
            name = value if isinstance(value, str) else inner.name
            same = name == inner.name
            value = _with_options(key, inner) if same else _class(inner.family, name)()
        values[option.name] = value
    return dataclasses.replace(current, **values)


def _class(family: str, name: str) -> type[Ingredient]:
    known = {cls.name: cls for cls in ttr.choices(family)}
    if name not in known:
        raise unknown(family, name, known)
    return known[name]
