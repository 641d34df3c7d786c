"""Names at the ends of lines, moved apart where they would lie on each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import altair as alt
import pandas as pd

LETTERS, FEW, FEWEST = 24, 12, 9
"""Letters of a name at most, where the chart has no room for them, and where it has least."""

LETTER, LINE = 5.6, 13
"""Pixels of a letter, and between two names."""

ROOM = 0.3
"""The part of the chart to the right of the last point that is left for names."""


def apart(places: Sequence[float], low: float, high: float, height: int) -> list[float]:
    """Returns places on a vertical axis, moved until names there do not lie on each other.

    Args:
        places: where the lines end, on a linear axis.
        low: its lower end.
        high: its upper end.
        height: of the chart in pixels.

    Example:
        >>> [round(x, 2) for x in apart([0.5, 0.5, 0.9], 0, 1, 130)]
        [0.45, 0.55, 0.9]
    """
    least = LINE * (high - low) / height
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    groups = [[places[i], 1.0] for i in order]  # middle and number of names that stand together
    merged: list[list[float]] = []
    for group in groups:
        merged.append(group)
        while len(merged) > 1 and _touch(merged[-2], merged[-1], least):
            middle, count = merged.pop()
            both = merged[-1][1] + count
            merged[-1] = [(merged[-1][0] * merged[-1][1] + middle * count) / both, both]
            half = (both - 1) * least / 2
            merged[-1][0] = min(max(merged[-1][0], low + half), max(high - half, low + half))
    moved = [m + (k - (n - 1) / 2) * least for m, n in merged for k in range(int(n))]
    found = dict(zip(order, moved, strict=True))
    return [found[i] for i in range(len(places))]


def _touch(lower: Sequence[float], upper: Sequence[float], least: float) -> bool:
    return upper[0] - lower[0] < least * (lower[1] + upper[1]) / 2 - 1e-12


def clipped(names: Sequence[str], letters: int = LETTERS) -> list[str]:
    """Returns names as they stand at the ends of lines: a long one is cut where it differs least.

    What is left of it fits no other of the names, as far as that can be had, and its two parts are
    as long as each other where nothing speaks for others.

    Args:
        names: all of a chart.
        letters: of a name, the mark of the cut among them.

    Example:
        >>> clipped(["Gate | Linear(map=elu1) | SGD", "Gate | Affine(map=elu1) | SGD"])
        ['Gate | Line…=elu1) | SGD', 'Gate | Affi…=elu1) | SGD']
    """
    return [
        name if len(name) <= letters else _cut(name, set(names) - {name}, letters - 1)
        for name in names
    ]


def _cut(name: str, others: Collection[str], kept: int) -> str:
    cuts = [(n, kept - n) for n in sorted(range(kept + 1), key=lambda n: abs(2 * n - kept))]
    parts = [(name[:head], name[len(name) - tail :]) for head, tail in cuts]
    alone = [(a, b) for a, b in parts if not any(o.startswith(a) and o.endswith(b) for o in others)]
    return "…".join((alone or parts)[0])


def labels(ends: pd.DataFrame, x: alt.X, color: alt.Color, scale: alt.Scale) -> alt.Chart:
    """Draws names at the ends of lines, each as long as the chart has room for.

    Args:
        ends: columns of ``x`` and ``color``, end (where the name stands) and text, the whole name.
        x: the horizontal axis of the lines, with room to the right.
        color: their color.
        scale: their vertical scale.
    """
    names, room = list(ends["text"]), f"width * {ROOM / (1 + ROOM):.3f} - 6"
    drawn = ends.assign(text=clipped(names), few=clipped(names, FEW), fewest=clipped(names, FEWEST))
    fits = f"length(datum.%s) * {LETTER} < {room}"
    shorter = f"{fits % 'few'} ? datum.few : datum.fewest"
    return (
        alt.Chart(drawn)
        .mark_text(
            align="left",
            dx=6,
            fontSize=11,
            baseline="middle",
            text=alt.ExprRef(f"{fits % 'text'} ? datum.text : {shorter}"),
            limit=alt.ExprRef(room),
        )
        .encode(x=x, y=alt.Y("end:Q", scale=scale), color=color)
    )


def leaders(ends: pd.DataFrame, color: alt.Color) -> list[alt.Chart]:
    """Draws where names belong whose lines end before the column of names; nothing without any.

    Args:
        ends: columns step and end (where the name stands), from_step and smooth (where the line
            ends), and those of ``color``.
        color: of the lines.
    """
    away = ends[ends["from_step"] < ends["step"]]
    rules = alt.Chart(away).mark_rule(strokeWidth=1, strokeDash=[1, 3], opacity=0.6)
    drawn = rules.encode(
        x=alt.X("from_step:Q"),
        x2=alt.X2("step:Q"),
        y=alt.Y("smooth:Q"),
        y2=alt.Y2("end:Q"),
        color=color,
    )
    return [drawn] if len(away) else []
