"""Verdicts are tried: what is called a layer reads back pairs, and what is not, does not."""

from __future__ import annotations

import pytest
import torch

import ttr_core as ttr
from ttr_core.lab import ReadBack, reads_back
from ttr_core.tools.trials import outcomes, tried, written, wrong
from ttr_core.words import unread
from ttr_core.words.unread_cells import UNREAD
from ttr_core.words.verdicts import Unread, one_answer

TRIED = list(tried())
ONE_ANSWER = [spec for spec in ttr.triples() if not spec.objections() and one_answer(spec)]


def drawn(every: int) -> list[ttr.Spec]:
    """Returns every so many cells, and one of each optimizer that reads."""
    each = {spec.optimizer: spec for spec in reversed(TRIED) if not unread(spec)}
    return list(dict.fromkeys([*TRIED[::every], *each.values()]))


def test_a_cell_is_called_a_layer_if_it_reads_back_pairs() -> None:
    assert wrong(outcomes(drawn(40))) == []


@pytest.mark.full_grid
def test_every_cell_is_called_a_layer_if_it_reads_back_pairs() -> None:
    found = outcomes(TRIED)
    assert wrong(found) == []
    assert set(UNREAD) <= set(found)


def test_a_wrong_verdict_is_caught() -> None:
    right, mute = ttr.Spec.parse("Gate | Linear | SGD"), next(iter(UNREAD))
    found = outcomes([right, ttr.Spec.parse(mute)])
    assert wrong(found) == [] and wrong(found, {str(right)}) == [str(right), mute]
    assert f'"{mute}"' in written(found) and f'"{right}"' not in written(found)


@pytest.mark.parametrize("spec", ONE_ANSWER[::9], ids=str)
def test_where_nothing_compares_every_query_gets_one_answer(spec: ttr.Spec) -> None:
    expected = "slow" if ttr.caution(spec) else "unread"
    assert ttr.cell(spec).verdict == expected and ttr.cell(spec).reason
    if ttr.caution(spec):
        return
    found = reads_back(spec)
    assert not found.reads and found.share == 0.125 and found.spread < 1e-6


def test_what_reads_back_nothing_says_what_was_seen() -> None:
    for text, (share, why) in UNREAD.items():
        cell = ttr.cell(text)
        assert cell.spec == text and cell.verdict == "unread"
        assert Unread[why].value in cell.reason and 0 <= share <= 0.4
    assert all(not unread(entry.spec) for n, entry in ttr.catalog.items() if n != "orchid")
    assert "every query gets one answer" in str(unread(ttr.catalog["orchid"].spec))


def test_a_bias_that_outruns_its_matrix_gives_every_query_one_answer() -> None:
    """Entries of a simplex are 1 / K of its sum, and so are its moves; the bias takes whole steps.

    With simplices of sum K the two go alike, and pairs are read back.
    """
    mute = reads_back("Uniform | NormLinear | MirrorDescent")
    assert mute.why == "ALIKE" and mute.spread < 0.001
    assert reads_back("Uniform | NormLinear | MirrorDescent(rate=0.1, scale=64.0)").share > 0.7


def test_the_bound_is_from_below() -> None:
    one = ReadBack(share=0.5, low=0.26, chance=0.125, size=1.0, spread=1.0)
    assert one.reads and not one.why
    for low, size, spread, why in (
        (0.25, 1.0, 1.0, "OTHER"),
        (0.1, 1e9, 1.0, "GROWN"),
        (0.1, float("nan"), 1.0, "GROWN"),
        (0.1, 1.0, 0.01, "ALIKE"),
    ):
        assert ReadBack(0.5, low, 0.125, size, spread).why == why


def test_a_layer_that_forgets_at_once_reads_back_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial can fail: without a past there is nothing to read."""
    spec = ttr.Spec.parse("Gate | Linear | Hebbian")
    assert reads_back(spec).share > 0.9

    def at_once(self: object, count: int) -> torch.Tensor:
        return torch.full((count,), 1e-6)

    monkeypatch.setattr("ttr_core.layers.gates.base.Site.fresh_decays", at_once)
    assert not reads_back(spec).reads
