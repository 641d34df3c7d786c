"""What theorems say of cells: the range that is derived is the one that the probe measures."""

from __future__ import annotations

import pytest

import ttr_core as ttr
from ttr_core.lab.probes.spectrum import Spectrum
from ttr_core.words import REFLECTIONS, THEOREMS, abilities, cards_of, transition

PROBED = Spectrum(seq_len=8)
DERIVED = [
    cell.spec
    for cell in ttr.grid()
    if cell.verdict != "undefined" and transition(ttr.Spec.parse(cell.spec)) is not None
]
LINEAR = [text for text in DERIVED if " | Linear | " in text]
NEVER = dict.fromkeys(REFLECTIONS, "cannot")


def test_of_many_cells_the_range_is_derived() -> None:
    assert len(LINEAR) > 30 and len(DERIVED) > 150


@pytest.mark.parametrize(
    "text",
    [*LINEAR, *(pytest.param(t, marks=pytest.mark.slow) for t in DERIVED if t not in LINEAR)],
)
def test_the_derived_range_is_the_measured_one(text: str) -> None:
    spec = ttr.Spec.parse(text)
    derived, found = transition(spec), PROBED.evaluate(spec).metrics
    assert derived is not None
    assert found["eigenvalue_low"] >= derived.low - 1e-6
    assert found["eigenvalue_size"] <= max(derived.high, -derived.low) + 1e-6
    assert not derived.real or found["eigenvalue_turn"] < 1e-6
    if derived.real and derived.reflections:
        assert found["eigenvalue_low"] == pytest.approx(-1, abs=1e-6), "it is reached"
    if not derived.real:
        assert found["eigenvalue_turn"] > 0.1


@pytest.mark.parametrize(("text", "expected"), [
    ("Uniform | Linear | SGD", NEVER),
    ("ChannelGate | Linear | SGD", NEVER),
    ("Gate | Linear | Hebbian", NEVER),
    ("Uniform | Linear | Exact", NEVER),
    ("Uniform | Linear | Implicit", NEVER),
    ("Uniform | Linear | MultiStep(link=sigmoid)", NEVER),
    ("Gate | Linear | SGD(link=twice_sigmoid)", {**NEVER, "parity": "can"}),
    ("Uniform | Linear | MultiStep(n=2)",
     {"parity": "can", "Z3": "can", "S3": "can", "S5": "open"}),
    ("Gate | Linear | MultiStep(n=4)", dict.fromkeys(REFLECTIONS, "can")),
    ("Uniform | Linear | MultiStep(n=3, link=sigmoid)", dict.fromkeys(REFLECTIONS, "open")),
    ("Gate | Linear | SGD(residual=undecayed)",
     {"parity": "open", "Z3": "cannot", "S3": "cannot", "S5": "cannot"}),
    ("ExpKernel | Constant | Exact", dict.fromkeys(REFLECTIONS, "open")),
    ("Uniform | MLP | SGD", dict.fromkeys(REFLECTIONS, "open")),
    ("Uniform | Kernel | SGD", dict.fromkeys(REFLECTIONS, "open")),
    ("Uniform | Linear(map=elu1) | SGD", dict.fromkeys(REFLECTIONS, "open")),
])  # fmt: skip
def test_what_can_be_tracked(text: str, expected: dict[str, str]) -> None:
    assert abilities(ttr.Spec.parse(text)) == expected


def test_names_of_one_function_have_one_verdict() -> None:
    for cell in ttr.grid():
        if cell.verdict == "undefined":
            continue
        own = ttr.Spec.parse(cell.spec)
        for twin in map(ttr.Spec.parse, cell.same_as):
            assert abilities(twin) == abilities(own), f"{twin} is {own}"
            assert cards_of(twin) == cards_of(own)


@pytest.mark.parametrize(("text", "named"), [
    ("Uniform | Linear | SGD", ["capacity", "parity"]),
    ("Uniform | Linear | SGD(link=twice_sigmoid)", ["capacity", "reflections"]),
    ("ExpKernel | Constant | Exact", ["softmax"]),
    ("Gate * ExpKernel | Constant | Exact", []),
    ("Uniform | MLP | SGD", []),
])  # fmt: skip
def test_cards_that_apply(text: str, named: list[str]) -> None:
    assert [one.name for one in cards_of(ttr.Spec.parse(text))] == named


def test_a_card_has_a_claim_its_conditions_and_sources() -> None:
    for name, one in THEOREMS.items():
        assert one.name == name and one.claim.endswith(".") and one.conditions.endswith(".")
        assert one.sources
        for paper in one.sources:
            assert paper.url.startswith("https://arxiv.org/abs/") and paper.year > 2000
