"""Figure 2 of the paper, online regression in one pass, and what the figure leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ttr_core.lab import TASKS

from . import figures
from .claim import Finding, Ruling, Scale, Thesis, Word
from .found import Found
from .party import Party
from .ranking import Duel, Entrant, Ranking

DIM, LENGTH = 64, 256
ERROR = TASKS["regression"].main().name
SEEDS_AT: Mapping[Scale, str] = {"quick": "0, 1, 2", "paper": "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"}

LINEAR = {"linear attention": "Uniform | Linear | Hebbian"}
SQUARES = {
    "least squares, no ridge": "Uniform | Linear | Exact(ridge=0)",
    "least squares, tuned ridge": "Uniform | Linear | Exact",
}
SOFTMAX = {
    "softmax, 1/√D": f"ExpKernel(scale={DIM**-0.5}) | Constant | Exact",
    "softmax, tuned": "ExpKernel | Constant | Exact",
}
LOCAL = {
    "local linear, 1/√D": f"ExpKernel(scale={DIM**-0.5}) | Affine | Exact",
    "local linear, tuned": "ExpKernel | Affine | Exact",
}
ALL = {**LINEAR, **SQUARES, **SOFTMAX, **LOCAL}
ORDERS = {"": "fast-slow", " (slow, then fast)": "slow-fast"}
"""The paper's order, and that of its talk."""


def _plan(spec: str, scale: Scale, task: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "specs": [spec],
        "tasks": [{"name": "regression", **{key: str(value) for key, value in task.items()}}],
        "seeds": SEEDS_AT[scale].split(", "),
    }


def figure(scale: Scale) -> tuple[Party, ...]:
    """Returns the layers of Figure 2 under both orders of the two speeds."""
    return tuple(
        Party(
            f"{label}{order}",
            _plan(spec, scale, {"process": "switching", "order": name}),
            drawn=not order,
        )
        for order, name in ORDERS.items()
        for label, spec in ALL.items()
    )


def rivals(
    better: Mapping[str, str], worse: Mapping[str, str], metric: str = "error_after"
) -> tuple[Duel, ...]:
    """Returns the comparisons of each of some layers with each of others, in both orders."""
    return tuple(
        Duel(Entrant(f"{one}{order}", metric), Entrant(f"{other}{order}", metric))
        for order in ORDERS
        for one in better
        for other in worse
    )


def _adapts(labels: Sequence[str]) -> tuple[Duel, ...]:
    return rivals(SOFTMAX, SQUARES)


def _first_order(labels: Sequence[str]) -> tuple[Duel, ...]:
    pairs = zip(LOCAL, SOFTMAX, strict=True)
    return tuple(one for a, b in pairs for one in rivals({a: ""}, {b: ""}))


def _worst(labels: Sequence[str]) -> tuple[Duel, ...]:
    return rivals({**SQUARES, **SOFTMAX, **LOCAL}, LINEAR)


def _repeated(labels: Sequence[str]) -> tuple[Duel, ...]:
    return tuple(
        Duel(Entrant(f"{label}{order}", "repeat_last"), Entrant(f"{label}{order}", ERROR))
        for order in ORDERS
        for label in ALL
    )


CHANGING = {
    "delta rule": "Uniform | Linear | SGD",
    "gated delta rule": "Gate | Linear | SGD",
    "least squares that forgets": "Decay | Linear | RLS",
}
STEADY = {"linear attention": LINEAR["linear attention"], "least squares, tuned ridge": SQUARES[
    "least squares, tuned ridge"
]}  # fmt: skip


def changing(scale: Scale) -> tuple[Party, ...]:
    """Returns layers on a linear map that is replaced halfway."""
    layers = {**CHANGING, **STEADY}
    return tuple(
        Party(label, _plan(spec, scale, {"process": "linear"})) for label, spec in layers.items()
    )


def _forgets(labels: Sequence[str]) -> tuple[Duel, ...]:
    return tuple(
        Duel(Entrant(one, "error_after"), Entrant(other, "error_after"))
        for one in CHANGING
        for other in STEADY
    )


NEAR = 8
"""Steps around the number of dimensions within which a peak is there."""


@dataclass(frozen=True)
class Peak(Thesis):
    """That the error of least squares peaks where there are as many pairs as dimensions."""

    def contenders(self, scale: Scale) -> tuple[Party, ...]:
        return tuple(
            Party(
                f"{label}, switch at {int(LENGTH * share)}",
                _plan(spec, scale, {"process": "switching", "switch": share}),
            )
            for share in (0.25, 0.5)
            for label, spec in SQUARES.items()
        )

    def judged(self, found: Found, scale: Scale) -> Finding:
        lines = {label: found.curve(label, ERROR) for label in found.contenders}
        rows = []
        for label, line in lines.items():
            late = line[line["step"] >= NEAR]
            top = late.loc[late["value"].idxmax()]
            rows.append({"layer": label, "peak at step": int(top["step"]), "peak": top["value"]})
        table = pd.DataFrame(rows)
        bare = table["layer"].str.contains("no ridge")
        there = (table["peak at step"] - DIM).abs() <= NEAR
        many = (
            table.loc[bare, "peak"].to_numpy() / table.loc[~bare, "peak"].to_numpy()
        )  # how much the ridge takes away
        if there[bare].all():
            said = f"Both peaks lie within {NEAR} steps of {DIM}; a tuned ridge leaves "
            said += f"{1 / many.min():.2g} of the peak or less."
            verdict = Ruling(Word.HOLDS, said)
        else:
            steps = ", ".join(map(str, table.loc[bare, "peak at step"]))
            verdict = Ruling(Word.FAILS, f"The peaks are at steps {steps}, not at {DIM}.")
        return Finding(verdict, table, figures.error_lines(lines, DIM), found.n, found.cpu_seconds)


FIGURE = "TTR (https://arxiv.org/abs/2501.12352), section 5, Figure 2"
SWITCHING = f"regression.process=switching&regression.seq_len={LENGTH}"

CLAIMS: tuple[Thesis, ...] = (
    Ranking(
        "softmax-adapts",
        "After the process has changed, softmax attention adapts and unweighted least squares "
        "does not.",
        FIGURE,
        f"{SWITCHING}&layer=softmax-attention&compare=intention",
        runs=figure,
        asked=_adapts,
        curve=ERROR,
        change=LENGTH // 4,
    ),
    Ranking(
        "local-linear-adapts-better",
        "Local linear regression adapts better than local constant regression (softmax).",
        FIGURE,
        f"{SWITCHING}&layer=local-linear-attention&compare=softmax-attention",
        runs=figure,
        asked=_first_order,
        curve=ERROR,
        change=LENGTH // 4,
    ),
    Ranking(
        "linear-attention-is-worst",
        "Linear attention performs the worst, since the covariance of the keys is not the "
        "identity.",
        FIGURE,
        f"{SWITCHING}&layer=linear-attention&compare=intention",
        runs=figure,
        asked=_worst,
        curve=ERROR,
        change=LENGTH // 4,
    ),
    Ranking(
        "repeating-the-last-value",
        "Repeating the last value has a smaller error than every layer of the figure.",
        "ours: what Figure 2 leaves out",
        f"{SWITCHING}&layer=softmax-attention&compare=deltanet",
        runs=figure,
        asked=_repeated,
    ),
    Peak(
        "interpolation-threshold",
        "Part of the failure of least squares is no failure to forget: without a ridge its error "
        "peaks where there are as many pairs as dimensions, wherever the process changes.",
        "ours: in Figure 2 the process changes at T / 4 = 64 = D",
        f"{SWITCHING}&layer=intention&compare=linear-attention",
    ),
    Ranking(
        "forgetting-pays",
        "Where a linear map is replaced halfway, layers that forget have a smaller error after it "
        "than layers that do not.",
        "ours: a process on which adapting can be seen",
        "regression.process=linear&layer=gated-deltanet&compare=linear-attention",
        runs=changing,
        asked=_forgets,
        curve=ERROR,
        change=LENGTH // 2,
        palette=(*ALL, *CHANGING),
    ),
)
