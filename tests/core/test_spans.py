"""Spans of the past that double: blocks of every size, and going on from any token."""

from __future__ import annotations

import pytest
import torch
from streams import stream

import ttr_core as ttr
from ttr_core.limits import Shape
from ttr_core.solvers.chunked_spans import aligned

SPECS = [
    ttr.Spec.parse(text)
    for text in (
        "Gate * Fenwick | Linear | OneStep",
        "Gate * Importance * Fenwick(levels=5) | Linear | OneStep",
        "Fenwick(levels=9) | Linear(map=elu1) | OneStep | readout=Normalized",
    )
]
EVERY = pytest.mark.parametrize("spec", SPECS, ids=str)
LENGTH = 300  # blocks of 256, 32, 8 and 4, of which the first is four chunks


@EVERY
def test_blocks_of_many_chunks_are_the_weighted_sum(spec: ttr.Spec) -> None:
    assert ttr.resolve(spec).name == "chunked_spans"
    x = stream(spec, LENGTH)
    x.signals.get("decay", torch.zeros(1, 1, 300, 1))[0, 0, 150] = -torch.inf
    wanted = ttr.solve(spec, x, solver="parallel_one_step")
    torch.testing.assert_close(ttr.solve(spec, x), wanted, rtol=1e-10, atol=1e-10)


@EVERY
def test_parts_that_end_anywhere_go_on(spec: ttr.Spec) -> None:
    x, state, parts, start = stream(spec, LENGTH), None, [], 0
    for size in (1, 5, 2, 11, 1, 30, 0, 78, LENGTH):
        y, state = ttr.prefill(spec, x.tokens(start, min(start + size, LENGTH)), None, state)
        parts.append(y)
        start += size
    assert state["S"].shape[2] == spec.weights.count - 1
    torch.testing.assert_close(torch.cat(parts, 2), ttr.solve(spec, x), rtol=1e-10, atol=1e-10)


def test_pieces_begin_at_multiples_of_their_size() -> None:
    for position in range(70):
        for length in (1, 2, 7, 64, 333):
            sizes, at = aligned(position, length), position
            for size in sizes:
                assert size.bit_count() == 1 and at % size == 0
                at += size
            assert at == position + length and len(sizes) <= 2 * length.bit_length()


def test_eight_times_the_tokens_cost_little_more_than_eight_times_as_much() -> None:
    by = ttr.resolve(SPECS[0])
    cost = [by.estimate(SPECS[0], Shape(1, 1, n, 64, 64, 64)).flops for n in (1024, 8192)]
    assert 8 < cost[1] / cost[0] < 11  # 8 log 8192 / log 1024 is 10.4
