"""The command that writes a layer as one file of plain PyTorch, to be taken home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .commands import Overwrite, app
from .door import Exit, complain, door
from .screen import say

SUFFIX = ".py"


@app.command()
def export(
    layer: Annotated[str, typer.Argument(metavar="SPEC|NAME", help="A layer, see `layers`.")],
    output: Annotated[Path, typer.Option(metavar="FILE.py", help="Where the file goes.")],
    frame: Annotated[
        str | None,
        typer.Option(
            metavar="standard|paper|published",
            help="What surrounds the layer; default: published for a name, standard for a spec.",
        ),
    ] = None,
    d_model: Annotated[
        int, typer.Option(min=1, max=4096, metavar="D", help="Size of inputs where none is given.")
    ] = 64,
    heads: Annotated[
        int, typer.Option(min=1, max=256, metavar="H", help="Heads where none are given.")
    ] = 1,
    form: Annotated[
        str, typer.Option(metavar="plain|fla", help="fla: also as flash-linear-attention calls it.")
    ] = "plain",
    overwrite: Overwrite = False,
) -> None:
    """Write a layer as one file that needs PyTorch alone, with a test of its own."""
    with door():
        from ttr_core import how_many
        from ttr_core.lab import one_thread
        from ttr_core.tools import standalone_layer

        from ..read import listing
        from ..store.files import temporary

        place = listing.output_path(output, (SUFFIX,))
        if place.exists() and not overwrite:
            complain(f"{output} is there already: --overwrite replaces it.", Exit.WRONG)
        say("Running the layer to see what it needs: some seconds.")
        with one_thread():  # small tensors: two threads take three times the processor time
            made = standalone_layer(layer, frame, d_model, heads, form)
        draft = temporary(place)
        draft.write_text(made.text, encoding="utf-8")
        draft.replace(place)
        lines = how_many(len(made.text.splitlines()), "line")
        say(f"{made.title} is written to {output}, {lines}.")
        say(f"Its form: {made.form}.")
        if form == "fla":
            say("FlaLayer in it is the layer by the conventions of flash-linear-attention.")
        say(f"`python {output}` runs its test; it needs PyTorch and nothing else.")
