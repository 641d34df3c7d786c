"""Words in a group: the tables are groups, the labels their products, one by one."""

from __future__ import annotations

import itertools

import pytest
import torch

import ttr_core as ttr
from ttr_core.errors import RequestError
from ttr_core.lab.tasks import generator
from ttr_core.lab.tasks.words import GROUPS, GroupWords, products_of

ORDERS = {"Z2": 2, "Z3": 3, "Z4": 4, "Z5": 5, "Z6": 6, "Z60": 60, "S3": 6, "S4": 24, "A4": 12,
          "A5": 60, "S5": 120}  # fmt: skip


def commutators(products: torch.Tensor, members: list[int]) -> list[int]:
    """Returns what the elements x y x' y' generate."""
    inverse = (products == 0).int().argmax(1)
    pairs = itertools.product(members, repeat=2)
    found = {int(products[products[x, y], products[inverse[x], inverse[y]]]) for x, y in pairs}
    while len(grown := {int(products[x, y]) for x in found for y in found} | found) > len(found):
        found = grown
    return sorted(found)


@pytest.mark.parametrize("group", GROUPS)
def test_a_table_is_a_group_of_its_order(group: str) -> None:
    products = products_of(group)
    order = ORDERS[group]
    assert products.shape == (order, order)
    every = torch.arange(order)
    assert torch.equal(products[0], every) and torch.equal(products[:, 0], every)
    assert torch.equal(products.sort(1).values, every.expand(order, -1))
    x, y, z = torch.randint(order, (3, 500), generator=torch.Generator().manual_seed(0))
    assert torch.equal(products[products[x, y], z], products[x, products[y, z]])
    assert torch.equal(products, products.T) == group.startswith("Z")


@pytest.mark.parametrize("group", GROUPS)
def test_only_a5_and_s5_are_not_solvable(group: str) -> None:
    members = list(range(ORDERS[group]))
    while len(fewer := commutators(products_of(group), members)) < len(members):
        members = fewer
    assert (members == [0]) == (group not in ("A5", "S5"))


@pytest.mark.parametrize("group", ["Z2", "S3", "A5"])
def test_every_label_is_the_product_of_the_tokens_so_far(group: str) -> None:
    batch = GroupWords(group=group, seq_len=12, first=5).sample(4, generator(0, "train"))
    products = products_of(group)
    for tokens, positions, labels in zip(batch.tokens, batch.positions, batch.labels, strict=True):
        assert positions.tolist() == list(range(4, 12))
        for position, label in zip(positions.tolist(), labels.tolist(), strict=True):
            state = 0
            for token in tokens[: position + 1].tolist():
                state = int(products[token, state])
            assert state == label
    assert torch.equal(batch.groups["length"], batch.positions + 1)


def test_permutations_are_composed_from_the_right() -> None:
    swap, turn = 2, 3  # (1, 0, 2) and (1, 2, 0)
    every = list(itertools.permutations(range(3)))
    product = tuple(every[swap][i] for i in every[turn])
    assert every[int(products_of("S3")[swap, turn])] == product


def test_longer_words_are_read_in_bins_that_meet() -> None:
    read = [(v.first, v.seq_len) for v in GroupWords().variants()]
    assert read == [(41, 80), (81, 160), (161, 256)]
    assert GroupWords(read_to=40).variants() == () == GroupWords(read_to=20).variants()


def test_nothing_asked_is_refused_with_what_to_change() -> None:
    with pytest.raises(RequestError, match="first=8 or less, or raise seq_len"):
        GroupWords(seq_len=8, first=9)


@pytest.mark.parametrize(("group", "chance"), [("Z2", 1 / 2), ("S3", 1 / 6)])
def test_chance_is_zero_on_the_scale(group: str, chance: float) -> None:
    task = GroupWords(group=group, seq_len=8)

    class Guess(ttr.SequenceModel):
        def judged(self, *asked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            right = torch.zeros(asked[1].shape, dtype=torch.bool)
            right[:, 0] = True  # one of eight
            return torch.zeros(asked[1].shape), right

    model = Guess(
        ttr.ModelConfig(layers=("gla",), d_model=8), task.vocab_size, generator(0, "init")
    )
    each = task.measure(model, task.sample(2, generator(0, "test")))
    found = each["scaled_accuracy"].mean().item()
    assert found == pytest.approx((1 / 8 - chance) / (1 - chance), abs=1e-6)
