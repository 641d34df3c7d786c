"""The ingredients' colors: the same in equations and words, and readable on both pages."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages._shared import palette

THEME = tomllib.loads(Path(".streamlit/config.toml").read_text())["theme"]
CASES = [(owner, theme) for owner in palette.INGREDIENTS for theme in ("light", "dark")]


def luminance(color: str) -> float:
    """Returns how bright a color is, as WCAG 2 defines it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(w * x for w, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("owner", "theme"), CASES)
def test_a_color_is_that_of_words_and_readable(owner: str, theme: str) -> None:
    hue = palette.INGREDIENTS[owner]
    color = getattr(hue, theme)
    assert THEME[theme][f"{hue.name}TextColor"] == color
    light, dark = sorted((luminance(color), luminance(THEME[theme]["backgroundColor"])))[::-1]
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_mark_becomes_its_color() -> None:
    latex = palette.colored(r"\function{S_t} = \weights{a_t}")
    assert latex == r"\textcolor{#B84A00}{S_t} = \textcolor{#0072B2}{a_t}"


@pytest.mark.parametrize("name", ["explore", "guide"])
def test_a_page_with_colored_equations_turns_them_with_the_theme(
    page: Callable[..., AppTest], name: str
) -> None:
    app = page(name)
    assert any(r"\textcolor" in latex.value for latex in app.latex)
    assert any(palette.STYLE in one.proto.body for one in app.get("html"))
