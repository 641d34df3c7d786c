"""Controls made from declared settings, so that a new setting shows up by itself.

Every setting of an ingredient, a task or a configuration is an `Option`: a name, a constraint and
a help text. This module turns one into a control.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import streamlit as st

from pages._shared import snippets
from ttr_core import Option, RequestError, constraints

LABELS = {
    "seq_len": "Length",
    "dim": "Dimension",
    "d_model": "Model width",
    "lr": "Learning rate",
    "key_dim": "Key size",
    "mlp": "MLP expansion",
    "kv_heads": "Key/value heads",
    "vocab_size": "Vocabulary",
    "eval_every": "Evaluate every",
    "eval_examples": "Evaluation examples",
}
"""Labels of settings whose short names, which the command line keeps, say too little."""

VISIBLE_CHOICES = 4
"""Up to this many choices all stand side by side; more go into a list."""


def control(option: Option, key: str, on_change: Callable[[], None] | None = None) -> Any:
    """Shows the control of one setting and returns its value, which the session has already.

    Args:
        option: the setting.
        key: its name in the session.
        on_change: called when the user changes it, before the page is drawn again.
    """
    shared = {
        "label": label(option),
        "key": key,
        "help": described(option),
        "on_change": on_change,
    }
    return _drawn(option.constraint, option, shared)


def is_wide(option: Option) -> bool:
    """Says whether the control of a setting needs room for words."""
    return isinstance(option.constraint, constraints.Listed)


def label(option: Option) -> str:
    """Returns the setting's name as a label."""
    words = option.name.replace("_", " ")
    return LABELS.get(option.name, words[:1].upper() + words[1:])


def described(option: Option) -> str:
    """Returns the help text with the range and the default."""
    parts = [option.help.rstrip(".") + "."]
    if isinstance(option.constraint, constraints.Numeric) and option.constraint.interval:
        parts.append(option.constraint.interval.removeprefix("of ").capitalize() + ".")
    parts.append(f"Default: {shown(option.default)}. On the command line: `{option.name}`.")
    return " ".join(parts)


def shown(value: Any) -> str:
    """Returns a value as people read it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


# --- one control for each kind of constraint ---------------------------------------------------


@functools.singledispatch
def _drawn(constraint: constraints.Constraint, option: Option, shared: Mapping[str, Any]) -> Any:
    """Draws the control of a setting; of what has none of its own, a line of text."""
    return st.text_input(**shared)


@_drawn.register
def _(constraint: constraints.Number, option: Option, shared: Mapping[str, Any]) -> float | None:
    size = abs(option.default or 1)
    power = math.floor(math.log10(size)) if size else 0
    return _spun(constraint, option, shared, float(10.0 ** (power - 1)), "%g")


@_drawn.register
def _(constraint: constraints.Whole, option: Option, shared: Mapping[str, Any]) -> int | None:
    size = abs(option.default or 1)
    step = max(1, 2 ** int(math.log2(size / 8))) if size >= 16 else 1
    return _spun(constraint, option, shared, step, "%d")


def _spun(
    constraint: constraints.Numeric,
    option: Option,
    shared: Mapping[str, Any],
    step: Any,
    format: str,
) -> Any:
    """Draws a number with buttons; a step is about a tenth of the default, and round."""
    kind: Any = constraint.kind
    emptied: Any = None if option.optional or option.default is None else "min"
    return st.number_input(
        **shared,
        min_value=None if constraint.low is None else kind(constraint.low),
        max_value=None if constraint.high is None else kind(constraint.high),
        value=emptied,
        step=step,
        format=format,
        placeholder="none",
    )


@_drawn.register
def _(constraint: constraints.Flag, option: Option, shared: Mapping[str, Any]) -> bool:
    return st.toggle(**shared)


@_drawn.register
def _(constraint: constraints.Listed, option: Option, shared: Mapping[str, Any]) -> Any:
    return st.selectbox(**shared, options=constraint.values, format_func=shown)


@_drawn.register
def _(constraint: constraints.Choice, option: Option, shared: Mapping[str, Any]) -> Any:
    values = constraint.values
    if len(values) > VISIBLE_CHOICES or any(len(str(value)) > 12 for value in values):
        return _drawn.dispatch(constraints.Listed)(constraint, option, shared)
    return st.segmented_control(**shared, options=values, required=True, format_func=shown)


def values(options: Iterable[Option], prefix: str) -> dict[str, Any]:
    """Returns the settings of a group that differ from their defaults, as the session has them."""
    found = {
        option.name: st.session_state.get(f"{prefix}.{option.name}", option.default)
        for option in options
    }
    return {
        option.name: found[option.name]
        for option in options
        if snippets.written(found[option.name]) != snippets.written(option.default)
    }


def refused(error: RequestError) -> None:
    """Shows a request that cannot be met, in the words of the error (never as markdown)."""
    with st.container(border=True):
        st.badge("Not possible as asked", icon=":material/edit:", color="orange")
        st.text(str(error))


def first_sentence(text: str) -> str:
    """Returns a summary as one closed sentence, or nothing."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
