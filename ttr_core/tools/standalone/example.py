"""What stands in an exported file beside the definitions: what it is, its imports, its test."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

D_MODEL, HEADS, TOKENS, NOISE = 8, 2, 12, 0.05
"""Of the example that the test of a file runs."""
RUNS = """

if __name__ == "__main__":
    test()
    print("All agree.")
"""
USUAL = ("from typing import NamedTuple", "import torch", "from torch import Tensor, nn")

TEST = '''\
def example():
    """Returns a small layer, away from its start, and a sequence for it, in float64."""
    source = torch.Generator().manual_seed(0)
    layer = Layer(d_model={d_model}, num_heads={heads}, generator=source)
    with torch.no_grad():
        for p in layer.parameters():
            p += {noise} * torch.randn(p.shape, generator=source)
    x = torch.randn(2, {tokens}, {d_model}, generator=source)
    return layer.double(), x.double()


def test():
    """Compares the layer with stored numbers, with decoding, and with the recurrence."""
    layer, x = example()
    y = layer(x.requires_grad_())
    (slope,) = torch.autograd.grad(y.square().sum(), x)
    close(y[-1, -1], torch.tensor(Y, dtype=y.dtype), 1e-6)
    close(slope[0, 0], torch.tensor(SLOPE, dtype=y.dtype), 1e-5)
    with torch.no_grad():
        state, tokens = None, []
        for token in x.unbind(1):
            one, state = layer.step(token, state)
            tokens.append(one)
        close(torch.stack(tokens, 1), y, 1e-8)
        stream, params = layer.regression(x[:, :6])
        stream = stream.expanded()
        solved, _ = regressed(SOLVER, SPEC, stream, params, None)
        close(solved, recurrence(SPEC, stream, params), 1e-7)


def close(found, wanted, tolerance):
    """Raises where two tensors differ by more than a share of their size."""
    error = (found - wanted).norm() / (1e-6 + wanted.norm())
    assert error <= tolerance, f"off by {{error:.1e}}"'''


def test(y: Iterable[float], slope: Iterable[float]) -> str:
    """Returns the test that a file runs on itself, with what is expected."""
    numbers = {"Y": y, "SLOPE": slope}
    stored = [f"{name} = (\n{_listed(each)}\n)" for name, each in numbers.items()]
    sizes = {"d_model": D_MODEL, "heads": HEADS, "tokens": TOKENS, "noise": NOISE}
    return "\n".join(stored) + "\n\n\n" + TEST.format(**sizes)


def _listed(numbers: Iterable[float]) -> str:
    said = ", ".join(f"{number:.10g}" for number in numbers) + ","
    return textwrap.fill(said, 96, initial_indent="    ", subsequent_indent="    ")


def imports(lines: Iterable[str]) -> str:
    """Returns imports, those of one module together, the standard library's first."""
    modules: dict[str, set[str]] = {}
    plain: set[str] = set()
    for line in (*USUAL, *lines):
        if line.startswith("import "):
            plain.add(line)
            continue
        module, _, names = line.removeprefix("from ").partition(" import ")
        modules.setdefault(module, set()).update(names.split(", "))
    grouped = [f"from {m} import {', '.join(sorted(names))}" for m, names in modules.items()]
    every = sorted([*plain, *grouped], key=lambda line: (line.startswith("from"), line))
    ours = [line for line in every if "torch" not in line]
    return "\n".join(ours) + "\n\n" + "\n".join(line for line in every if "torch" in line)
