"""Frames that make the pairs which are regressed, against their papers, token by token."""

from __future__ import annotations

import pytest
import torch
from test_properties import close
from torch import Tensor

import ttr_core as ttr
from ttr_core.layers.gates import GATES, MadePairs

NAMES = [n for n, e in ttr.catalog.items() if issubclass(GATES[e.frame.gates], MadePairs)]
LENGTH, SIZE = 70, 4  # longer than a chunk


def made(name: str) -> tuple[torch.nn.Module, ttr.Stream, ttr.Stream]:
    """The gates of a fresh layer of one head, with generic inputs and what they make of them."""
    layer = ttr.catalog[name].layer(SIZE, 1, generator=torch.Generator().manual_seed(0)).double()
    for p in layer.signals.parameters():
        p.data += 0.3 * torch.randn_like(p)
    source = torch.randn(1, LENGTH, SIZE, dtype=torch.float64)
    q, k, v = torch.randn(3, 1, 1, LENGTH, SIZE, dtype=torch.float64)
    after, _ = layer.signals(source, ttr.Stream(q, k, v), {})
    return layer.signals, ttr.Stream(q, k, v, dict(after.signals)), after


def rms(x: Tensor) -> Tensor:
    return x / (x.square().mean() + torch.finfo(x.dtype).eps).sqrt()


def memory_mosaics(gates: torch.nn.Module, x: ttr.Stream) -> list[list[Tensor]]:
    """Zhang et al. 2024: k_T = Norm(k~_T + leak k-bar_{T-1}), the pair (k_T, v_{T+1})."""
    leak, peek = gates.leak.sigmoid(), gates.peek.sigmoid()
    q, k, v = (z[0, 0] for z in (x.q, x.k, x.v))
    asked = held = torch.zeros(SIZE, dtype=torch.float64)
    before, rows = torch.zeros(SIZE, dtype=torch.float64), []
    for t in range(LENGTH):
        asked = q[t] + leak * asked
        key = held / held.norm() if t else held
        rows.append([asked / asked.norm(), key, rms(v[t] + peek * before)])
        held, before = k[t] + leak * held, v[t]
    return rows


def gated_slot_attention(gates: torch.nn.Module, x: ttr.Stream) -> list[list[Tensor]]:
    """Zhang et al. 2024, Eq. 9: K_t = Diag(a) K_{t-1} + (1 - a) k^T, p = softmax(K q).

    Undivided as in its authors' code: flash-linear-attention, fla/layers/gsa.py, scale=1.
    """
    q, k, v = (z[0, 0] for z in (x.q, x.k, x.v))
    K, rows = torch.zeros(SIZE, SIZE, dtype=torch.float64), []
    for t in range(LENGTH):
        a = x.signals["decay"][0, 0, t].exp()
        K = a[:, None] * K + torch.outer(1 - a, k[t])
        rows.append([torch.softmax(K @ q[t], 0), 1 - a, v[t]])
    return rows


def higher_order_linear_attention(gates: torch.nn.Module, x: ttr.Stream) -> list[list[Tensor]]:
    """Zhang et al. 2025: M_t = sum k k^T, what is summed up are the values by M_t q_t."""
    q, k, v = (z[0, 0] for z in (x.q, x.k, x.v))
    M, rows = torch.zeros(SIZE, SIZE, dtype=torch.float64), []
    for t in range(LENGTH):
        M = M + torch.outer(k[t], k[t])
        rows.append([q[t], M @ q[t], v[t]])
    return rows


MADE = {
    "gated-slot-attention": gated_slot_attention,
    "higher-order-linear-attention": higher_order_linear_attention,
    "memory-mosaics": memory_mosaics,
}


def test_every_frame_that_makes_pairs_has_a_witness() -> None:
    assert set(MADE) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_pairs_are_made_as_in_the_paper(name: str) -> None:
    gates, x, after = made(name)
    rows = MADE[name](gates, x)
    for got, wanted in zip((after.q, after.k, after.v), zip(*rows, strict=True), strict=True):
        close(got[0, 0], torch.stack(wanted), 1e-9)


def test_second_order_attention_is_a_product_of_masked_scores() -> None:
    """Zhang et al. 2025, Eq. 3: ((L o Q K^T) (L o Q K^T)^T o L) V."""
    _, x, after = made("higher-order-linear-attention")
    scores = (x.q @ x.k.mT).tril()
    close(ttr.solve("Uniform | Linear | Hebbian", after), (scores @ scores.mT).tril() @ x.v)


@pytest.mark.parametrize("name", NAMES)
def test_pairs_are_made_token_by_token_as_all_at_once(name: str) -> None:
    layer = ttr.catalog[name].layer(8, 2).double()
    x = torch.randn(2, LENGTH, 8, dtype=torch.float64)
    whole, state, rows = layer(x), None, []
    y, state = layer.advance(x[:, : LENGTH - 3], None)
    rows.append(y)
    for t in range(LENGTH - 3, LENGTH):
        y, state = layer.step(x[:, t], state)
        rows.append(y[:, None])
    close(torch.cat(rows, 1), whole)
