"""The middle of Explore: online regression and attention maps, computed anew with every knob.

Nothing is trained and nothing is stored. Results are cached by the spec and the settings;
every computation goes through the server's one door and is clamped to sizes that answer at once.
What the pictures are drawn with is found once, by `pictured`: equations, map, curve and the notes
beside the controls all take it from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import streamlit as st

import ttr_core as ttr
from pages._explore import asked, locks, pictured, sequences
from pages._explore.asked import Picked
from pages._explore.layer import SLOW, Verdict, judged
from pages._explore.pictured import BASELINES, HeldTo, Line, Sequence
from pages._explore.play import film, player
from pages._shared import address, controls, params, ui
from ttr_core import Option, RequestError, constraints, unknown
from ttr_core.lab import Constants, Regression
from ttr_core.words import called

SLOW_MAP_TOKENS, SAMPLED_TOKENS = 24, 64
"""Of the map of a layer that is slow, and of one whose outputs are not linear in the values."""
LARGE_STATE = 2e5
"""Numbers of a state that is not linear in the values, above which a gradient is slow, too."""
COMPARED = ("softmax-attention", "linear-attention")  # beside the layer, until people choose
MOST_COMPARED = 6


def address_params() -> dict[str, params.Param]:
    """Returns the settings by their names in the address."""
    compared = params.Several("layer", tuple(ttr.catalog), COMPARED, MOST_COMPARED)
    step = params.settings_of({"t": STEP})
    return {
        **sequences.sequence_params(),
        **step,
        "beside": params.Words(80),
        "compare": compared,
        locks.HOLD: locks.HeldValues(),
    }


STEP = Option("t", constraints.Whole(0, 16383), None, "The step on show; none: the last.", True)
VISITS, STARTED = "play.visits", "play.started"


@st.cache_data(max_entries=200, show_spinner=False)
def _map(text: str, sequence: Sequence, held: HeldTo, tokens: int) -> dict[str, Any]:
    """Returns the attention map of the first tokens of the first sequence, packed."""
    weights, missed = pictured.attention(text, sequence, held, tokens)
    return {**film.packed(weights), "missed": missed if math.isfinite(missed) else None}


def show(picked: Picked, found: Verdict) -> Constants:
    """Shows the section; returns what the pictures are drawn with."""
    sequences.own_pairs()
    picture = st.container(key="picture")
    try:
        sequence, compared = _knobs(picked, found)
    except RequestError as error:  # two knobs that exclude one another
        controls.refused(error)
        return Constants.fresh(picked.spec)
    with picture, _said_in_words():
        _play(picked, sequence, compared)
    try:
        return pictured.constants(picked.spec.expanded, sequence, locks.values_held(picked.spec))
    except (RequestError, RuntimeError, ArithmeticError):  # said above, where the pictures were
        return Constants.fresh(picked.spec)


@contextmanager
def _said_in_words() -> Iterator[None]:
    """Shows what is refused, and what breaks down numerically, in place of a chart."""
    try:
        yield
    except RequestError as error:
        controls.refused(error)
    except (RuntimeError, ArithmeticError) as error:  # what PyTorch raises: no factorization, ...
        ui.failed("This could not be computed", f"{error}\nFixed constants may help.")


def _knobs(picked: Picked, found: Verdict) -> tuple[Sequence, list[str]]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        sequence = sequences.sequence_knobs(picked.spec, found)
        compared = st.multiselect(
            "Pinned beside it",
            list(ttr.catalog),
            key="compare",
            max_selections=MOST_COMPARED,
            help="Published layers to play in the same picture. Identical specs share one line.",
        )
    return sequence, compared


# --- the chart ---------------------------------------------------------------------------------


def _lines(picked: Picked, compared: list[str]) -> dict[str, str]:
    """Returns expanded spec -> label; layers with the same spec share a line and a label."""
    own = [called(picked.layer)] if picked.layer else [*asked.named(picked.text), picked.text]
    labels = {picked.spec.expanded: own[:1]}
    for name in compared:
        spec = ttr.catalog[name].spec
        known = labels.setdefault(spec.expanded, [])
        if called(name) not in known:  # there is no frame here: some names are of a frame
            known.append(called(name))
    return {text: " = ".join(names) for text, names in labels.items()}


def _play(picked: Picked, sequence: Sequence, compared: list[str]) -> None:
    task = sequence.task
    lines = {
        text: label
        for text, label in _lines(picked, compared).items()
        if text == picked.spec.expanded or judged(text).kind != SLOW
    }
    found: dict[str, Line] = {}
    kept: dict[str, HeldTo] = {picked.spec.expanded: locks.values_held(picked.spec)}
    for i, (text, label) in enumerate(lines.items(), 1):
        # It shows itself where a curve takes long, and how long it has taken.
        with st.spinner(f"Computing {label}, {i} of {len(lines)} curves", show_time=True):
            found[label] = pictured.curve(text, sequence, kept.get(text, ()))
    own = found[lines[picked.spec.expanded]]
    if not any(math.isfinite(e) for curve in found.values() for e in curve.error):
        ui.failed("Nothing to draw", "No error is a number: the sequences themselves hold none.")
        return
    maps = {text: _map_of(text, sequence, kept.get(text, ())) for text in lines}
    layers = [
        film.Layer(label, found[label].error, found[label].spread, maps[text])
        for text, label in lines.items()
    ]
    baselines = {BASELINES[name]: values for name, values in own.baselines.items()}
    alt = {
        "curves": f"Squared error at each step of {', '.join(found)}; mean {_mean(own)}",
        "map": "How much of each past value is in each output",
    }
    start = _start()
    _say_what_is_not_there(start, [layer.name for layer in layers], len(own.error))
    player.show(film.Film(tuple(layers), baselines, task.switch_step, alt, sequence.words), start)
    _below(picked, found, own, task, maps[picked.spec.expanded]["missed"])


def _start() -> player.Start:
    """Returns the step that the address asks for; while somebody plays, the browser decides."""
    if address.reads():
        visit = st.session_state.get(VISITS, 0) + 1
        st.session_state[VISITS] = visit
        st.session_state[STARTED] = player.Start(address.value("t"), visit, address.value("beside"))
    else:
        for name in ("t", "beside"):
            address.take_from_browser(name)
    start: player.Start = st.session_state.setdefault(STARTED, player.Start(None, 0))
    return start


def _say_what_is_not_there(start: player.Start, layers: list[str], steps: int) -> None:
    """Complains of a step behind the last one, and of a layer that is not on show."""
    if start.step is not None and start.step >= steps:
        address.complain(f"t is {start.step} in the address; the last step is {steps - 1}.")
    if start.beside and start.beside not in layers[1:]:
        address.complain(str(unknown("layer beside it", start.beside, layers[1:])))


def _map_of(text: str, sequence: Sequence, held: HeldTo) -> dict[str, Any]:
    """Returns a layer's map: of fewer tokens where it is estimated or the layer is slow."""
    return _map(text, sequence, held, min(sequence.task.seq_len, _map_tokens(text, sequence.task)))


def _map_tokens(text: str, task: Regression) -> int:
    """Returns how many tokens a layer's map shows at most, so that nobody waits for it."""
    spec = ttr.Spec.parse(text)
    if judged(text).kind == SLOW:
        return SLOW_MAP_TOKENS
    if spec.linear_in_v:
        return film.MOST_TOKENS
    large = ttr.state_size(spec, task.dim, task.dim, SAMPLED_TOKENS) > LARGE_STATE
    return SLOW_MAP_TOKENS if large else SAMPLED_TOKENS


def _mean(line: Line) -> str:
    metric = Regression.main()
    return metric.shown(line.metrics[metric.name])


def _constants(own: Line, task: Regression) -> str:
    """Says what the layer on show is drawn with, in a line; nothing where it has no constants."""
    named = [(locks.knob_name(row["name"]), controls.shown(row["value"])) for row in own.facts]
    if not named:
        return ""
    said = ", ".join(f"{name} = {value}" for name, value in named)
    logs = any(name == locks.NAMES["decay"] for name, _ in named)
    note = "; a log decay is the logarithm of the share that a step keeps" if logs else ""
    return f"  \n{task.constants.capitalize()}: {said}{note}"


def _below(
    picked: Picked, found: Mapping[str, Line], own: Line, task: Regression, missed: float | None
) -> None:
    means = " · ".join(f"{ui.escaped(label)} **{_mean(c)}**" for label, c in found.items())
    st.caption(f"Mean squared error: {means}{_constants(own, task)}")
    with st.popover("What am I looking at?", icon=":material/help:", type="tertiary"):
        st.markdown(
            "At step t the memory holds the pairs seen so far, is asked about the next key and "
            "should answer with the next value; no step sees its own answer. Error 1 is what "
            "predicting zero costs. At the dashed line the rule changes: a good memory forgets "
            "what no longer holds. The band is a standard error over sequences. The gray lines "
            "need no memory: the newest value again, the best fixed map, and the noise nobody can "
            "beat. A triangle is an error above the axis."
        )
        st.markdown(
            "The maps are those of the first sequence: row t says how much of each past value is "
            "in output t, blue where it is added, orange where it is taken away, strongest at the "
            "same weight in both."
            + ("" if picked.spec.linear_in_v else
               " This layer is not linear in the values: its map is an average over channels, of "
               f"the first {_map_tokens(picked.spec.expanded, task)} tokens, estimated from random "
               f"signs within {ui.percent(missed)} of its length (a standard error).")
        )  # fmt: skip
