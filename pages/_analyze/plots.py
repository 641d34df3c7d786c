"""Charts of Analyze: data frames in, charts out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from pages._shared import charts, ends, units
from ttr_core.lab import Metric

HEIGHT, ROW = 430, 22  # pixels: of a chart, and of a row of one with a row per choice
KINDS, OTHER, GRAY = 6, "others", "#8A94A0"
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left")
WIDE, TALL, LETTER, POINT = 1150, 250, 6.6, 9  # pixels: of the plane of costs, a letter, a point
NARROW = 500  # pixels: on a plane that is no wider, names would lie on points
LEVELS = (-6, 15, -20, 29)  # pixels from a point of the front to the middle of its name
EDGE = 7  # pixels from an edge of the plane, at which lines are, to the middle of a name
APART = 0.05  # octaves between points that would lie on each other: the width of one
LEAST = 1e-4  # what is missing to the best value, at least, on a logarithmic axis


def missing(values: pd.Series, metric: Metric) -> pd.Series:
    """Returns what is missing to the best value, at least `LEAST`; the metric has bounds."""
    low, high = metric.bounds or (0.0, 1.0)
    return (high - values if metric.rises else values - low).clip(lower=LEAST)


def costs(
    table: pd.DataFrame, best: pd.DataFrame, across: tuple[str, str], axis: str, metric: Metric
) -> alt.LayerChart:
    """Draws results against what a layer costs, with the front of those that nothing beats.

    Args:
        table: columns name, kind, mean, low, high, n, rates and the cost.
        best: the rows of it that are on the front.
        across: the column of the cost, and its title.
        axis: the title of ``kind``.
        metric: what is measured.
    """
    cost = across[0]
    logarithmic = bool(metric.bounds) and "missing" in table.columns
    value = "missing" if logarithmic else "mean"
    up = alt.Scale(type="log", reverse=True, nice=False) if logarithmic else units.scale(metric)
    span = (float(table[cost].min()) / 1.6, float(table[cost].max()) * 1.6)
    x, exact = _costing(across, span)
    height = heights(table[value], logarithmic, None if logarithmic else metric.bounds)
    table = table.assign(place=side_by_side(table[cost], height))
    text = f"{metric.name.replace('_', ' ')}{', missing to the best' if logarithmic else ''}"
    y = alt.Y(f"{value}:Q", title=text, scale=up, axis=_percent(metric))
    domain = sorted(dict.fromkeys(table["kind"]), key=lambda kind: kind == OTHER)
    wide = LETTER * max(map(len, domain)) + 40
    legend = alt.Legend(
        title=axis, orient="bottom", labelLimit=200,
        columns=alt.ExprRef(f"max(1, min({len(domain)}, floor(width / {wide:.0f})))"),
    )  # fmt: skip
    shapes = alt.Scale(domain=domain, range=list(SHAPES))
    color = alt.Color("kind:N", scale=alt.Scale(domain=domain), sort=domain, legend=legend)
    base = alt.Chart(table).encode(x=x)
    names = _front_names(best, across[0], height.loc[best.index], span)
    bars = base.mark_rule(opacity=0.5, color=GRAY).encode(
        y=alt.Y("low:Q", scale=up), y2=alt.Y2("high:Q")
    )
    points = base.mark_point(filled=True, size=70, opacity=0.85).encode(
        y=y, color=color, tooltip=_pointed_at(across, metric),
        shape=alt.Shape("kind:N", scale=shapes, legend=legend),
    )  # fmt: skip
    line = alt.Chart(best).mark_line(interpolate="step-after", color=GRAY, strokeDash=[4, 3])
    said = [
        alt.Chart(part)
        .mark_text(align="left", baseline="middle", dx=7, dy=level, fontSize=12, color=GRAY,
                   fontWeight="bold", opacity=alt.ExprRef(f"width < {NARROW} ? 0 : 1"))
        .encode(x=exact, y=y, text=alt.Text("text:N"))
        for level, part in names.groupby("level")
    ]  # fmt: skip
    drawn = [line.encode(x=exact, y=y), bars, points, *said]
    return alt.LayerChart(layer=drawn).properties(height=HEIGHT)


def _costing(across: tuple[str, str], span: Sequence[float]) -> tuple[alt.X, alt.X]:
    """Returns the axis of costs, by their logarithm, for points side by side and for exact ones."""
    cost, title = across
    scale = alt.Scale(type="log", base=2, domain=list(span), nice=False)
    axis = alt.Axis(format=",.0f", tickCount=6, grid=False)
    placed, exact = (
        alt.X(f"{name}:Q", title=title, scale=scale, axis=axis) for name in ("place", cost)
    )
    return placed, exact


def heights(
    values: pd.Series, logarithmic: bool, bounds: tuple[float, float] | None = None
) -> pd.Series:
    """Returns how many pixels from the top of the plane points are, about.

    Args:
        values: on the vertical axis.
        logarithmic: whether it is that of what is missing, little of which is at the top.
        bounds: of the axis, where it is not as long as the values reach.

    Example:
        >>> heights(pd.Series([0.5, 1.0]), False, (0.0, 1.0)).tolist()
        [125.0, 0.0]
    """
    places = -values.map(math.log) if logarithmic else values
    low, high = bounds or (float(places.min()), float(places.max()))
    return TALL * (high - places) / ((high - low) or 1.0)


def side_by_side(costs: pd.Series, heights: pd.Series) -> pd.Series:
    """Returns costs, those of points that would lie on each other moved apart.

    Args:
        costs: of the points.
        heights: of the points, in pixels.

    Example:
        >>> three = pd.Series([64, 64, 64])
        >>> side_by_side(three, pd.Series([0.0, 1.0, 90.0])).round(1).tolist()
        [62.9, 65.1, 64.0]
    """
    same = costs.groupby([costs, (heights / POINT).round()])
    number, count = same.cumcount(), same.transform("size")
    apart = (APART * (count - 1)).clip(upper=0.5) / (count - 1).clip(lower=1)
    return costs * 2.0 ** (apart * (number - (count - 1) / 2))


def _pointed_at(across: tuple[str, str], metric: Metric) -> list[alt.Tooltip]:
    cost, title = across
    return [
        alt.Tooltip("name:N"),
        alt.Tooltip(f"{cost}:Q", title=title, format=",.0f"),
        alt.Tooltip("said:N", title=metric.name),
        alt.Tooltip("n:Q"),
        alt.Tooltip("rates:Q", title="learning rates"),
    ]


def _front_names(
    best: pd.DataFrame, cost: str, heights: pd.Series, span: Sequence[float]
) -> pd.DataFrame:
    """Returns the front with its names, each at a level where it lies on no other.

    Args:
        best: the front, from the least cost on.
        cost: the column of the costs.
        heights: of its points, in pixels.
        span: ends of the axis of costs.
    """
    taken: list[tuple[float, float, float]] = []  # of a name: where it begins, ends, its middle
    levels: list[int | None] = []
    texts = ends.clipped(list(best["name"]))
    for place, height, text in zip(best[cost], heights, texts, strict=True):
        begins = WIDE * math.log2(place / span[0]) / math.log2(span[1] / span[0])
        free = [
            level
            for level in LEVELS
            if EDGE <= height + level <= TALL - EDGE
            and all(
                begins > end or abs(height + level - middle) > ends.LINE for _, end, middle in taken
            )
        ]
        levels.append(free[0] if free else None)  # else it is at its point and in the table
        if free:
            long = LETTER * len(text) + 12
            taken.append((begins, begins + long, height + free[0]))
    return best.assign(text=texts, level=levels).dropna(subset=["level"])


def lines(
    data: pd.DataFrame, title: str, metric: Metric, ordered: Sequence[str] = ()
) -> alt.LayerChart:
    """Draws results by a setting, a line per layer with its name at the end.

    Args:
        data: columns name, x, mean, low, high, n, said.
        title: of the setting.
        metric: what is measured.
        ordered: the places of ``x`` where these are words.
    """
    names = list(dict.fromkeys(data["name"]))
    numbers = {word: float(i) for i, word in enumerate(ordered)}
    data = data.assign(place=data["x"].map(numbers) if ordered else data["x"].astype(float))
    x, last = _across(data["place"], title, ordered)
    scale = units.scale(metric)
    low, high = metric.bounds or (float(data["low"].min()), float(data["high"].max()))
    color = alt.Color("name:N", scale=alt.Scale(domain=names), sort=names, legend=None)
    base = alt.Chart(data).encode(x=x, color=color)
    y = alt.Y("mean:Q", title=metric.name.replace("_", " "), scale=scale, axis=_percent(metric))
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", scale=scale), y2=alt.Y2("high:Q"))
    dash = alt.StrokeDash(
        "name:N", scale=alt.Scale(domain=names, range=charts.dashes(len(names))), legend=None
    )
    line = base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash)
    tip = [
        alt.Tooltip("name:N"),
        alt.Tooltip("x", title=title),
        alt.Tooltip("said:N", title=metric.name),
        alt.Tooltip("n:Q"),
    ]
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(y=y, tooltip=tip)
    tips = data.loc[data.groupby("name", sort=False)["place"].idxmax()]
    places = ends.apart(list(tips["mean"]), low, high or low + 1.0, HEIGHT - 80)
    tips = tips.assign(end=places, text=tips["name"], place=last)
    drawn = [band, line, dots, ends.labels(tips, x, color, scale)]
    return alt.LayerChart(layer=drawn).properties(height=HEIGHT)


def _across(places: pd.Series, title: str, ordered: Sequence[str]) -> tuple[alt.X, float]:
    """Returns the horizontal axis of lines, with room for names, and where these begin."""
    low, high = float(places.min()), float(places.max())
    if ordered:
        said = "[" + ", ".join(repr(word) for word in ordered) + "][datum.value]"
        axis = alt.Axis(values=list(range(len(ordered))), labelExpr=said, labelAngle=0, grid=False)
        scale = alt.Scale(domain=[low - 0.1, high + max(high - low, 1) * ends.ROOM], nice=False)
        return alt.X("place:Q", title=title, scale=scale, axis=axis), high
    values = sorted(set(places))
    axis = alt.Axis(values=values, format="~s", grid=False)
    if low > 0:
        wide = alt.Scale(type="log", domain=[low, high * (high / low) ** ends.ROOM], nice=False)
    else:
        wide = alt.Scale(domain=[low, high + (high - low) * ends.ROOM], nice=False)
    return alt.X("place:Q", title=title, scale=wide, axis=axis), high


def rates(data: pd.DataFrame, order: Sequence[str], metric: Metric) -> alt.LayerChart:
    """Draws what each learning rate reached, a row per layer, with the window of the good ones.

    Args:
        data: columns name, lr, rate (text), mean, n, said, inside (of the window).
        order: names from the top.
        metric: what is measured.
    """
    low, high = metric.bounds or (float(data["mean"].min()), float(data["mean"].max()))
    tried = [text for _, text in sorted(set(zip(data["lr"], data["rate"], strict=True)))]
    names = alt.Axis(labelLimit=260, title=None, labelOverlap=False, labelFlush=False)
    base = alt.Chart(data).encode(
        x=alt.X("rate:O", sort=tried, title="learning rate", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("name:N", sort=list(order), axis=names),
        tooltip=[
            alt.Tooltip("name:N"), alt.Tooltip("rate:O", title="learning rate"),
            alt.Tooltip("said:N", title=metric.name), alt.Tooltip("n:Q", title="runs"),
            alt.Tooltip("diverged:Q"), alt.Tooltip("window:N", title="window of good rates"),
        ],
    )  # fmt: skip
    color = alt.Color(
        "mean:Q",
        title=metric.name.replace("_", " "),
        scale=alt.Scale(domain=[low, high], scheme="viridis", reverse=not metric.rises),
        legend=alt.Legend(orient="top", format="%" if metric.share else "", gradientLength=200),
    )
    cells = base.mark_rect(stroke="white", strokeWidth=1).encode(color=color)
    good = base.transform_filter("datum.inside").mark_point(
        shape="circle", filled=True, color="white", stroke="black", strokeWidth=0.8, size=40,
        opacity=1,
    )  # fmt: skip
    return alt.LayerChart(layer=[cells, good]).properties(height=ROW * len(order) + 90)


def effects(data: pd.DataFrame, metric: Metric, color: str) -> alt.LayerChart:
    """Draws what each choice adds to a reference, with one standard error and the pairs behind it.

    Args:
        data: as `effects.main_effects` returns it, with low, high, said and count (texts).
        metric: what is measured.
        color: of the ingredient.
    """
    title = f"{metric.name.replace('_', ' ')}, less that of {data['reference'].iloc[0]}"
    points = f"format({100 if metric.share else 1} * datum.value, '+~g')"
    title = f"{title}, points" if metric.share else title
    reach = max(float(data[["low", "high"]].abs().max().max()), 1e-6) * 1.15
    x = alt.X(
        "difference:Q",
        title=title,
        scale=alt.Scale(domain=[-reach, reach * 1.25], nice=False),
        axis=alt.Axis(labelExpr=points, tickCount=5),
    )
    order = data["choice"].tolist()
    names = alt.Axis(labelLimit=190, title=None, labelOverlap=False, labelFlush=False)
    base = alt.Chart(data).encode(
        y=alt.Y("choice:N", sort=order, axis=names),
        tooltip=[
            alt.Tooltip("choice:N"), alt.Tooltip("said:N", title="difference"),
            alt.Tooltip("n:Q", title="pairs of cells"),
        ],
    )  # fmt: skip
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=GRAY).encode(x=alt.X("zero:Q"))
    bars = base.mark_rule(strokeWidth=2, color=color).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"))
    dots = base.mark_point(filled=True, size=70, color=color, opacity=1).encode(x=x)
    counts = base.mark_text(align="left", dx=8, fontSize=11, color=GRAY).encode(
        x=alt.X("high:Q"), text=alt.Text("count:N")
    )
    drawn = [zero, bars, dots, counts]
    return alt.LayerChart(layer=drawn).properties(height=ROW * len(data) + 70)


def crossed(data: pd.DataFrame, titles: tuple[str, str], metric: Metric) -> alt.LayerChart:
    """Draws interactions as a grid of differences between differences, zero in the middle.

    Args:
        data: as `effects.interactions` returns it, with said and count (texts).
        titles: of the two ingredients.
        metric: what is measured.
    """
    reach = max(float(data["difference"].abs().max()), 1e-6)
    base = alt.Chart(data).encode(
        x=alt.X("second:N", title=titles[1], axis=alt.Axis(labelAngle=-30, labelLimit=160)),
        y=alt.Y("first:N", title=titles[0], axis=alt.Axis(labelLimit=200, labelFlush=False)),
        tooltip=[
            alt.Tooltip("first:N", title=titles[0]), alt.Tooltip("second:N", title=titles[1]),
            alt.Tooltip("said:N", title="difference"), alt.Tooltip("n:Q"),
        ],
    )  # fmt: skip
    color = alt.Color(
        "difference:Q",
        title=metric.name.replace("_", " "),
        scale=alt.Scale(domain=[-reach, 0, reach], range=["#F0A36B", "#F7F7F7", "#7DB8E0"]),
        legend=alt.Legend(format="+%" if metric.share else "+~g", gradientLength=120),
    )
    cells = base.mark_rect(stroke=GRAY, strokeWidth=0.5).encode(color=color)
    texts = base.mark_text(fontSize=11, color="black").encode(text=alt.Text("count:N"))
    return alt.LayerChart(layer=[cells, texts]).properties(height=30 * data["first"].nunique() + 90)


def _percent(metric: Metric) -> alt.Axis:
    return alt.Axis(format="~%") if metric.share else alt.Axis()
