"""Controls made from declared settings, so that a new setting shows up by itself.

Every setting of an ingredient, a task or a configuration is an `Option`: a name, a kind, a range
and a help text. This module turns one into a control, and checks what an address says against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import streamlit as st

from ttr_core import Option, RequestError, nearest, unknown

LABELS = {
    "seq_len": "Length",
    "dim": "Dimension",
    "d_model": "Model width",
    "lr": "Learning rate",
    "mlp": "MLP expansion",
    "kv_heads": "Key/value heads",
    "vocab_size": "Vocabulary",
    "eval_every": "Evaluate every",
    "eval_examples": "Evaluation examples",
}
"""Labels of settings whose short names, which the command line keeps, say too little."""

VISIBLE_CHOICES = 4
"""Up to this many choices all stand side by side; more go into a list."""


def control(
    option: Option, key: str, bound: bool = True, on_change: Callable[[], None] | None = None
) -> Any:
    """Shows the control of one setting and returns its value.

    Args:
        option: the setting.
        key: its name in the session, and in the address if ``bound``.
        bound: whether the value stands in the address.
        on_change: called when the user changes it, before the page is drawn again.
    """
    shared = {
        "label": label(option),
        "key": key,
        "help": describe(option),
        "on_change": on_change,
        "bind": "query-params" if bound else None,
    }
    return _KINDS[option.kind](option, shared)


def label(option: Option) -> str:
    """Returns the setting's name as a label."""
    words = option.name.replace("_", " ")
    return LABELS.get(option.name, words[:1].upper() + words[1:])


def describe(option: Option) -> str:
    """Returns the help text with the range and the default."""
    parts = [option.help.rstrip(".") + "."]
    if option.low is not None and option.high is not None:
        parts.append(f"From {option.low:g} to {option.high:g}.")
    elif option.low is not None:
        parts.append(f"At least {option.low:g}.")
    elif option.high is not None:
        parts.append(f"At most {option.high:g}.")
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


def assign(key: str, value: Any) -> None:
    """Gives a control its value from code, before it is shown.

    Streamlit wants no default beside an assigned value, so it is noted which keys are assigned.
    """
    st.session_state[key] = value
    st.session_state.setdefault("assigned", set()).add(key)


def is_assigned(key: str) -> bool:
    """Says whether a page has assigned the value of a control."""
    return key in st.session_state.get("assigned", ())


def _number(option: Option, shared: Mapping[str, Any]) -> float | int | None:
    kind = int if option.kind == "int" else float
    default = "min" if is_assigned(shared["key"]) else option.default
    return st.number_input(
        **shared,
        min_value=None if option.low is None else kind(option.low),
        max_value=None if option.high is None else kind(option.high),
        value=default if default in ("min", None) else kind(default),
        step=_step(option),
        format="%d" if kind is int else "%g",
        placeholder="none",
    )


def _step(option: Option) -> float | int:
    """Returns a step of about a tenth of the default, a round number in its unit."""
    size = abs(option.default or 1)
    power = math.floor(math.log10(size)) if size else 0
    if option.kind == "int":
        return max(1, 2 ** int(math.log2(size / 8))) if size >= 16 else 1
    return float(10.0 ** (power - 1))


def _switch(option: Option, shared: Mapping[str, Any]) -> bool:
    default = False if is_assigned(shared["key"]) else bool(option.default)
    return st.toggle(**shared, value=default)


def _choice(option: Option, shared: Mapping[str, Any]) -> Any:
    default = getattr(option.default, "name", option.default)
    index = 0 if is_assigned(shared["key"]) else option.choices.index(default)
    few = len(option.choices) <= VISIBLE_CHOICES and all(len(str(c)) <= 12 for c in option.choices)
    if few and option.kind == "choice":
        chosen = None if is_assigned(shared["key"]) else default
        return st.segmented_control(
            **shared, options=option.choices, default=chosen, required=True, format_func=shown
        )
    return st.selectbox(**shared, options=option.choices, index=index, format_func=shown)


def _text(option: Option, shared: Mapping[str, Any]) -> str:
    default = "" if is_assigned(shared["key"]) else shown(option.default)
    return st.text_input(**shared, value=default)


_KINDS: dict[str, Callable[[Option, Mapping[str, Any]], Any]] = {
    "float": _number,
    "int": _number,
    "bool": _switch,
    "choice": _choice,
    "map": _choice,
    "text": _text,
    "names": _text,
}


def read_address(options: Mapping[str, Option]) -> list[str]:
    """Checks what the address says of some settings and puts the nearest valid values in place.

    Args:
        options: name in the address -> the setting it is of.

    Returns:
        one sentence for each value that was not valid.
    """
    groups = {key.partition(".")[0] for key in options}
    problems = [
        str(unknown("name in the address", key[:80], nearest(key, options) or options))
        for key in st.query_params
        if "." in key and key.partition(".")[0] in groups and key not in options
    ]
    for key, option in options.items():
        if key in st.query_params and key not in st.session_state:
            value, problem = checked(key, option, st.query_params[key])
            if problem or value is None:
                assign(key, value)
            problems += [problem] if problem else []
    return problems


def checked(key: str, option: Option, raw: str) -> tuple[Any, str | None]:
    """Returns the value that ``raw`` names, or the nearest valid one and a sentence about it."""
    if option.optional and raw.lower() in ("none", ""):
        return None, None
    if option.kind in ("int", "float"):
        return _checked_number(key, option, raw)
    if option.kind in ("choice", "map"):
        valid = {str(choice): choice for choice in option.choices}
        if raw in valid:
            return valid[raw], None
        default = str(getattr(option.default, "name", option.default))
        closest = (*nearest(raw, valid, n=1), default)[0]
        return valid[closest], f"{key} is {raw!r} in the address; using {closest!r}, the nearest."
    return raw, None


def _checked_number(key: str, option: Option, raw: str) -> tuple[Any, str | None]:
    kind = int if option.kind == "int" else float
    try:
        number = float(raw)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        default = shown(option.default)
        return option.default, f"{key} is {raw!r} in the address, not a number; using {default}."
    low = -math.inf if option.low is None else option.low
    high = math.inf if option.high is None else option.high
    value = kind(min(max(number, low), high))
    if value == number:
        return value, None
    return value, f"{key} is {raw} in the address; using {shown(value)}, the nearest valid value."


def values(options: Iterable[Option], prefix: str) -> dict[str, Any]:
    """Returns the settings of a group that differ from their defaults, as the session has them."""
    found = {
        option.name: st.session_state.get(f"{prefix}.{option.name}", option.default)
        for option in options
    }
    return {
        option.name: found[option.name]
        for option in options
        if found[option.name] != option.default
    }


def refused(error: RequestError) -> None:
    """Shows a request that cannot be met, in the words of the error (never as markdown)."""
    with st.container(border=True):
        st.badge("Not possible as asked", icon=":material/edit:", color="orange")
        st.text(str(error))


def first_sentence(text: str) -> str:
    """Returns a summary as one closed sentence, or nothing."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
