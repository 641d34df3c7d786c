"""The top of Explore: three ingredients, or a published layer, or the text of a spec.

Three cards, each in the color of its ingredient, and with chips that say the name one would get.

Every control here is a view of the parsed text and writes a new text when it changes. What can be
chosen comes from the registered classes, so that a new ingredient shows up by itself.
"""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import ttr_core as ttr
from pages._explore import asked, chips, locks
from pages._explore.asked import Picked
from pages._shared import controls, palette, ui
from ttr_core import Ingredient, Option, RequestError, unknown
from ttr_core.lab import Constants

FAMILIES = {
    "function": ("Function class", "What is fitted: the class of functions from keys to values."),
    "optimizer": ("Optimizer", "How it is fitted, token by token or from the whole past."),
    "loss": ("Loss", "What the fit minimizes; squared unless a layer says otherwise."),
    "readout": ("Read-out", "How the fitted function answers the query."),
}
CARDS = {
    "weights": "What counts",
    "function": "What is fitted",
    "optimizer": "How it is fitted",
}
MORE = ("loss", "readout")
STYLE = f"""<style>
{palette.STYLE}
[class*="st-key-chips-"] button, .st-key-ladder button {{
  min-height: 1.7rem; padding: 0 .5rem; font-size: .85rem;
}}
[class*="st-key-card-"] {{ padding: .6rem .8rem .5rem; border-top-width: 3px; }}
[class*="st-key-card-"] [data-testid="stPopoverButton"], [class*="st-key-lock-"] button {{
  min-height: 1.4rem; padding: 0;
}}
.st-key-ladder button[kind="primary"] {{
  background: color-mix(in srgb, currentColor 10%, transparent); color: inherit;
}}
:has(> .st-key-rung-says) {{ flex: 1 1 15rem; }}
.st-key-rung-says {{ min-height: 2.3rem; justify-content: center; }}
.st-key-rung-says p {{ font-size: .82rem; line-height: 1.15rem; }}
.st-key-update .katex {{ font-size: 1.05em; }}
@media (min-width: 641px) {{ /* what a rung changes moves nothing below it */
  .st-key-ingredients {{ min-height: 182px; }}
  .st-key-update {{ min-height: 64px; }}
}}
@media (max-width: 640px) {{ /* on a phone the picture comes before the name and the knobs */
  .st-key-explored > :is(.st-key-refused, :has(> .st-key-refused)) {{ order: -4; }}
  .st-key-explored > :is(.st-key-played, :has(> .st-key-played)) {{ order: -3; }}
  .st-key-explored > :is(.st-key-picture, :has(> .st-key-picture)) {{ order: -2; }}
  .st-key-explored > :is(.st-key-headline, :has(> .st-key-headline)) {{ order: -1; }}
  .st-key-explored > :is(.st-key-ingredients, :has(> .st-key-ingredients)) {{ order: 1; }}
}}
.katex-display {{ padding-top: .4em; }} /* a high transpose sign would be cut off */
</style>"""
CHOICE, OF_TWO, NARROW = 150, 136, 92  # pixels of a control, and of one of two in a card
UNNAMED = "– free choice –"
ROOM = 2  # settings beside a choice; one that needs words counts twice
SHOWN = "pick.shown"  # the text that the controls were given


@dataclass(frozen=True)
class Cards:
    """What the cards hold.

    Args:
        picked: what is asked for and what is drawn.
        notes: a place below the settings of each ingredient, by the key of its control.
        heads: a place beside the title of each card, by family.
    """

    picked: Picked
    notes: dict[str, DeltaGenerator]
    heads: dict[str, DeltaGenerator]

    def say_drawn(self, constants: Constants, how: str) -> None:
        """Says in the cards which values the pictures are drawn with.

        Args:
            constants: these values.
            how: where they come from, in a word: what is tuned has a lock.
        """
        if how == "tuned":
            locks.show(self.heads, self.picked.spec, constants)
            return
        drawn = _parts(constants.spec)
        for key, part in _parts(self.picked.spec).items():
            other = [
                f"{controls.label(option)} {controls.shown(getattr(drawn[key], option.name))}"
                for option in part.options()
                if getattr(part, option.name) != getattr(drawn[key], option.name)
            ]
            if other and key in self.notes:
                said = ui.escaped(", ".join(other))
                self.notes[key].caption(f":material/lock: drawn with {said} ({how})")


def cards(picked: Picked) -> Cards:
    """Shows the pickers and returns what they hold."""
    st.html(STYLE)
    _sync(picked.asked)
    notes: dict[str, DeltaGenerator] = {}
    heads: dict[str, DeltaGenerator] = {}
    with st.container(key="ingredients"):
        columns = st.columns(3)
    for column, (family, title) in zip(columns, CARDS.items(), strict=True):
        with column.container(border=True, key=f"card-{family}", gap="xsmall", height="stretch"):
            with st.container(horizontal=True, horizontal_alignment="distribute"):
                color = palette.INGREDIENTS[family].name
                st.markdown(f":{color}[**{title}**]", width="content")
                heads[family] = st.container(
                    horizontal=True, gap="small", width="content", key=f"locks-{family}"
                )
                more = _more(family, picked.asked)
            with st.container(horizontal=True, gap="xsmall", vertical_alignment="top"):
                if family == "weights":
                    notes |= _weights(picked.asked)
                else:
                    notes[family] = _family(family, getattr(picked.asked, family), more)
            if family == "optimizer":
                with more:
                    notes |= {loss: _family(loss, getattr(picked.asked, loss)) for loss in MORE}
            chips.show(family, picked.asked)
    if (error := st.session_state.pop("picker_error", None)) is not None:
        controls.refused(error)
    return Cards(picked, notes, heads)


def _more(family: str, spec: ttr.Spec) -> DeltaGenerator:
    """Returns the place of what is rarely changed, behind a button where there is any."""
    used = getattr(spec, family)
    if family == "weights" or (family != "optimizer" and not _parted(used)[1]):
        return st.container()
    label = ":orange[More]" if _unusual(spec) and family == "optimizer" else "More"
    return st.popover(label, type="tertiary", help="Settings that are rarely changed.")


def _parted(part: Ingredient) -> tuple[list[Option], list[Option]]:
    """Returns the settings that stand beside a choice on one line, and the rest."""
    beside: list[Option] = []
    room = ROOM
    for option in part.options():
        room -= 2 if controls.is_wide(option) else 1
        if room >= 0:
            beside.append(option)
    return beside, [option for option in part.options() if option not in beside]


def whole() -> None:
    """Shows the controls of the whole spec: a published layer, and the text."""
    with _labelled("Layer"):
        _published()
    with _labelled("as text"):
        _as_text()


def _labelled(label: str) -> DeltaGenerator:
    """A label left of a control, which stay together where a window is narrow."""
    box = st.container(horizontal=True, vertical_alignment="center", gap="xsmall", width="content")
    box.caption(label, width="content")
    return box


def _published() -> None:
    st.selectbox(
        "Published layer",
        ["", *ttr.catalog],
        key="layer",
        width=210,
        label_visibility="collapsed",
        format_func=lambda name: name or UNNAMED,
        help="Choosing a published layer fills in its ingredients; trained, it has its own "
        "projections, convolution and gates unless another frame is chosen below. A free choice "
        "has the standard ones, also where its ingredients are those of a published layer.",
        on_change=_layer_chosen,
    )


def _as_text() -> None:
    st.text_input(
        "The same as text",
        key="spec",
        width=290,
        label_visibility="collapsed",
        max_chars=asked.MAX_TEXT,
        help="weights | function class | optimizer. Options in parentheses; weights multiply, "
        "as in Gate * ExpKernel; loss=... and readout=... may follow.",
    )


def _layer_chosen() -> None:
    layer = st.session_state["layer"]
    if layer in ttr.catalog:
        asked.set_layer(layer)


def _unusual(spec: ttr.Spec) -> bool:
    plain = [ttr.choices(family)[0]() for family in ("loss", "readout")]
    return [spec.loss, spec.readout] != plain


# --- from the spec to the controls -------------------------------------------------------------


def _parts(spec: ttr.Spec) -> dict[str, Ingredient]:
    """Returns every ingredient by the key of its control."""
    factors = {f"weights.{i}": part for i, part in enumerate(spec.weights.factors())}
    return {**factors, **{family: getattr(spec, family) for family in FAMILIES}}


def _sync(spec: ttr.Spec) -> None:
    """Gives every control the value that the spec has."""
    st.session_state[SHOWN] = str(spec)
    names = [factor.name for factor in spec.weights.factors()]
    st.session_state["pick.weights"] = names[0]
    st.session_state["pick.times"] = list(dict.fromkeys(names[1:]))
    for key, part in _parts(spec).items():
        if key in FAMILIES:
            st.session_state[f"pick.{key}"] = part.name
        _sync_options(f"pick.{key}", part)


def _sync_options(prefix: str, part: Ingredient) -> None:
    for option in part.options():
        value = getattr(part, option.name)
        if isinstance(value, Ingredient):
            _sync_options(f"{prefix}.{option.name}", value)
            value = value.name
        st.session_state[f"{prefix}.{option.name}"] = value


# --- the controls ------------------------------------------------------------------------------


def _summaries(family: str) -> dict[str, str]:
    return {cls.name: cls.summary() for cls in ttr.choices(family)}


def _weights(spec: ttr.Spec) -> dict[str, DeltaGenerator]:
    """Shows the factors with their settings; returns a place below each."""
    names, factors = list(_summaries("weights")), spec.weights.factors()
    st.selectbox(
        "Weights",
        names,
        key="pick.weights",
        width=OF_TWO,
        on_change=_changed,
        help="How the past is weighted when the regression is fitted. "
        + controls.first_sentence(_summaries("weights").get(factors[0].name, "")),
    )
    st.multiselect(
        "Times",
        [name for name in names if name != st.session_state["pick.weights"]],
        key="pick.times",
        width=OF_TWO,
        on_change=_changed,
        placeholder="nothing else",
        help="Further weights that multiply the first: a gate times a kernel, say.",
    )
    notes = {}
    for i, factor in enumerate(factors):
        if len(factors) > 1 and factor.options():
            st.caption(factor.name, width="content")
        _option_controls(f"pick.weights.{i}", factor)
        notes[f"weights.{i}"] = st.empty()
    return notes


def _family(family: str, current: Ingredient, more: DeltaGenerator | None = None) -> DeltaGenerator:
    """Shows a family's choice with its settings; returns a place beside them."""
    title, about = FAMILIES[family]
    summaries = _summaries(family)
    st.selectbox(
        title,
        list(summaries),
        key=f"pick.{family}",
        width=CHOICE,
        on_change=_changed,
        help=f"{about} {controls.first_sentence(summaries.get(current.name, ''))}",
    )
    _option_controls(f"pick.{family}", current, more)
    return st.empty()


def _option_controls(prefix: str, part: Ingredient, more: DeltaGenerator | None = None) -> None:
    """Shows the settings of a chosen ingredient: side by side, and in ``more`` what is too much."""
    beside, rest = _parted(part) if more is not None else (part.options(), ())
    for option in beside:
        _option_control(prefix, part, option, more)
    if more is not None:
        with more:
            for option in rest:
                _option_control(prefix, part, option, None)


def _option_control(
    prefix: str, part: Ingredient, option: Option, more: DeltaGenerator | None
) -> None:
    with st.container(width="content" if controls.is_wide(option) else NARROW):
        controls.control(option, f"{prefix}.{option.name}", _changed)
    inner = getattr(part, option.name)
    if isinstance(inner, Ingredient):
        with more if more is not None else nullcontext():
            _option_controls(f"{prefix}.{option.name}", inner)


# --- from the controls to the spec -------------------------------------------------------------


def _changed() -> None:
    """Writes the text that the controls now say; the callback of each of them."""
    current = ttr.Spec.parse(st.session_state[SHOWN])
    try:
        asked.set_spec(str(ttr.Spec.parse(_composed(current))))
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
