"""The commands that measure the layers themselves: speed, and what they do before training."""

from __future__ import annotations

from typing import Annotated

import typer

from .commands import Json, Output, app
from .door import door
from .screen import print_json, print_table, say, tell, wrote


@app.command()
def bench(
    train: Annotated[
        bool, typer.Option("--train", help="The parts of training steps instead of the solvers.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure speed and memory of every solver on this machine; it takes minutes."""
    with door():
        from ttr_core.tools import benchmark, training_benchmark

        measure = training_benchmark if train else benchmark
        result = measure(lambda done, total, what: say(f"{done} of {total}: {what}"))
        if json:
            print_json(result)
            return
        for name, value in result["machine"].items():
            tell(f"{name}: {value}")
        print_table(result["rows"], tuple(result["rows"][0]))


@app.command()
def vitals(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Layers or specs; default: the whole catalog."),
    ] = None,
    frame: Annotated[
        list[str] | None,
        typer.Option(
            metavar="standard|paper|published", help="What surrounds them; repeatable; all."
        ),
    ] = None,
    length: Annotated[
        list[int] | None,
        typer.Option(min=1, max=65536, metavar="T", help="Tokens for gradients; repeatable."),
    ] = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Measure what fresh layers do: outputs, gradients, half-lives, steps, recall."""
    with door():
        import pandas as pd

        from ttr_core.lab import VITAL_LENGTHS, all_vital_signs

        from ..read import export, listing

        target = None if output is None else listing.output_path(output)
        lengths = tuple(length or VITAL_LENGTHS)
        signs = all_vital_signs(
            tuple(names or ()), tuple(frame or ()), lengths,
            lambda done, total, what: say(f"{done} of {total}: {what}"),
        )  # fmt: skip
        rows = [one.to_dict() for one in signs]
        if target is not None:
            wrote(len(rows), export.write(pd.DataFrame(rows), target))
        if json:
            print_json(rows)
        elif target is None:
            print_table(rows, dict.fromkeys(name for row in rows for name in row))
