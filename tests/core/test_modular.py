"""Arithmetic modulo n: what is asked is what Python makes of the expression."""

from __future__ import annotations

import collections
import re

import pytest
import torch

from ttr_core.errors import RequestError
from ttr_core.lab.tasks import generator
from ttr_core.lab.tasks.modular import SYMBOLS, Modular

DRAWN = 400


@pytest.mark.parametrize("form", SYMBOLS)
@pytest.mark.parametrize("modulus", [2, 5, 10])
def test_every_answer_is_what_python_evaluates(form: str, modulus: int) -> None:
    task = Modular(form=form, modulus=modulus, seq_len=24)
    batch = task.sample(DRAWN, generator(0, "train"))
    for tokens, position, label in zip(batch.tokens, batch.positions, batch.labels, strict=True):
        asked = task.text(tokens.tolist())
        assert asked.endswith("=") and asked.count("=") == 1
        assert len(asked) == position.item() + 1
        assert eval(asked[:-1]) % modulus == label.item(), asked


@pytest.mark.parametrize(("form", "lengths"), [("flat", range(2, 25, 2)),
                                               ("brackets", range(2, 25))])  # fmt: skip
def test_lengths_digits_and_answers_are_as_likely(form: str, lengths: range) -> None:
    task = Modular(form=form, seq_len=24)
    batch = task.sample(8000, generator(0, "train"))
    found = collections.Counter(batch.groups["length"].flatten().tolist())
    assert sorted(found) == list(lengths)
    assert min(found.values()) > 0.8 * 8000 / len(lengths)  # the rarest of 23: 5 deviations
    digits = torch.bincount(batch.tokens.flatten(), minlength=task.vocab_size)[:5]
    assert digits.min() > 0.94 * digits.max()


def test_all_three_operators_are_drawn_without_brackets_and_two_within() -> None:
    for form, operators in (("flat", "*+-"), ("brackets", "()+-")):
        task = Modular(form=form, seq_len=24)
        tokens = task.sample(DRAWN, generator(0, "train")).tokens.tolist()
        drawn = set("".join(task.text(row) for row in tokens)) - set("01234=")
        assert "".join(sorted(drawn)) == "".join(sorted(operators))


def test_a_flat_expression_is_digits_and_operators_in_turn() -> None:
    task = Modular(seq_len=24)
    for row in task.sample(DRAWN, generator(0, "train")).tokens.tolist():
        assert re.fullmatch(r"\d([-+*]\d)*=", task.text(row))


def test_brackets_lie_within_brackets() -> None:
    task = Modular(form="brackets", seq_len=64, first=64)
    for row in task.sample(50, generator(0, "train")).tokens.tolist():
        text = task.text(row)
        depths = [text[:i].count("(") - text[:i].count(")") for i in range(len(text))]
        assert min(depths) == 0 and max(depths) >= 3
        assert text[0] == "(" and depths[-1] == 0


def test_longer_expressions_are_read_in_bins_that_meet() -> None:
    read = [(v.first, v.seq_len) for v in Modular().variants()]
    assert read == [(41, 80), (81, 160), (161, 256)]
    for variant in Modular(form="brackets").variants():
        batch = variant.held_out("test", 20)
        assert int(batch.groups["length"].min()) >= variant.first


def test_chance_is_one_in_the_modulus_whatever_the_vocabulary() -> None:
    assert (Modular().states, Modular().vocab_size) == (5, 10)
    assert (Modular(form="brackets").states, Modular(form="brackets").vocab_size) == (5, 12)


@pytest.mark.parametrize(("settings", "said"), [
    ({"seq_len": 8, "first": 9}, "first=8 or less"),
    ({"seq_len": 9, "first": 9}, "even without brackets, has a length between them: take first=8"),
    ({"form": "brackets", "seq_len": 8, "first": 10}, "first=8 or less"),
])  # fmt: skip
def test_no_length_between_is_refused_with_what_to_change(
    settings: dict[str, int], said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        Modular(**settings)
