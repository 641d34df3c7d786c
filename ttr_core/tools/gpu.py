"""Tests and times the layers where there is a GPU; docs/gpu.md says how to read it.

``python -m ttr_core.tools.gpu`` takes the GPU; with ``--device cpu --small`` it shows anywhere that
it works. Each published layer runs forward and backward on the device in float32 and on the CPU in
float64, solvers are timed over torch's own attention, and steps of training on the device over
those on the CPU.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UnknownName
from ..lab import MQAR, TrainConfig
from ..lab.learner import Learner
from ..layers.layer import SequenceLayer
from ..layers.model import ModelConfig
from ..layers.published import catalog
from ..solvers import caution
from .bench import Match, benchmark
from .contenders import SDPA, Size

TOLERANCE = 1e-3
"""Relative error of outputs and gradients in float32 that a layer is to keep within."""

ROWS = (
    "Uniform | Linear | Hebbian",
    "Gate | Linear | Hebbian",
    "ChannelGate | Linear | Hebbian",
    "Uniform | Linear | SGD",
    "Gate | Linear | SGD",
    "ChannelGate | Linear | SGD",
    "Uniform | Linear | Exact(ridge=0.1)",
)
LARGE: tuple[Size, ...] = ((8, 4, 256, 64), (2, 4, 4096, 64), (8, 16, 8192, 64))
SMALL: tuple[Size, ...] = ((1, 2, 128, 16),)

TRAINED = (
    "softmax-attention",
    "linear-attention",
    "deltanet",
    "gated-deltanet",
    "kda",
    "mesa-layer",
)
SETTINGS: tuple[tuple[int, int, int, int], ...] = ((64, 8, 32, 64), (512, 64, 256, 256))
"""T, pairs, sequences of a batch and d_model of the steps that are timed."""
TINY: tuple[tuple[int, int, int, int], ...] = ((16, 2, 4, 16),)
STEPS, WARMING = 20, 3


def errors(name: str, device: str, length: int, compiled: bool = False) -> tuple[float, float]:
    """Returns the relative errors of a layer's outputs and of the gradient of its input.

    Args:
        name: an entry of the catalog, in its published frame.
        device: where it is tried.
        length: T.
        compiled: whether by `torch.compile`.
    """
    entry = catalog[name]
    source = torch.Generator().manual_seed(0)
    exact = SequenceLayer(entry.spec, entry.frame, 16, 2, generator=source).double()
    tried = copy.deepcopy(exact).float().to(device)
    x = torch.randn(2, length, 16, generator=source, dtype=torch.float64)
    wanted = _answers(exact, x)
    got = _answers(torch.compile(tried) if compiled else tried, x.float().to(device))
    y, slope = (
        float((a.double().cpu() - b).norm() / b.norm()) for a, b in zip(got, wanted, strict=True)
    )
    return y, slope


def _answers(layer: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad(y.square().sum(), x)
    return y.detach(), slope


def pace(name: str, device: str, setting: tuple[int, int, int, int]) -> float:
    """Returns the seconds of a step of training, of `STEPS` after `WARMING`.

    Args:
        name: an entry of the catalog, in the standard frame.
        device: where it trains.
        setting: T, pairs, sequences of a batch and d_model.
    """
    length, pairs, batch, width = setting
    task = MQAR(seq_len=length, pairs=pairs)
    model = ModelConfig(layers=(name,), frame="standard", d_model=width, heads=width // 64 or 1)
    learner = Learner(task, model, TrainConfig(batch_size=batch), 0.003, 0, device)
    for _ in range(WARMING):
        learner.advance()
    _wait(device)
    start = time.perf_counter()
    for _ in range(STEPS):
        learner.advance()
    _wait(device)
    return (time.perf_counter() - start) / STEPS


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _line(row: dict[str, Any]) -> str:
    """Returns a row of the benchmark as one of the second table."""
    head = f"| {row['name'].replace('|', chr(92) + '|')} | {row['shape']} | {row['dtype']} |"
    if row["skipped"]:
        return f"{head} {row['skipped']} | | |"
    spent, held = row["seconds"] * 1e3, row["peak_bytes"] / 2**20
    return f"{head} {row['ratio_to_sdpa']:.3f} | {spent:.2f} | {held:.1f} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints both tables; returns how many layers miss the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script")
    parser.add_argument("--small", action="store_true", help="small sizes")
    parser.add_argument("--compile", action="store_true", help="layers by torch.compile")
    parser.add_argument("--layers", help="names of the catalog, by commas; every layer without it")
    asked = parser.parse_args(argv)
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here: --device cpu --small tries the script")
    names = asked.layers.split(",") if asked.layers else list(catalog)
    for name in names:
        if name not in catalog:
            parser.error(str(UnknownName("layer", name, catalog)))
    missed = _print_errors(names, asked.device, 20 if asked.small else 200, asked.compile)
    _print_solvers(asked.device, SMALL if asked.small else LARGE)
    _print_training(asked.device, TINY if asked.small else SETTINGS)
    return missed


def _print_errors(names: Sequence[str], device: str, length: int, compiled: bool) -> int:
    missed = 0
    print("| layer | error of outputs | of gradients | |\n|---|---|---|---|")
    for name in names:
        y, slope = errors(name, device, length, compiled)
        fine = max(y, slope) <= TOLERANCE or caution(catalog[name].spec) is not None
        missed += not fine
        print(f"| {name} | {y:.1e} | {slope:.1e} | {'' if fine else '**missed**'} |", flush=True)
    return missed


def _print_solvers(device: str, sizes: Sequence[Size]) -> None:
    print("\n| solver | shape | type | over attention | ms | peak MiB |\n|---|---|---|---|---|---|")
    for size in sizes:
        for dtype in (torch.float32, torch.bfloat16):
            work = (Match((size,), (SDPA, *ROWS)),)
            for row in benchmark(device=device, dtype=dtype, work=work)["rows"]:
                print(_line(row), flush=True)


def _print_training(device: str, settings: Sequence[tuple[int, int, int, int]]) -> None:
    print("\n| layer | T, pairs, sequences, d_model | ms a step | on the CPU |\n|---|---|---|---|")
    for setting in settings:
        for name in TRAINED:
            here, there = (1e3 * pace(name, place, setting) for place in (device, "cpu"))
            print(f"| {name} | {list(setting)} | {here:.1f} | {there:.1f} |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
