"""Chips below an ingredient: usual choices, each with the name of the layer one would get."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

import ttr_core as ttr
from pages._explore import asked
from pages._shared import ui

SHOWN = 4
"""How many choices of a family have a chip: those that most of the catalog is made of."""
REASON_CHARS = 300


@dataclass(frozen=True)
class Chip:
    """One choice in place of the one in use.

    Args:
        choice: its name.
        text: the spec that one would get.
        named: the best known name of that layer; nothing where it has none.
        reason: why it is no layer; nothing where it is one.
    """

    choice: str
    text: str
    named: str
    reason: str


@st.cache_data(max_entries=1000, show_spinner=False)
def around(text: str, family: str) -> tuple[Chip, ...]:
    """Returns the chips of a family around a spec."""
    spec, classes = ttr.Spec.parse(text), {cls.name: cls for cls in ttr.choices(family)}
    instead: list[tuple[str, dict[str, Any]]] = [
        (n, {family: classes[n]()}) for n in _usual(family)
    ]
    return tuple(_chip(replace(spec, **parts), name) for name, parts in instead)


def _chip(spec: ttr.Spec, choice: str) -> Chip:
    if reasons := spec.objections():
        return Chip(choice, str(spec), "", " ".join(reasons)[:REASON_CHARS])
    return Chip(choice, str(spec), next(iter(asked.named(str(spec))), ""), "")


def _usual(family: str) -> list[str]:
    """Returns the choices of a family that the catalog uses most, in the order of the lists."""
    used: Counter[str] = Counter()
    for entry in ttr.catalog.values():
        part = getattr(entry.spec, family)
        used.update(one.name for one in (part.factors() if family == "weights" else (part,)))
    most = {name for name, _ in used.most_common(SHOWN)}
    return [cls.name for cls in ttr.choices(family) if cls.name in most]


def show(family: str, spec: ttr.Spec) -> None:
    """Shows the chips of a family; one that would make no layer is gray and says why."""
    used = getattr(spec, family)
    with st.container(horizontal=True, gap="xsmall", key=f"chips-{family}"):
        for chip in around(str(spec), family):
            here = chip.choice == used.name
            name = f" {ui.escaped(chip.named)}" if chip.named else ""
            st.button(
                f"**{chip.choice}**{name}",
                key=f"chip.{family}.{chip.choice}",
                type="secondary" if here else "tertiary",
                disabled=bool(chip.reason),
                on_click=None if here else asked.set_spec,
                args=None if here else (chip.text,),
                help=ui.escaped(chip.reason) or ("In use." if here else f"Makes it {chip.text}."),
            )
