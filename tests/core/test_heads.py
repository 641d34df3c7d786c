"""Every entry in several heads: each a regression of its own, with shared keys, and in hybrids."""

from __future__ import annotations

import pytest
import torch
from test_catalog import by_paper

import ttr_core as ttr
from ttr_core.lab.vitals import MOST, _work
from ttr_core.space.sharpness import LOG_SCALE

EVERY = pytest.mark.parametrize("name", list(ttr.catalog))
FOURTH = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.full_grid if i % 4 else ())
        for i, name in enumerate(ttr.catalog)
    ],
)
"""The rest of the entries belongs to the full grid."""
SHARED = [(2, 1), (4, 2), (4, 4)]
"""Heads of queries, and of keys and values."""
SCALED = [
    name
    for name, entry in ttr.catalog.items()
    if entry.frame.temperature == "learned" and entry.spec.comparisons()
]
D, T, ENDED, LONG = 16, 11, 34, 4096  # 34 tokens: two chunks of 16 have ended
GROWING = ("moneta", "memora", "cosformer")
"""Entries whose gradients grow with the tokens: by a norm of their own, by a divisor that is 0."""


def layer(name: str, heads: int, kv_heads: int) -> ttr.SequenceLayer:
    """A layer in its own frame in float64, whose heads' own tensors differ from one another."""
    entry, source = ttr.catalog[name], torch.Generator().manual_seed(0)
    made = ttr.SequenceLayer(entry.spec, entry.frame, D, heads, kv_heads, T, source).double()
    with torch.no_grad():
        for p in made.own.values():
            if p.requires_grad:
                p.add_(0.05 * torch.randn(p.shape, generator=source).double())
    return made


def apart(x: ttr.Stream) -> ttr.Stream:
    """The stream with what neighboring heads share written out for each."""
    return x.map(lambda z: z[:, [h * z.shape[1] // x.heads for h in range(x.heads)]])


@EVERY
@pytest.mark.parametrize(("heads", "kv_heads"), SHARED)
def test_each_head_is_its_papers_recurrence(name: str, heads: int, kv_heads: int) -> None:
    made, x = layer(name, heads, kv_heads), torch.randn(1, T, D).double()
    with torch.no_grad():
        stream, params = made.regression(x)
    fixed = {n: p for n, p in params.items() if not n.endswith(LOG_SCALE)}
    ours, theirs = ttr.solve(made.spec, stream, fixed), by_paper(name, apart(stream), fixed)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SCALED)
def test_each_head_compares_by_a_scale_of_its_own(name: str) -> None:
    made, x = layer(name, 4, 2), torch.randn(1, T, D).double()
    with torch.no_grad():
        stream, params = made.regression(x)
    assert {n.endswith(LOG_SCALE) for n in params} == {True}
    stream, whole = apart(stream), ttr.solve(made.spec, stream, params)
    for h in range(4):
        alone = stream.map(lambda z, h=h: z[:, h : h + 1])
        own = {n: p[h : h + 1] for n, p in params.items()}
        torch.testing.assert_close(ttr.solve(made.spec, alone, own), whole[:, h : h + 1])
    other = {n: p.roll(1, 0) for n, p in params.items()}
    assert (ttr.solve(made.spec, stream, other) - whole).abs().amax((0, 2, 3)).min() > 1e-4


@FOURTH
def test_a_hybrid_of_shared_heads_decodes_as_it_reads(name: str) -> None:
    config = ttr.ModelConfig(
        (name, "softmax-attention"), depth=2, heads=4, kv_heads=2, d_model=D, frame="published"
    )
    model = ttr.SequenceModel(config, 20, torch.Generator().manual_seed(0), T).double()
    tokens, states, rows = torch.randint(20, (2, ENDED)), None, []
    for t in range(ENDED):
        logits, states = model.step(tokens[:, t], states)
        rows.append(logits)
    torch.testing.assert_close(torch.stack(rows, 1), model(tokens), rtol=1e-7, atol=1e-7)
    model(tokens).square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in trained(model))


@pytest.mark.slow
@EVERY
def test_gradients_of_4096_tokens_are_finite_in_two_heads(name: str) -> None:
    """Of 16 numbers, and of 2 where these would cost minutes.

    Networks in narrower heads grow in it: of 8 numbers, gradients are 7 (titans) to 1e18 (memora).
    """
    source = torch.Generator().manual_seed(0)
    sizes = (32, 4) if _work(ttr.catalog[name].layer(32, 2), LONG) > 10 * MOST else (32,)
    made = ttr.catalog[name].layer(sizes[-1], 2, length=LONG, generator=source)
    x = torch.randn(1, LONG, sizes[-1], generator=source).requires_grad_()
    y = made(x)
    (y * torch.randn(y.shape, generator=source) / y.numel() ** 0.5).sum().backward()
    found = [p.grad for p in (x, *trained(made))]
    assert all(grad is not None and grad.isfinite().all() and grad.any() for grad in found)
    most = 1e10 if name in GROWING else 1e4
    assert max(float(grad.norm()) for grad in found if grad is not None) < most


def trained(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]
