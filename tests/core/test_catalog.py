"""Every catalog entry is complete and equals its paper's recurrence."""

from __future__ import annotations

import inspect

import pytest
import torch
from papers import RECURRENCES
from streams import stream

import ttr_core as ttr
from ttr_core.layers.published import EVIDENCE

NAMES = list(ttr.catalog)


def by_paper(name: str, x: ttr.Stream, params: dict[str, torch.Tensor]) -> torch.Tensor:
    recurrence = RECURRENCES[name]
    asked = inspect.signature(recurrence).parameters
    rows = []
    for h in range(x.k.shape[1]):
        arguments = {n: s[0, h] for n, s in x.signals.items()}
        own = {n.rpartition(".")[2]: p[h] for n, p in params.items()}
        arguments |= {n: p for n, p in {**own, "head": h, "heads": x.heads}.items() if n in asked}
        rows.append(recurrence(x.q[0, h], x.k[0, h], x.v[0, h], **arguments))
    return torch.stack(rows)[None]


def own_tensors(
    spec: ttr.Spec, key_dim: int = 4, value_dim: int = 4, heads: int = 3
) -> dict[str, torch.Tensor]:
    """The spec's own tensors in float64, the learned ones moved away from where they start."""
    moved = {}
    for name, p in spec.parameters(key_dim, value_dim, heads).items():
        wide = p.detach().double() if p.is_floating_point() else p
        if p.requires_grad:
            wide = (wide + 0.1 * torch.randn_like(wide)).requires_grad_()
        moved[name] = wide
    return moved


def test_every_entry_has_a_witness() -> None:
    assert set(RECURRENCES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("length", "heads"), [(9, 3), (70, 2)])
def test_entry_equals_its_papers_recurrence(name: str, length: int, heads: int) -> None:
    spec = ttr.catalog[name].spec
    x = stream(spec, length, heads=heads, key_dim=4, value_dim=4)
    leaves = [z.clone().requires_grad_() for z in (x.q, x.k, x.v, *x.signals.values())]
    own = ttr.Stream(*leaves[:3], dict(zip(x.signals, leaves[3:], strict=True)))
    params = own_tensors(spec, heads=heads)
    ours, theirs = ttr.solve(spec, own, params), by_paper(name, own, params)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    leaves += [p for p in params.values() if p.requires_grad]
    mine, papers = (
        torch.autograd.grad(y.sin().sum(), leaves, allow_unused=True, materialize_grads=True)
        for y in (ours, theirs)
    )
    for got, want in zip(mine, papers, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_entry_is_complete(name: str) -> None:
    entry = ttr.catalog[name]
    assert entry.paper.title and entry.paper.authors and 1980 < entry.paper.year < 2100
    assert entry.paper.url.startswith("https://")
    assert entry.deviation and entry.summary and entry.evidence in EVIDENCE
    assert not entry.spec.objections() and not ttr.caution(entry.spec)
    assert name in ttr.catalog.of(entry.spec)


def test_an_unknown_layer_names_the_nearest() -> None:
    with pytest.raises(ttr.UnknownName, match="Did you mean 'deltanet'"):
        ttr.catalog["delta-net"]
