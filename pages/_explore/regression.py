"""The middle of Explore: online regression and attention maps, computed anew with every knob.

Nothing is trained and nothing is stored. Results are cached by the spec and the settings;
every computation goes through the server's one door and is clamped to sizes that answer at once.
What the pictures are drawn with is found once, by `pictured`: equations, map, curve and the notes
beside the controls all take it from there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import streamlit as st

import ttr_core as ttr
from pages._explore import asked, pictured
from pages._explore.asked import Picked
from pages._explore.layer import SLOW, Verdict, judged
from pages._explore.pictured import BASELINES, Line
from pages._explore.play import film, player
from pages._shared import address, controls, params, ui
from ttr_core import Option, RequestError, constraints
from ttr_core.lab import Constants, Regression
from ttr_core.words import called

PREFIX = "regression"
MOST = {"seq_len": 1024, "dim": 128, "sequences": 64}
"""The largest sizes that the page computes at once; the command line takes larger ones."""
SLOW_MOST = {"seq_len": 32, "dim": 8, "sequences": 4}
"""The largest for a layer that is defined but slow, which is not tuned either."""
SLOW_MAP_TOKENS = 24
"""Of the map of a layer that is slow, or whose outputs are not linear in the values."""
COMPARED = ("softmax-attention", "linear-attention")  # beside the layer, until people choose
MOST_COMPARED = 6
MAIN = ("process", "seq_len", "dim", "noise", "constants")
FIXED = ("decay", "step")  # signals that are knobs when constants are fixed
OF_THE_SPEC = ("scale", "ridge")  # the cards have them: a second knob would contradict the first


def options() -> tuple[Option, ...]:
    """Returns the settings, their sizes limited to what a page computes at once."""
    return tuple(_limited(one) for one in Regression.options() if one.name not in OF_THE_SPEC)


def _limited(option: Option) -> Option:
    most, constraint = MOST.get(option.name), option.constraint
    if most is None or not isinstance(constraint, constraints.Numeric):
        return option
    return dataclasses.replace(option, constraint=dataclasses.replace(constraint, high=most))


def address_params() -> dict[str, params.Param]:
    """Returns the settings by their names in the address."""
    named = {f"{PREFIX}.{option.name}": option for option in (*options(), SEED)}
    compared = params.Several("layer", tuple(ttr.catalog), COMPARED, MOST_COMPARED)
    return {**params.settings_of({**named, "t": STEP}), "compare": compared}


STEP = Option("t", constraints.Whole(0, 16383), None, "The step on show; none: the last.", True)
VISITS, STARTED = "play.visits", "play.started"
SEED = Option("seed", constraints.Whole(0, 2**31 - 1), 0, "Decides the sequences.")


@st.cache_data(max_entries=200, show_spinner=False)
def _map(
    text: str, settings: tuple[tuple[str, Any], ...], seed: int, tokens: int
) -> dict[str, Any]:
    """Returns the attention map of the first tokens of the first sequence, packed."""
    weights, missed = pictured.attention(text, settings, seed, tokens)
    return {**film.packed(weights), "missed": missed if math.isfinite(missed) else None}


def show(picked: Picked, found: Verdict) -> Constants:
    """Shows the section; returns what the pictures are drawn with."""
    picture = st.container()
    try:
        task, seed, compared = _knobs(picked, found)
    except RequestError as error:  # two knobs that exclude one another
        controls.refused(error)
        return Constants.fresh(picked.spec)
    with picture, _said_in_words():
        _play(picked, task, seed, compared)
    try:
        return pictured.constants(picked.spec.expanded, tuple(task.settings().items()), seed)
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


# --- knobs -------------------------------------------------------------------------------------


def _knobs(picked: Picked, found: Verdict) -> tuple[Regression, int, list[str]]:
    known = {option.name: option for option in options()}
    slow = found.kind == SLOW
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for name in MAIN:
            _knob(known[name], slow)
        fixed = how(found) == "fixed"
        for name in _signals(picked.spec) if fixed else ():
            _knob(known[name], False)
        with st.popover("More", icon=":material/tune:", help="The other settings of the process."):
            for name in known:
                if name not in MAIN and name not in FIXED:
                    _knob(known[name], slow)
            _knob(SEED, False)
        compared = st.multiselect(
            "Pinned beside it",
            list(ttr.catalog),
            key="compare",
            max_selections=MOST_COMPARED,
            help="Published layers to play in the same picture. Identical specs share one line.",
        )
    settings = {name: address.value(f"{PREFIX}.{name}") for name in known}
    if slow:
        settings = {name: _slow_value(name, value) for name, value in settings.items()}
        st.caption("This layer is slow: it is drawn at the small sizes above, and not tuned.")
    return Regression(**settings), int(address.value(f"{PREFIX}.seed")), compared


def how(found: Verdict) -> str:
    """Says where the constants of the pictures come from, in a word."""
    return "fixed" if found.kind == SLOW else str(address.value(f"{PREFIX}.constants"))


def _signals(spec: ttr.Spec) -> list[str]:
    """Returns the knobs of what the layer's tokens bring along, those that it has."""
    needed = {signal.name.partition(".")[0] for signal in spec.signals}
    return [name for name in FIXED if name in needed]


def _knob(option: Option, slow: bool) -> None:
    """Shows a knob at the value in use: for a slow layer a smaller one, which stays as it is."""
    widths = {"process": 170, "constants": 140, "seq_len": 130}
    key, width = f"{PREFIX}.{option.name}", widths.get(option.name, 105)
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


def _play(picked: Picked, task: Regression, seed: int, compared: list[str]) -> None:
    settings = tuple(task.settings().items())
    lines = {
        text: label
        for text, label in _lines(picked, compared).items()
        if text == picked.spec.expanded or judged(text).kind != SLOW
    }
    found = {}
    for i, (text, label) in enumerate(lines.items(), 1):
        # It shows itself where a curve takes long, and how long it has taken.
        with st.spinner(f"Computing {label}, {i} of {len(lines)} curves", show_time=True):
            found[label] = pictured.curve(text, settings, seed)
    own = found[lines[picked.spec.expanded]]
    if not any(math.isfinite(e) for curve in found.values() for e in curve.error):
        ui.failed("Nothing to draw", "No error is a number: the sequences themselves hold none.")
        return
    layers = [
        film.Layer(label, found[label].error, found[label].spread, _map_of(text, task, seed, not i))
        for i, (text, label) in enumerate(lines.items())
    ]
    baselines = {BASELINES[name]: values for name, values in own.baselines.items()}
    alt = {
        "curves": f"Squared error at each step of {', '.join(found)}; mean {_mean(own)}",
        "map": "How much of each past value is in each output",
    }
    player.show(film.Film(tuple(layers), baselines, task.switch_step, alt), _start())
    own_map = layers[0].map
    _below(picked, found, own, task, own_map["missed"] if own_map else 0.0)


def _start() -> player.Start:
    """Returns the step that the address asks for; while somebody plays, the browser decides."""
    if address.reads():
        visit = st.session_state.get(VISITS, 0) + 1
        st.session_state[VISITS] = visit
        st.session_state[STARTED] = player.Start(address.value("t"), visit)
    else:
        address.take_from_browser("t")
    start: player.Start = st.session_state.setdefault(STARTED, player.Start(None, 0))
    return start


def _map_of(text: str, task: Regression, seed: int, own: bool) -> dict[str, Any] | None:
    """Returns a layer's map; of one that is beside it only where it costs next to nothing."""
    exact, slow = ttr.Spec.parse(text).linear_in_v, judged(text).kind == SLOW
    if not exact and not own:
        return None
    tokens = min(task.seq_len, film.MOST_TOKENS if exact and not slow else SLOW_MAP_TOKENS)
    return _map(text, tuple(task.settings().items()), seed, tokens)


def _mean(line: Line) -> str:
    metric = Regression.main()
    return metric.shown(line.metrics[metric.name])


def _below(
    picked: Picked, found: Mapping[str, Line], own: Line, task: Regression, missed: float | None
) -> None:
    means = " · ".join(f"{ui.escaped(label)} **{_mean(c)}**" for label, c in found.items())
    tuned = ", ".join(f"{row['name']} = {controls.shown(row['value'])}" for row in own.facts)
    tuned = (
        tuned and f"  \n{task.constants.capitalize()}: {tuned}; a decay is the log of what is kept"
    )
    st.caption(f"Mean squared error: {means}{tuned}")
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
               f"the first {SLOW_MAP_TOKENS} tokens, estimated from random signs within "
               f"{ui.percent(missed)} of its length (a standard error).")
        )  # fmt: skip
