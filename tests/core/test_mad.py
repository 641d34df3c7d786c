"""MAD's tasks: every label is what the layout says, and training draws from as many as it may."""

from __future__ import annotations

import itertools

import pytest
import torch

import ttr_core as ttr
from ttr_core.errors import RequestError
from ttr_core.lab import evaluate
from ttr_core.lab.tasks import Batch, TrainedTask, generator
from ttr_core.lab.tasks.compression import place_codes
from ttr_core.lab.tasks.context_recall import ContextRecall
from ttr_core.lab.tasks.fuzzy_recall import FuzzyRecall
from ttr_core.lab.tasks.memorization import Memorization
from ttr_core.lab.tasks.pooled import PooledTask

POOLED = [name for name, cls in ttr.TASKS.items() if issubclass(cls, PooledTask)]


def questions(batch: Batch, row: int) -> dict[int, int]:
    """Returns what is asked of a sequence: position -> label."""
    places, labels = batch.positions[row].tolist(), batch.labels[row].tolist()
    counts = [True] * len(places) if batch.asked is None else batch.asked[row].tolist()
    return {p: y for p, y, counted in zip(places, labels, counts, strict=True) if counted}


@pytest.mark.parametrize("name", POOLED)
def test_training_draws_from_as_many_sequences_as_it_may(name: str) -> None:
    task = ttr.task(name, {"examples": 5, "vocab_size": 64})
    assert isinstance(task, PooledTask)
    drawn = task.sample(200, generator(0, "train"))
    assert len(drawn.tokens.unique(dim=0)) == 5
    again = task.sample(200, generator(7, "train"))
    known = {tuple(row) for row in drawn.tokens.tolist()}
    assert {tuple(row) for row in again.tokens.tolist()} == known, "of every seed the same"
    held = task.held_out("test", 20).tokens.tolist()
    assert not known & {tuple(row) for row in held}
    fresh = ttr.task(name, {"vocab_size": 64})
    assert isinstance(fresh, TrainedTask)
    assert len(fresh.sample(200, generator(0, "train")).tokens.unique(dim=0)) > 190


# ----- in-context recall


@pytest.mark.parametrize("settings", [{}, {"vocab_size": 40, "noise": 0.5, "noise_vocab": 16}])
def test_every_key_that_has_come_before_is_asked_for_its_value(settings: dict[str, float]) -> None:
    task = ContextRecall(**settings)  # type: ignore[arg-type]
    words = task.vocab_size - task.noise_vocab
    batch = task.drawn(30, generator(0, "test"))
    noisy = 0
    for row, tokens in enumerate(batch.tokens.tolist()):
        known: dict[int, int] = {}
        due = {}
        for place, (key, value) in enumerate(zip(tokens[::2], tokens[1::2], strict=True)):
            if key >= words:
                assert value >= words
                noisy += 1
                continue
            assert key < words // 2 <= value < words
            if key in known:
                due[2 * place] = known[key]
            known.setdefault(key, value)
            assert known[key] == value
        assert questions(batch, row) == due and task.seq_len - 2 in due
    share = noisy / batch.tokens[:, ::2].numel()
    assert share == pytest.approx(task.noise, abs=0.05)


@pytest.mark.parametrize("name", ["in-context-recall", "fuzzy-recall"])
def test_training_asks_for_every_next_token_or_as_the_test(name: str) -> None:
    task = ttr.task(name, {"seq_len": 64})
    assert isinstance(task, PooledTask)
    batch = task.sample(3, generator(0, "train"))
    assert batch.asked is None
    last = batch.positions[0, -1].item()
    assert batch.positions[0].tolist() == list(range(int(last) + 1))
    assert torch.equal(batch.labels[:, :-1], batch.tokens[:, 1 : int(last) + 1])
    told = ttr.task(name, {"seq_len": 64, "taught_at": "questions"})
    assert isinstance(told, PooledTask)
    asked = told.sample(3, generator(0, "train")).asked
    assert asked is not None and 0 < asked.sum() < asked.numel()


@pytest.mark.parametrize("name", ["in-context-recall", "fuzzy-recall"])
def test_what_is_not_asked_counts_for_nothing(name: str) -> None:
    task = ttr.task(name, {"seq_len": 64, "taught_at": "questions"})
    assert isinstance(task, PooledTask)
    model = task.model(ttr.ModelConfig(layers=("gla",), d_model=8), generator(0, "init"))
    batch = task.held_out("test", 70)
    found, _ = evaluate.tested(task, model, batch)
    logits = model(batch.tokens, batch.positions)[batch.asked]
    labels = batch.labels[batch.asked]
    right = (logits.argmax(-1) == labels).float().mean().item()
    assert found["accuracy"] == pytest.approx(right, abs=1e-6)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert found["loss"] == pytest.approx(loss, rel=1e-4)
    assert task.loss(model, batch).item() == pytest.approx(loss, rel=1e-4)


# ----- fuzzy recall


@pytest.mark.parametrize("taught", [False, True])
def test_every_token_of_a_known_value_is_asked(taught: bool) -> None:
    task = FuzzyRecall(vocab_size=12, seq_len=96, taught_at="questions")
    first, filler = task.halves
    draw = task.lessons if taught else task.drawn
    batch, sizes = draw(40, generator(0, "train")), set()
    for row, given in enumerate(batch.tokens.tolist()):
        tokens = [*given, int(batch.labels[row, -1])]
        start = next(i for i, token in enumerate(tokens) if token != filler)
        assert filler not in tokens[start:]
        known: dict[tuple[int, ...], list[int]] = {}
        due, place = {}, start
        runs = [list(run) for _, run in itertools.groupby(tokens[start:], lambda t: t < first)]
        for key, value in zip(runs[::2], runs[1::2], strict=True):
            assert len(set(key)) == len(key) <= 3 and len(set(value)) == len(value) <= 3
            place += len(key)
            if tuple(key) in known:
                assert value == known[tuple(key)]
                due |= {place - 1 + i: token for i, token in enumerate(value)}
            known[tuple(key)] = value
            place += len(value)
            sizes.add((len(key), len(value)))
        assert questions(batch, row) == due
        assert len(tokens) - len(runs[-1]) - 1 in due, "the last key has come before"
    assert sizes == set(itertools.product((1, 2, 3) if taught else (3,), (1, 2, 3)))


# ----- the others


def test_memorization_asks_one_table() -> None:
    task = Memorization(vocab_size=64)
    table: dict[int, int] = {}
    for seed in range(3):
        batch = task.sample(50, generator(seed, "train"))
        assert batch.tokens[:, 1::2].eq(63).all()
        keys, labels = batch.tokens[:, ::2].flatten(), batch.labels.flatten()
        for key, value in zip(keys.tolist(), labels.tolist(), strict=True):
            assert table.setdefault(key, value) == value
    assert sorted(table) == list(range(31))
    assert len({*table.values()}) == 31 and min(table.values()) >= 31


def test_selective_copying_asks_the_data_in_order() -> None:
    task = ttr.task("selective-copying", {"copied": 5, "seq_len": 40})
    assert isinstance(task, PooledTask)
    batch = task.drawn(50, generator(0, "test"))
    places = []
    for row, tokens in enumerate(batch.tokens.tolist()):
        end = tokens.index(15)
        data = [token for token in tokens[:end] if token < 14]
        assert tokens[end + 1 :] == [14] * 5 and tokens.count(15) == 1
        assert questions(batch, row) == dict(zip(range(35, 40), data, strict=True))
        assert tokens[end - 1] < 14, "no blank stands behind the last of them"
        places.append(tokens.index(data[0]))
    assert len(set(places)) > 5


def test_compression_asks_everything_of_the_last_output() -> None:
    task = ttr.task("compression", {"seq_len": 6})
    assert isinstance(task, PooledTask)
    batch = task.drawn(8, generator(0, "test"))
    assert torch.equal(batch.labels, batch.tokens) and batch.positions.eq(5).all()
    assert batch.tokens[:, -1].eq(15).all() and batch.tokens[:, :-1].lt(15).all()
    model = task.model(ttr.ModelConfig(layers=("deltanet",), d_model=8), generator(0, "init"))
    logits = model(batch.tokens, batch.positions)
    assert logits.shape == (8, 6, 16)
    assert not torch.allclose(logits[:, 0], logits[:, 1]), "places differ by their codes"
    found = {name: x.grad is not None for name, x in model.named_parameters()}
    task.loss(model, batch).backward()
    assert not any(found.values())
    assert all(x.grad is not None for x in model.parameters())


def test_codes_of_places_are_those_of_transformers() -> None:
    codes = place_codes(5, 8)
    assert codes[0].tolist() == [0] * 4 + [1] * 4
    assert codes[3, 0].item() == pytest.approx(torch.tensor(3.0).sin().item())
    assert codes[3, 3].item() == pytest.approx(3e-4, rel=1e-3)
    assert place_codes(3, 5).shape == (3, 5)


@pytest.mark.parametrize(("name", "settings", "said"), [
    ("in-context-recall", {"seq_len": 9}, "use 10"),
    ("in-context-recall", {"noise": 0.2}, "raise noise_vocab"),
    ("in-context-recall", {"noise_vocab": 15}, "take 14 or less"),
    ("fuzzy-recall", {"vocab_size": 6}, "raise vocab_size to 7 at least"),
    ("fuzzy-recall", {"seq_len": 12}, "need 18"),
    ("memorization", {"seq_len": 7}, "use 8"),
    ("selective-copying", {"seq_len": 32}, "at least 33"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_does(
    name: str, settings: dict[str, float], said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        ttr.task(name, settings)
