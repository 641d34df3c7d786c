"""Tests and times the layers where there is a GPU; docs/gpu.md says how to read it.

``python -m ttr_core.tools.gpu`` takes the GPU; with ``--device cpu --small`` it shows anywhere that
it works. Each published layer runs forward and backward on the device in float32 and on the CPU in
float64, and a few rows are timed over torch's own attention.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..layers.layer import SequenceLayer
from ..layers.published import catalog
from ..solvers import caution
from .bench import Size, benchmark

TOLERANCE = 1e-3
"""Relative error of outputs and gradients in float32 that a layer is to keep within."""

ROWS = (
    "Uniform | Linear | Hebbian",
    "Gate | Linear | Hebbian",
    "ChannelGate | Linear | Hebbian",
    "Gate | Linear | SGD",
    "Uniform | Linear | Exact(ridge=0.1)",
)
LARGE: tuple[Size, ...] = ((8, 16, 8192, 64), (2, 4, 4096, 64), (8, 4, 256, 64))
SMALL: tuple[Size, ...] = ((1, 2, 128, 16),)


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


def main(argv: Sequence[str] | None = None) -> int:
    """Prints both tables; returns how many layers miss the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script")
    parser.add_argument("--small", action="store_true", help="small sizes")
    parser.add_argument("--compile", action="store_true", help="layers by torch.compile")
    asked = parser.parse_args(argv)
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here: --device cpu --small tries the script")
    missed = 0
    print("| layer | error of outputs | of gradients | |\n|---|---|---|---|")
    for name, entry in catalog.items():
        y, slope = errors(name, asked.device, 20 if asked.small else 200, asked.compile)
        fine = max(y, slope) <= TOLERANCE or caution(entry.spec) is not None
        missed += not fine
        print(f"| {name} | {y:.1e} | {slope:.1e} | {'' if fine else '**missed**'} |", flush=True)
    print("\n| solver | shape | type | over attention | ms | peak MiB |\n|---|---|---|---|---|---|")
    for size in SMALL if asked.small else LARGE:
        for dtype in (torch.float32, torch.bfloat16):
            work = ((size, ROWS, "forward+backward"),)
            for row in benchmark(device=asked.device, dtype=dtype, work=work)["rows"]:
                ratio, kind = f"{row['ratio_to_sdpa']:.3f}", row["dtype"]
                spent, held = f"{row['seconds'] * 1e3:.2f}", f"{row['peak_bytes'] / 2**20:.1f}"
                spec = row["name"].replace("|", "\\|")
                print(f"| {spec} | {row['shape']} | {kind} | {ratio} | {spent} | {held} |")
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
