"""What the text of Explore asks for, and what is drawn: the last layer where the text is none.

The text is the state, and the address carries it. A text that is no spec, or three ingredients that
are no layer, leave the picture as it was, marked, and offer the nearest layers by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import streamlit as st

import ttr_core as ttr
from experiments_db.run.request import usual_frame
from pages._shared import address
from pages._shared.params import OneOf, Words
from ttr_core import RequestError, UnknownName, nearest
from ttr_core.words import standing

DEFAULT_LAYER = "gated-deltanet"
MAX_TEXT = 500
OFFERED = 8
NO_SPEC = (
    "Nothing known looks like it. A layer's name will do, such as deltanet, or three ingredients, "
    "such as Gate | Linear | SGD; the cards above have them all."
)
NO_LAYER = "No single change makes it a layer. Choose another optimizer."
REPAIRS = 3  # mistakes in one text that are put right together


@dataclass(frozen=True)
class Picked:
    """What the controls hold.

    Args:
        spec: what is drawn, always a layer.
        layer: the published layer it was chosen as, or None.
        asked: what the controls say; the same unless that is no layer.
        wrong: why what is asked for is not drawn; nothing where it is.
        offers: texts of the nearest layers, the published ones first; only where it is not.
        nothing_near: what to do where there are none.
    """

    spec: ttr.Spec
    layer: str | None
    asked: ttr.Spec
    wrong: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    nothing_near: str = NO_LAYER

    @property
    def text(self) -> str:
        """The canonical text of what is drawn."""
        return str(self.spec)


def params() -> dict[str, OneOf | Words]:
    """Returns the names of the address that say which layer is asked for and which is drawn."""
    layers = OneOf("layer", ("", *ttr.catalog), "")
    return {"layer": layers, "spec": Words(MAX_TEXT), "drawn": Words(MAX_TEXT)}


def take_over() -> None:
    """Takes the layer and the text over from the address; without any it is the default's."""
    address.take(params())
    if wrong := _no_layer(address.value("drawn")):
        address.complain(f"drawn is no layer in the address: {wrong}")
    if not address.value("spec"):
        layer = address.value("layer") or DEFAULT_LAYER
        address.put("layer", layer)
        address.put("spec", str(ttr.catalog[layer].spec))


def frame_of(picked: Picked) -> str:
    """Returns the frame that a layer is trained in: the one that was chosen, or the usual one."""
    chosen = address.value("frame")
    if chosen == "published" and not picked.layer:
        address.complain("frame is 'published' in the address, which only a published layer has.")
        chosen = None
    return str(chosen or usual_frame(picked.layer))


def set_spec(text: str) -> None:
    """Makes ``text`` the spec; for the callbacks of buttons."""
    address.put("spec", text)


def set_layer(name: str) -> None:
    """Makes a published layer the one on show; for the callbacks of buttons."""
    address.put("layer", name)
    set_spec(str(ttr.catalog[name].spec))


def parsed() -> Picked:
    """Returns what the text says, and keeps what is drawn for the next text that says nothing."""
    text = address.value("spec")
    try:
        spec = ttr.Spec.parse(text)
    except RequestError as error:
        offers = _named_first(_repaired(text))
        drawn = _drawn(offers)
        return _instead(Picked(drawn, None, drawn, (str(error),), offers, NO_SPEC))
    if objections := spec.objections():
        offers = _named_first(spec.alternatives())
        return _instead(Picked(_drawn(offers), None, spec, tuple(objections), offers))
    return _as_asked(spec, text)


def _as_asked(spec: ttr.Spec, text: str) -> Picked:
    if str(spec) != text:
        address.put("spec", str(spec))
    layer = address.value("layer")
    if layer and str(ttr.catalog[layer].spec) != str(spec):
        address.complain(f"layer is {layer!r} in the address, whose spec is another: {spec} stays.")
        layer = ""
        address.put("layer", layer)
    address.put("drawn", str(spec))
    said = {"spec", "layer"} if layer == DEFAULT_LAYER else {"spec"} if layer else set()
    address.imply({"drawn", *said})
    return Picked(spec, layer or None, spec)


def _instead(found: Picked) -> Picked:
    address.put("layer", "")
    address.put("drawn", found.text)
    address.imply(())
    return found


def _drawn(offers: Iterable[str]) -> ttr.Spec:
    """Returns the layer on show; where the address names none, the nearest to what it asks for."""
    for text in (address.value("drawn"), *offers):
        if text and not _no_layer(text):
            return ttr.Spec.parse(text)
    return ttr.catalog[DEFAULT_LAYER].spec


def _no_layer(text: str) -> str:
    """Returns why a text is no layer; nothing where it is one, or where there is none."""
    try:
        return " ".join(ttr.Spec.parse(text).objections()) if text else ""
    except RequestError as error:
        return str(error)


@st.cache_data(max_entries=200, show_spinner=False)
def _named_first(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns some of the texts, those of published layers first."""
    ordered = sorted(dict.fromkeys(texts), key=lambda text: not named(text))
    return tuple(ordered[:OFFERED])


def _repaired(text: str, left: int = REPAIRS) -> tuple[str, ...]:
    """Returns layers whose text is close to one that does not parse.

    A name alone is that of a published layer; an unknown ingredient becomes the nearest known.
    """
    if "|" not in text:
        return tuple(str(ttr.catalog[name].spec) for name in nearest(text, ttr.catalog))
    try:
        spec = ttr.Spec.parse(text)
    except UnknownName as error:
        found: tuple[str, ...] = ()
        word = rf"(?<!\w){re.escape(error.asked)}(?!\w)"
        for name in error.nearest if left else ():
            found += _repaired(re.sub(word, name, text, count=1), left - 1)
        return found
    except RequestError:
        return ()
    return () if spec.objections() else (str(spec),)


@st.cache_data(max_entries=1000, show_spinner=False)
def named(text: str) -> tuple[str, ...]:
    """Returns the published names of a layer's text, the first of them the best known."""
    return standing(ttr.Spec.parse(text), ()).names
