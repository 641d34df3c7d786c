"""What an exported file says of itself first: what it is, where it comes from, how it is used."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ...layers.frame import Frame
from ...layers.published import Published
from ...solvers import resolve
from ...space.spec import Spec
from ...words import called, formulas

COLUMNS = 96
LICENSE = (
    "Licensed under the Apache License, Version 2.0: copied from test-time-regression {version}, "
    "whose definitions it holds, cut down to this one layer and changed where it says so."
)
SHAPES = """\
B sequences, H heads, T tokens, D = d_model, K and V the sizes of a head's keys and values.

    Layer(d_model={d_model}, num_heads={num_heads})
    y = layer(x)                    [B, T, D] -> [B, T, D]
    y_t, state = layer.step(x_t, state)   [B, D] -> [B, D], from state None on
    layer.regression(x)             q, k [B, H, T, K], v [B, H, T, V], signals; parameters"""
USE = (
    "It needs PyTorch and nothing else. `python FILE` and `pytest FILE` compare the layer with "
    "stored numbers, with itself token by token, and with the recurrence that defines it."
)


def form(spec: Spec) -> str:
    """Returns which form of a layer is written, in words."""
    solver = resolve(spec)
    if solver.sequential(spec):
        return f"token by token ({solver.name}: {solver.cost}); none that is faster is known here"
    return f"all tokens of a sequence or chunk at once ({solver.name}: {solver.cost} per head)"


def heading(
    spec: Spec, frame: Frame, entry: Published | None, version: str, sizes: dict[str, int]
) -> str:
    """Returns the docstring of an exported file, without its quotes.

    Args:
        spec: the regression.
        frame: what surrounds it.
        entry: the published layer that it is, if it is one.
        version: of this package.
        sizes: ``d_model`` and ``num_heads`` where none are given.
    """
    parts = [_title(spec, frame, entry), textwrap.indent("\n".join(_formulas(spec)), "    ")]
    parts += map(_filled, _source(entry))
    parts += [SHAPES.format(**sizes), _filled(f"Form: {form(spec)}."), _filled(USE)]
    return "\n\n".join([*parts, _filled(LICENSE.format(version=version))]) + "\n"


def _title(spec: Spec, frame: Frame, entry: Published | None) -> str:
    if entry is None:
        return _filled(f"{spec}, as a layer of plain PyTorch.")
    name = entry.name if frame == entry.frame else called(entry.name)
    return f"{_filled(f'{name}: {entry.summary}')}\n\n{_filled(f'As a regression: {spec}.')}"


def _formulas(spec: Spec) -> Iterator[str]:
    for label, latex in zip(("objective", "memory", "output"), formulas(spec), strict=True):
        yield f"{label}: {latex}"


def _source(entry: Published | None) -> Iterator[str]:
    if entry is None:
        return
    paper = entry.paper
    yield f"Source: {paper.title} ({paper.authors}, {paper.year}) {paper.url}"
    yield f"Deviation: {entry.deviations}"


def _filled(text: str) -> str:
    return textwrap.fill(text, COLUMNS, break_long_words=False, break_on_hyphens=False)
