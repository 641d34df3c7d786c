"""How a metric is drawn: columns of tables, axes of charts, each in the unit that it declares."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt
import streamlit as st

from ttr_core.lab import Metric, metrics

LEVELS = ("value", "mean")
"""What stands for the metric itself; the other statistics are beside it."""


def column(metric: Metric, kind: str = "value") -> Any:
    """Returns the column of a metric, or of a statistic of it, all in the metric's unit.

    Args:
        metric: what the column holds.
        kind: ``value``, ``mean``, ``std``, ``median``, ``min`` or ``max``.
    """
    labels = {
        "std": f"± {metric.name}",
        "median": f"Median {metric.name}",
        "min": f"Least {metric.name}",
        "max": f"Most {metric.name}",
    }
    helps = {"value": metric.help, "mean": f"Mean over the runs. {metric.help}",
             "std": "Deviation over the runs."}  # fmt: skip
    label, help = labels.get(kind, metric.title), helps.get(kind, "Over the runs.")
    if metric.share and kind in LEVELS:
        return st.column_config.ProgressColumn(
            label, format=printed(metric), min_value=0.0, max_value=1.0, width=110, help=help
        )
    return st.column_config.NumberColumn(label, format=printed(metric), width=80, help=help)


def printed(metric: Metric) -> str:
    """Returns the format by which a table of the browser writes what `Metric.shown` does."""
    return "percent" if metric.share else f"%.4g {metric.unit}".rstrip().replace(" %", " %%")


def unit_of(curve: str) -> str:
    """Returns the unit of a curve's numbers; that of a loss in training is that of the loss.

    Example:
        >>> unit_of("train_loss"), unit_of("accuracy")
        ('nats', '')
    """
    known = metrics().get(curve) or metrics().get(curve.removeprefix("train_"))
    return "" if known is None or known.share else known.unit


def curve_title(name: str) -> str:
    """Returns the title of a curve's axis, with its unit."""
    return ", ".join(filter(None, [name.replace("_", " "), unit_of(name)]))


def scale(metric: Metric | None) -> alt.Scale:
    """Returns the scale of a curve: the whole range of a bounded metric, else what is there."""
    bounds = metric.bounds if metric is not None else None
    return alt.Scale(zero=False) if bounds is None else alt.Scale(domain=list(bounds))


def axis(metric: Metric | None) -> alt.Axis:
    """Returns the axis of a metric, or of a number that is none."""
    return alt.Axis(format="%") if metric is not None and metric.share else alt.Axis()


def color(metric: Metric) -> Literal["linear", "log"]:
    """Returns how values are colored: errors without a worst value by their logarithm."""
    return "log" if metric.bounds is None and not metric.rises else "linear"
