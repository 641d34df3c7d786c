"""What a sweep is made of: pickers, all in the address, whose values are the text of a plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
import yaml

import ttr_core as ttr
from experiments_db.sweeps import PROTOCOLS
from pages._shared import address, controls, params, ui
from ttr_core import FRAMES, ModelConfig, Option, options_of
from ttr_core.lab import SEEDS, TASKS, TrainConfig

LAYERS, SPECS, TASK = "sweep.layers", "sweep.specs", "sweep.task"
FRAME, PROTOCOL, OF_SEEDS = "sweep.frame", "sweep.protocol", "sweep.seeds"
USUAL, ITS_OWN = "quick", "usual"
START = ("linear-attention", "deltanet", "gated-deltanet")
MOST, CHARS = 40, 80
"""Layers or specs in an address, and letters of a line of values."""

VARIED = {
    "task": ("pairs", "seq_len", "variant"),
    "model": ("d_model", "depth"),
    "train": ("lr", "steps"),
}
"""The settings that have a line of values; a plan in a file may vary all others, too."""


@dataclass(frozen=True)
class Composed:
    """A sweep as the page composes it.

    Args:
        text: the plan as YAML.
        size: how many runs it has at most.
    """

    text: str
    size: int


def composed() -> Composed | None:
    """Shows the pickers and returns what they make; None without anything to run."""
    _take_over()
    _who()
    groups = _what()
    seeds = _how()
    layers, specs = address.value(LAYERS), address.value(SPECS)
    if not (layers or specs):
        return None
    given = [*(values for group in groups.values() for values in group.values()), seeds]
    size = (len(layers) + len(specs)) * math.prod(max(1, len(values)) for values in given)
    return Composed(_plan(layers, specs, groups, seeds), size)


def lines_of(task: str) -> dict[str, dict[str, Option]]:
    """Returns the settings that have a line of values, by group and name."""
    known = {
        "task": TASKS[task].options(),
        "model": options_of(ModelConfig),
        "train": options_of(TrainConfig),
    }
    return {
        group: {o.name: o for o in options if o.name in VARIED[group]}
        for group, options in known.items()
    }


def read_line(line: str) -> list[Any]:
    """Returns the values of a line, numbers as numbers.

    Example:
        >>> read_line("4, 8,0.01, overwrite")
        [4, 8, 0.01, 'overwrite']
    """
    return [_number(text.strip()) for text in line.split(",") if text.strip()]


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def _take_over() -> None:
    tasks = tuple(name for name, cls in TASKS.items() if cls.trained)
    address.take(
        {
            TASK: params.OneOf("task", tasks, tasks[0]),
            LAYERS: params.Several("published layer", tuple(ttr.catalog), START, most=MOST),
            SPECS: params.Several("spec", most=MOST),
            FRAME: params.OneOf("frame", (ITS_OWN, *FRAMES), ITS_OWN),
            PROTOCOL: params.OneOf("protocol", tuple(PROTOCOLS), USUAL),
            OF_SEEDS: params.Words(CHARS),
        }
    )
    lines = {
        f"sweep.{group}.{name}": params.Words(CHARS)
        for group, options in lines_of(address.value(TASK)).items()
        for name in options
    }
    address.take(lines)


def _who() -> None:
    collected = address.values_of("map").get("map.cells", [])
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.multiselect(
            "Published layers", list(ttr.catalog), key=LAYERS, max_selections=MOST, width=460
        )
        st.multiselect(
            "Specs",
            address.value(SPECS),
            key=SPECS,
            accept_new_options=True,
            max_selections=MOST,
            placeholder="Gate | Linear | SGD",
            help="Free choices, as Explore and the Map write them: type one and press Enter.",
            width=460,
        )
        st.button(
            f"Take the {len(collected)} collected on the Map"
            if collected
            else "Collect on the Map",
            key="sweep.collected",
            icon=":material/grid_view:",
            disabled=not collected,
            on_click=_take_collected,
            args=(collected,),
            help="On the Map, shift and a click on a cell collect it.",
        )


def _take_collected(cells: Sequence[str]) -> None:
    address.put(SPECS, list(dict.fromkeys([*address.value(SPECS), *cells]))[:MOST])
    address.put(LAYERS, [])


def _what() -> dict[str, dict[str, list[Any]]]:
    """Shows the task and the lines of values; returns the values by group and name."""
    found: dict[str, dict[str, list[Any]]] = {}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        task = st.selectbox(
            "Task",
            [name for name, cls in TASKS.items() if cls.trained],
            key=TASK,
            width=150,
            format_func=str.upper,
            help=TASKS[address.value(TASK)].summary(),
        )
        for group, options in lines_of(task).items():
            for name, option in options.items():
                line = st.text_input(
                    controls.label(option),
                    key=f"sweep.{group}.{name}",
                    max_chars=CHARS,
                    width=130,
                    placeholder=controls.shown(option.default),
                    help=f"One value, or several with commas. {controls.described(option)}",
                )
                if values := read_line(line):
                    found.setdefault(group, {})[name] = values
    return found


def _how() -> list[Any]:
    """Shows frame, protocol and seeds; returns the seeds, none where the protocol has its own."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.segmented_control(
            "Frame",
            [ITS_OWN, *FRAMES],
            key=FRAME,
            required=True,
            help="usual: a published layer in its own frame and a free choice in the standard one. "
            "Another: all of them in that frame.",
        )
        protocol = st.segmented_control(
            "Protocol",
            list(PROTOCOLS),
            key=PROTOCOL,
            required=True,
            help="quick: one learning rate. standard: every rate of the grid for every seed. "
            "tuned: the first seed chooses the rate, the others follow.",
        )
        usual = "0" if protocol == USUAL else ", ".join(map(str, range(SEEDS)))
        line = st.text_input(
            "Seeds", key=OF_SEEDS, max_chars=CHARS, width=150, placeholder=usual,
            help="Whole numbers with commas.",
        )  # fmt: skip
    return read_line(line) or read_line(usual)


def _plan(
    layers: Sequence[str],
    specs: Sequence[str],
    groups: dict[str, dict[str, list[Any]]],
    seeds: list[Any],
) -> str:
    frame, protocol = address.value(FRAME), address.value(PROTOCOL)
    task = {"name": address.value(TASK), **groups.get("task", {})}
    model = {**({} if frame == ITS_OWN else {"frame": frame}), **groups.get("model", {})}
    wanted = {
        "layers": list(layers),
        "specs": list(specs),
        "tasks": [task],
        "model": model,
        "train": groups.get("train", {}),
        "protocol": protocol,
        "seeds": seeds,
    }
    kept = {key: value for key, value in wanted.items() if value}
    return yaml.safe_dump(kept, sort_keys=False, width=100, default_flow_style=None)


def too_many(size: int, most: int) -> None:
    """Says that a plan has more runs than the page starts."""
    st.caption(
        f"Up to {ui.count(size)} runs: the page counts and starts plans of {ui.count(most)} at "
        "most. Run it from a terminal, where it may be shared by several machines, too."
    )
