"""What a setting may be: checked, read from text, said in words, and the same in all three."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

import ttr_core as ttr
from ttr_core.errors import RequestError
from ttr_core.lab.tasks import TASKS
from ttr_core.lab.tasks.constants import knobs
from ttr_core.lab.training import TrainConfig
from ttr_core.space.constraints import (
    LARGEST,
    Choice,
    Constraint,
    Either,
    Flag,
    Names,
    Number,
    Text,
    Whole,
)
from ttr_core.space.ingredient import REGISTRY, Made
from ttr_core.space.option import Option, check_options, option, options_of

CHOICES = [cls for family in REGISTRY.values() for cls in family.values()]
CLASSES = [*CHOICES, *TASKS.values(), TrainConfig, ttr.ModelConfig, ttr.Frame]
OPTIONS = [(cls, opt) for cls in CLASSES for opt in options_of(cls)]
KINDS = [Number(), Whole(), Flag(), Choice(("a", "b")), Text(), Names(), Made("map")]
ODD: list[Any] = [10**400, -(10**400), 10**5000, math.inf, math.nan, "", None, [], {}, b"x", 1j]


def final(cls: type[Constraint]) -> list[type[Constraint]]:
    below = [one for sub in cls.__subclasses__() for one in final(sub)]
    return [*([] if cls.__abstractmethods__ else [cls]), *below]


@pytest.mark.parametrize("text", ["1_0", "1_0.5", "_1", "\u0661"])
@pytest.mark.parametrize("kind", [Number(), Whole()], ids=str)
def test_a_number_is_what_everybody_writes(kind: Constraint, text: str) -> None:
    with pytest.raises(RequestError, match=kind.word):
        kind.parse("x", text)


def test_every_kind_is_tried() -> None:
    assert {type(kind) for kind in KINDS} | {Either} == set(final(Constraint))


@pytest.mark.parametrize(("cls", "opt"), OPTIONS, ids=lambda x: getattr(x, "name", ""))
def test_a_default_is_valid_and_its_text_reads_back(cls: type, opt: Option) -> None:
    assert opt.check("x", opt.default) == opt.default
    text = ",".join(opt.default) if isinstance(opt.default, tuple) else str(opt.default)
    if opt.default is not None or opt.optional:
        assert opt.parse("x", text) == opt.default


@pytest.mark.parametrize(("cls", "opt"), OPTIONS, ids=lambda x: getattr(x, "name", ""))
def test_what_is_tuned_is_valid(cls: type, opt: Option) -> None:
    assert [opt.check("x", value) for value in opt.tune] == list(opt.tune)
    assert opt.since >= 1


@pytest.mark.parametrize("kind", [*KINDS, Either(Flag(), Number(0))], ids=str)
@pytest.mark.parametrize("odd", ODD, ids=lambda x: type(x).__name__)
def test_what_is_not_valid_is_refused_in_words(kind: Constraint, odd: object) -> None:
    try:
        kind.check("SGD.step", odd)
    except RequestError as error:
        assert "SGD.step" in str(error) and len(str(error)) < 2000
    else:
        assert isinstance(odd, (str, list)) and isinstance(kind, (Text, Names))


@pytest.mark.parametrize(
    ("closed", "inside", "words"),
    [
        ("both", (0, 0.5, 1), "a number from 0 to 1"),
        ("left", (0, 0.5), "a number of at least 0 and below 1"),
        ("right", (0.5, 1), "a number above 0 and of at most 1"),
        ("neither", (0.5,), "a number above 0 and below 1"),
    ],
)
def test_open_ends(closed: str, inside: tuple[float, ...], words: str) -> None:
    interval = Number(0, 1, closed)
    assert str(interval) == words
    for value in (-1e-9, 0, 0.5, 1, 1 + 1e-9):
        if value in inside:
            assert interval.check("x", value) == value
        else:
            with pytest.raises(RequestError, match=words):
                interval.check("x", value)


def test_a_whole_number_is_read_without_rounding() -> None:
    assert Whole().parse("x", "9007199254740993") == 2**53 + 1
    assert Whole().parse("x", "1e3") == 1000 and isinstance(Whole().check("x", 2.0), int)
    assert Whole().check("x", LARGEST) == LARGEST
    for wrong in (LARGEST + 1, 2.5, "2.5"):
        with pytest.raises(RequestError, match="must be a whole number"):
            Whole().parse("x", wrong) if isinstance(wrong, str) else Whole().check("x", wrong)


def test_the_closest_value() -> None:
    assert Whole(1, 64).closest("3.7") == 3 and Whole(1, 64).closest("100") == 64
    assert Number(0, 1).closest("-2") == 0 and Number(0, 1).closest("nan") is None
    assert Number(0, 1, "right").closest("-2") is None  # there is no smallest number above 0
    assert Choice(("standard", "paper")).closest("standart") == "standard"
    assert Either(Choice(("auto",)), Number(1e-6, 1)).closest("5") == 1
    assert Made("map").closest("elu-1") == "elu1"


def test_a_setting_of_one_s_own_kind() -> None:
    """A new kind is a class: declaring, checking and saying it need nothing else."""

    @dataclass(frozen=True)
    class Even(Constraint):
        def check(self, where: str, value: Any) -> int:
            number = Whole().check(where, value)
            if number % 2:
                raise self.refuse(where, value)
            return int(number)

        def __str__(self) -> str:
            return "an even number"

    @dataclass(frozen=True)
    class Toy:
        size: complex = option(2, "a size", constraint=Even())

        def __post_init__(self) -> None:
            check_options(self)

    assert Toy(4).size == 4
    with pytest.raises(RequestError, match=r"Toy.size is 3; it must be an even number\."):
        Toy(3)


def test_an_annotation_that_says_nothing() -> None:
    @dataclass(frozen=True)
    class Toy:
        size: complex = option(2, "a size")

    with pytest.raises(TypeError, match="constraint="):
        options_of(Toy)


def test_what_a_choice_declares_is_what_is_tuned() -> None:
    """The values stand on the choice: a scale of 2 to 64 is no task's business."""
    spec = ttr.Spec.parse("Decay * ExpKernel | Kernel | Exact")
    parts = (*spec.weights.factors(), spec.function, spec.optimizer)
    declared = [(o.name, o.tune) for part in parts for o in part.options() if o.tune]
    tried = [(knob.name, knob.values) for knob in knobs(spec) if knob.axis != "signal"]
    assert tried == declared and len(tried) >= 3 and all(len(values) > 2 for _, values in tried)


@pytest.mark.parametrize("said", [-0.0, 0, 0.0, "-0", "-0.0", "0"])
def test_there_is_one_zero(said: Any) -> None:
    """Texts and fingerprints hold the number as it is written."""
    found = Number(0.0).check("x", Number(0.0).parse("x", said) if isinstance(said, str) else said)
    assert str(found) == "0.0"
    one = ttr.Spec.parse(f"Uniform | Linear | Exact(ridge={said})")
    assert one.expanded == ttr.Spec.parse("Uniform | Linear | Exact(ridge=0.0)").expanded
