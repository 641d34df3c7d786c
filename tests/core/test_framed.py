"""Which layers are one function in a frame: keys of norm 1, signals without names."""

from __future__ import annotations

import pytest

import ttr_core as ttr
from ttr_core.words import one_function

PAIRS = [
    ("Uniform | Linear | SGD", "Importance | Linear | NLMS"),
    ("Gate | Linear | SGD", "Gate * Importance | Linear | NLMS"),
    ("Gate | Linear | SGD", "Gate | Linear | NLMS(share=token)"),
    ("ChannelGate | Linear | SGD", "ChannelGate * Importance | Linear | NLMS"),
]
OTHERS = [
    ("Uniform | Linear | SGD", "Uniform | Linear | Implicit"),  # another gain of the same signal
    ("Uniform | Linear | SGD", "Importance | Linear | OneStep"),
    ("Decay | Linear | OneStep", "LearnedDecay | Linear | OneStep"),
    ("Gate | Linear | SGD", "Gate | Linear | SGD(residual=undecayed)"),
    ("Gate * Importance | Linear | OneStep",  # the divisor is 1 on few keys, and not on many
     "Gate * Importance | Linear | Hebbian | readout=Normalized(floor=abs1)"),
    ("Gate | Linear | OneStep", "ChannelGate | Linear | OneStep"),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
def test_layers_that_a_frame_makes_one_count_once(pair: tuple[str, str]) -> None:
    first, other = pair
    assert one_function(pair, "paper") == {first: first, other: first}
    assert other not in ttr.cell(first).same_as, "in themselves they are two"


@pytest.mark.parametrize("pair", OTHERS)
def test_layers_that_differ_in_a_frame_stay_two(pair: tuple[str, str]) -> None:
    assert set(one_function(pair).values()) == set(pair)


def test_what_is_one_in_itself_is_one_in_every_frame() -> None:
    texts = ("Gate | Linear | Hebbian", "Gate | Linear | OneStep")
    assert set(one_function(texts).values()) == {texts[0]}


def test_a_frame_that_is_none_is_refused() -> None:
    with pytest.raises(ttr.RequestError):
        one_function(["Gate | Linear | SGD"], "published")
