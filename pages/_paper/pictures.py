"""Pictures of claims as the page draws them: its width, and colors that fit its theme."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

LIGHTER = {
    "#0072B2": "#56B4E9", "#D55E00": "#F0833A", "#009E73": "#2EC79B", "#CC79A7": "#E3A3C6",
    "#56B4E9": "#9AD1F5", "#E69F00": "#F2C14E", "#666666": "#B9C2CB", "#000000": "#FFFFFF",
}  # fmt: skip
"""Okabe and Ito's colors -> the same hues on the dark page."""
FIT = {"type": "fit-x", "contains": "padding"}
"""The width of the page; legends add to the height and take none from the picture."""

HEX = re.compile("|".join(LIGHTER))


def in_theme(chart: Mapping[str, Any], dark: bool) -> dict[str, Any]:
    """Returns a chart of Vega-Lite as wide as its place, in the colors of the page.

    Args:
        chart: as `Finding` or a file has it.
        dark: whether the page is.
    """
    text = json.dumps({**chart, "width": "container", "autosize": FIT})
    own = HEX.sub(lambda found: LIGHTER[found[0]], text) if dark else text
    drawn: dict[str, Any] = json.loads(own)
    drawn.pop("config", None)  # the page's own
    return drawn
