"""The sequence that is played: which process, or somebody's own words or pairs, and its knobs."""

from __future__ import annotations

import dataclasses
from typing import Any

import streamlit as st

import ttr_core as ttr
from pages._explore import pairs
from pages._explore.layer import SLOW, Verdict
from pages._explore.pictured import Sequence
from pages._shared import address, controls, params
from ttr_core import Option, RequestError, constraints
from ttr_core.lab import Regression

PREFIX = "regression"
OWN_WORDS, OWN_PAIRS = "text", "pairs"
KINDS = {
    "repeated": "repeated keys",
    "linear": "a linear map",
    "switching": "the paper's Figure 2",
    "piecewise-linear": "a piecewise-linear map",
    OWN_WORDS: "your own words",
    OWN_PAIRS: "your own pairs",
}
"""What a process is called here."""
STARTS = {"process": "repeated", "seq_len": 128}
"""Where the page begins otherwise than the task: layers differ most, and the map is clearest."""
MOST = {"seq_len": 1024, "dim": 128, "sequences": 64, "distinct": 256}
"""The largest sizes that the page computes at once; the command line takes larger ones."""
SLOW_MOST = {"seq_len": 32, "dim": 8, "sequences": 4}
"""The largest for a layer that is defined but slow, which is not tuned either."""
FIXED = ("decay", "step")  # signals that are knobs when constants are fixed
OF_THE_SPEC = ("scale", "ridge")  # the cards have them: a second knob would contradict the first
ELSEWHERE = ("process", "text")  # beside the ladder, and below it
ALWAYS, DRAWN = ("constants",), ("seq_len", "dim", "noise")
OF_A_KIND = {"repeated": ("distinct",)}
WIDTHS = {"constants": 140, "seq_len": 130}
SEED = Option("seed", constraints.Whole(0, 2**31 - 1), 0, "Decides the sequences.")
UPLOAD, REFUSED = "upload", "upload.refused"


def options() -> tuple[Option, ...]:
    """Returns the settings, their sizes limited to what a page computes at once."""
    return tuple(_here(one) for one in Regression.options() if one.name not in OF_THE_SPEC)


def _here(option: Option) -> Option:
    default = STARTS.get(option.name, option.default)
    most, constraint = MOST.get(option.name), option.constraint
    if most is not None and isinstance(constraint, constraints.Numeric):
        constraint = dataclasses.replace(constraint, high=most)
    if option.name == "process" and isinstance(constraint, constraints.Choice):
        constraint = dataclasses.replace(constraint, among=(*constraint.among, OWN_PAIRS))
    return dataclasses.replace(option, constraint=constraint, default=default)


def sequence_params() -> dict[str, params.Param]:
    """Returns what an address says of the sequence."""
    named = {f"{PREFIX}.{option.name}": option for option in (*options(), SEED)}
    return {**params.settings_of(named), OWN_PAIRS: params.Words(pairs.MOST_TEXT)}


def kind() -> str:
    """Returns the process, or what stands for one's own pairs."""
    return str(address.value(f"{PREFIX}.process"))


def say_what_cannot_be_read() -> None:
    """Complains of pairs in the address that are none, where it does not stand in their place."""
    if kind() == OWN_PAIRS or not (brought := address.value(OWN_PAIRS)):
        return
    try:
        pairs.unpacked(brought)
    except RequestError as error:
        address.complain(str(error))


def chooser() -> None:
    """Shows the choice of the sequence."""
    st.selectbox(
        "Sequence",
        list(KINDS),
        key=f"{PREFIX}.process",
        width=215,
        label_visibility="collapsed",
        format_func=lambda name: f"on {KINDS[name]}",
        help="What the layer is shown. "
        + next(o.help for o in options() if o.name == "distinct").replace(" (repeated)", "")
        + " A linear map, the paper's Figure 2 and a piecewise-linear map change their rule, too.",
    )


def own_words() -> None:
    """Shows where one's own words are typed, where these are played."""
    if kind() == OWN_WORDS:
        st.text_input(
            "Your words",
            key=f"{PREFIX}.text",
            max_chars=500,
            width=300,
            label_visibility="collapsed",
            help="Words that come round and round: each is asked for the one that follows it.",
        )


def own_pairs() -> None:
    """Shows where one's own pairs are brought, where these are played."""
    if kind() != OWN_PAIRS:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.file_uploader(
            "A CSV of keys and values",
            type=["csv", "txt"],
            key=UPLOAD,
            width=420,
            label_visibility="collapsed",
            on_change=_uploaded,
        )
        st.download_button(
            "An example",
            pairs.example().written(),
            "pairs.csv",
            "text/csv",
            icon=":material/download:",
            help=f"What is read: {pairs.EXPECTED}, {pairs.LEAST_ROWS} to {pairs.MOST_ROWS} "
            f"rows, at most {pairs.MOST_NUMBERS} numbers, kept to three digits.",
        )
        if not address.value(OWN_PAIRS):
            st.caption("Drawn until you bring a file: the example.", width="content")
    if (refused := st.session_state.pop(REFUSED, None)) is not None:
        controls.refused(refused)


def _uploaded() -> None:
    """Takes an uploaded file over into the address, or keeps what is wrong with it."""
    file = st.session_state[UPLOAD]
    if file is None:
        return
    try:
        address.put(OWN_PAIRS, pairs.read(file.name[:60], file.getvalue()).packed())
    except RequestError as error:
        st.session_state[REFUSED] = error


# --- knobs -------------------------------------------------------------------------------------


def sequence_knobs(spec: ttr.Spec, found: Verdict) -> Sequence:
    """Shows the knobs of the sequence that is played, and returns it.

    Raises:
        RequestError: two settings exclude one another, or the address holds no pairs.
    """
    known, slow = {option.name: option for option in options()}, found.kind == SLOW
    drawn = (*OF_A_KIND.get(kind(), ()), *DRAWN) if kind() != OWN_PAIRS else ()
    main = (*drawn, *ALWAYS)
    for name in (*main, *(_signals(spec) if how(found) == "fixed" else ())):
        _knob(known[name], slow and name not in FIXED)
    with st.popover("More", icon=":material/tune:", help="The other settings of the sequence."):
        for name in known:
            if name not in (*main, *FIXED, *ELSEWHERE):
                _knob(known[name], slow)
        _knob(SEED, False)
    values = {name: address.value(f"{PREFIX}.{name}") for name in known}
    if slow:
        values = {name: _slow_value(name, value) for name, value in values.items()}
        st.caption("This layer is slow: it is drawn at the small sizes above, and not tuned.")
    return _sequence(values, int(address.value(f"{PREFIX}.seed")))


def _sequence(values: dict[str, Any], seed: int) -> Sequence:
    brought = ""
    if values["process"] == OWN_PAIRS:
        brought = address.value(OWN_PAIRS) or pairs.example().packed()
        rows = pairs.unpacked(brought)
        length = min(values["seq_len"], len(rows.keys) - 1)
        sizes = {"process": "linear", "seq_len": length, "dim": max(2, len(rows.keys[0]))}
        values = {**values, **sizes, "switch": 1.0}
    return Sequence(tuple(Regression(**values).settings().items()), seed, brought)


def how(found: Verdict) -> str:
    """Says where the constants of the pictures come from, in a word."""
    return "fixed" if found.kind == SLOW else str(address.value(f"{PREFIX}.constants"))


def _signals(spec: ttr.Spec) -> list[str]:
    """Returns the knobs of what the layer's tokens bring along, those that it has."""
    needed = {signal.name.partition(".")[0] for signal in spec.signals}
    return [name for name in FIXED if name in needed]


def _knob(option: Option, slow: bool) -> None:
    """Shows a knob at the value in use: for a slow layer a smaller one, which stays as it is."""
    key, width = f"{PREFIX}.{option.name}", WIDTHS.get(option.name, 105)
    value = address.value(key)
    used = _slow_value(option.name, value) if slow else value
    with st.container(width=width):
        if used == value:
            controls.control(option, key)
            return
        label, help = controls.label(option), controls.described(option)
        st.text_input(label, controls.shown(used), key=f"slow.{key}", disabled=True, help=help)


def _slow_value(name: str, value: Any) -> Any:
    if name == "constants":
        return "fixed"
    return min(value, SLOW_MOST[name]) if name in SLOW_MOST else value
