"""The colors of the three ingredients, in one place: cards, equations, wherever they are named.

Okabe and Ito's blue, vermilion and green, which color-blind readers can tell apart, darker or
lighter until text in them reaches a contrast of 4.5:1 on the page. `.streamlit/config.toml` has the
same for words (``blueTextColor``, ...), and a test compares them.
"""

from __future__ import annotations

from typing import NamedTuple

from ttr_core.words import OWNERS


class Hue(NamedTuple):
    """A color.

    Args:
        name: as Streamlit's markdown calls it.
        light: on the light page.
        dark: on the dark page.
    """

    name: str
    light: str
    dark: str

    @property
    def rgb(self) -> str:
        """The light one as a browser writes it into the style of an element."""
        return f"rgb({', '.join(str(int(self.light[i : i + 2], 16)) for i in (1, 3, 5))})"

    @property
    def css(self) -> str:
        """The color that fits the page's theme, which may change without a run."""
        return f"light-dark({self.light}, {self.dark})"


INGREDIENTS = dict(zip(OWNERS, (
    Hue("blue", "#0072B2", "#56B4E9"),
    Hue("orange", "#B84A00", "#F0833A"),
    Hue("green", "#007A59", "#2EC79B"),
), strict=True))  # fmt: skip

STYLE = "\n".join(
    f".st-key-card-{owner} {{ border-top-color: {hue.css}; }}\n"
    f'.katex [style*="{hue.rgb}"] {{ color: {hue.css} !important; }}'
    for owner, hue in INGREDIENTS.items()
)
"""Cards, and what `colored` has marked, in the theme of the page."""


def colored(latex: str) -> str:
    """Returns marked LaTeX in colors: a mark is the owner's name as a command."""
    for owner, hue in INGREDIENTS.items():
        latex = latex.replace(rf"\{owner}{{", rf"\textcolor{{{hue.light}}}{{")
    return latex
