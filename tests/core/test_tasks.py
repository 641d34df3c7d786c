"""Tasks: every label re-derived naively, every sequence decided by its generator alone."""

from __future__ import annotations

import time

import pytest
import torch

from ttr_core.errors import RequestError, UnknownName
from ttr_core.lab.tasks import MQAR, TASKS, Batch, TrainedTask, generator, task
from ttr_core.lab.tasks.mqar import VARIANTS, distinct

TRAINED = [name for name, cls in TASKS.items() if issubclass(cls, TrainedTask)]

LAYOUTS = [
    {"variant": variant, **sizes}
    for variant in VARIANTS
    for sizes in (
        {"pairs": 8, "seq_len": 64},
        {"pairs": 1, "seq_len": 6},
        {"pairs": 7, "seq_len": 40, "vocab_size": 64},
        {"pairs": 15, "seq_len": 128, "vocab_size": 64, "power": 1.0},
    )
]


def layout_id(settings: dict[str, object]) -> str:
    return "-".join(map(str, settings.values()))


# ----- every task ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_a_task_documents_itself(name: str) -> None:
    cls = TASKS[name]
    assert cls.summary() and "Example:" in (cls.__doc__ or "") and "|----" in (cls.__doc__ or "")
    assert all(opt.help for opt in cls.options())


@pytest.mark.parametrize("name", TASKS)
def test_settings_round_trip_as_text(name: str) -> None:
    made = task(name)
    as_text = {key: str(value) for key, value in made.settings().items()}
    assert task(name, as_text) == made


@pytest.mark.parametrize("name", TASKS)
def test_a_wrong_setting_is_named(name: str) -> None:
    with pytest.raises(UnknownName, match="seq_len"):
        task(name, {"sequence_len": 8})
    with pytest.raises(RequestError, match="seq_len"):
        task(name, {"seq_len": "long"})


def test_a_wrong_task_is_named() -> None:
    with pytest.raises(UnknownName) as caught:
        task("mqra")
    assert caught.value.nearest[0] == "mqar"


@pytest.mark.parametrize("name", TRAINED)
def test_the_generator_alone_decides_a_batch(name: str) -> None:
    made = task(name)
    assert isinstance(made, TrainedTask)
    first = made.sample(16, generator(3, "train"))
    torch.rand(7)  # the global generator plays no part
    assert torch.equal(first.tokens, made.sample(16, generator(3, "train")).tokens)
    assert not torch.equal(first.tokens, made.sample(16, generator(4, "train")).tokens)


def test_held_out_seeds_are_disjoint_from_training_seeds() -> None:
    train = {
        generator(seed, split).initial_seed() for seed in range(500) for split in ("train", "init")
    }
    held_out = {generator(0, split).initial_seed() for split in ("validation", "test")}
    assert len(train) == 1000 and len(held_out) == 2
    assert max(train) < 2**31 <= min(held_out)


def test_held_out_sets_are_fixed_and_differ() -> None:
    made = MQAR()
    assert torch.equal(made.held_out("test", 8).tokens, made.held_out("test", 8).tokens)
    assert not torch.equal(made.held_out("test", 8).tokens, made.held_out("validation", 8).tokens)


# ----- MQAR ------------------------------------------------------------------------------------


def rederive(made: MQAR, batch: Batch, row: int) -> dict[int, tuple[int, int]]:
    """Reads a sequence token by token: position -> (the value bound to it, where it was bound)."""
    half = made.vocab_size // 2
    tokens = batch.tokens[row].tolist()
    asked = set(batch.positions[row].tolist())
    bound: dict[int, tuple[int, int]] = {}
    answers = {}
    context = made.seq_len - 2 * made.pairs if made.variant == "repeat" else 2 * made.bindings
    for at, token in enumerate(tokens):
        if at in asked:
            answers[at] = bound[token]
        elif at < context and at % 2 == 0:
            assert 1 <= token < half <= tokens[at + 1]
            bound[token] = (tokens[at + 1], at)
    return answers


def check_labels(made: MQAR, batch: Batch) -> None:
    for row in range(len(batch.tokens)):
        answers = rederive(made, batch, row)
        for j, at in enumerate(batch.positions[row].tolist()):
            value, where = answers[at]
            assert value == batch.labels[row, j]
            assert at - where == batch.groups["gap"][row, j]


@pytest.mark.parametrize("settings", LAYOUTS, ids=layout_id)
def test_every_label_is_the_latest_value_of_its_key(settings: dict[str, object]) -> None:
    made = MQAR(**settings)
    batch = made.sample(20, generator(0, "train"))
    assert batch.positions.shape == batch.labels.shape == (20, made.pairs)
    check_labels(made, batch)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_wrong_label_and_a_wrong_gap_would_be_noticed(variant: str) -> None:
    made = MQAR(variant=variant)
    for corrupt in ("labels", "gap"):
        batch = made.sample(4, generator(0, "train"))
        (batch.labels if corrupt == "labels" else batch.groups["gap"])[3, 5] += 1
        with pytest.raises(AssertionError):
            check_labels(made, batch)


@pytest.mark.parametrize("settings", LAYOUTS, ids=layout_id)
def test_every_key_is_asked_once_and_no_filler_is_a_key(settings: dict[str, object]) -> None:
    made = MQAR(**settings)
    batch = made.sample(50, generator(1, "train"))
    context = made.seq_len - 2 * made.pairs if made.variant == "repeat" else 2 * made.bindings
    for tokens, positions in zip(batch.tokens, batch.positions, strict=True):
        keys = set(tokens[:context:2].tolist())
        assert len(keys) == made.pairs
        assert sorted(tokens[positions].tolist()) == sorted(keys)
        rest = torch.ones(made.seq_len, dtype=torch.bool)
        rest[:context], rest[positions] = False, False
        assert not keys & set(tokens[rest].tolist())
        assert (tokens > 0).all() and (tokens < made.vocab_size).all()


def test_values_are_distinct() -> None:
    tokens = MQAR(pairs=15, seq_len=64, vocab_size=64).sample(50, generator(0, "train")).tokens
    assert all(len(set(row[1:30:2].tolist())) == 15 for row in tokens)


def test_blank_filler_leaves_the_blank() -> None:
    batch = MQAR(filler="blank").sample(4, generator(0, "train"))
    assert (batch.tokens == 0).sum() == 4 * (64 - 16 - 8)


def test_overwrite_binds_the_stated_share_again() -> None:
    made = MQAR(variant="overwrite", pairs=8, rebound=0.5)
    batch = made.sample(30, generator(0, "train"))
    assert made.bindings == 12
    for tokens, keys, bound in zip(
        batch.tokens[:, :24:2], batch.tokens.gather(1, batch.positions), batch.groups["bound"],
        strict=True,
    ):  # fmt: skip
        assert [(tokens == key).sum().item() for key in keys] == bound.tolist()
    assert batch.groups["bound"].sum() == 30 * 12


def test_repeat_says_how_often_a_pair_was_shown() -> None:
    made = MQAR(variant="repeat", pairs=5, seq_len=64)
    batch = made.sample(10, generator(0, "train"))
    context = batch.tokens[:, : 64 - 10]
    for row in range(10):
        keys = batch.tokens[row, batch.positions[row]]
        times = [(context[row] == key).sum().item() for key in keys]
        assert times == batch.groups["shown"][row].tolist() and min(times) >= 5


def test_questions_come_sooner_the_smaller_the_power() -> None:
    source = generator(0, "train")
    near = MQAR(pairs=4, power=0.01).sample(500, source).groups["gap"].float().mean()
    even = MQAR(pairs=4, power=1.0).sample(500, source).groups["gap"].float().mean()
    assert near < 0.6 * even


def test_slots_follow_the_power_law() -> None:
    made = MQAR(pairs=1, seq_len=34, power=0.01)  # 16 slots; one draw each
    batch = made.sample(20_000, generator(0, "train"))
    slot = (batch.positions[:, 0] - 2) // 2
    weights = torch.arange(1, 17).pow(-0.99)
    share = slot.bincount(minlength=16) / 20_000
    assert (share - weights / weights.sum()).abs().max() < 0.015  # 4 standard errors


@pytest.mark.parametrize(("count", "pool"), [(2, 5), (3, 5), (5, 5), (30, 61)])
def test_distinct_draws_are_distinct_and_even(count: int, pool: int) -> None:
    drawn = distinct(4000, count, 10, 10 + pool, generator(0, "train"), "cpu")
    assert all(len(set(row)) == count for row in drawn.tolist())
    share = (drawn - 10).flatten().bincount(minlength=pool) / 4000
    assert (share - count / pool).abs().max() < 0.04
    assert (drawn[:, 0].float().mean() - drawn[:, -1].float().mean()).abs() < pool / 40


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pairs": 32, "seq_len": 64}, "at least 128"),
        ({"pairs": 8, "seq_len": 36, "variant": "overwrite"}, "at least 40"),
        ({"pairs": 40, "seq_len": 256, "vocab_size": 64}, "at least 82"),
        ({"seq_len": 63}, "use 64"),
        ({"pairs": 0}, "from 1"),
        ({"variant": "repeated"}, "repeat"),
        ({"power": float("nan")}, "number"),
    ],
)
def test_impossible_settings_say_what_to_change(settings: dict[str, object], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        MQAR(**settings)


def test_the_largest_load_that_is_promised_is_drawn() -> None:
    with pytest.raises(RequestError, match="vocab_size of at least"):
        MQAR(pairs=32, seq_len=128, vocab_size=64)
    batch = MQAR(pairs=31, seq_len=124, vocab_size=64).sample(8, generator(0, "train"))
    assert batch.labels.shape == (8, 31)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_other_lengths_and_loads(variant: str) -> None:
    made = MQAR(variant=variant)
    others = made.variants()
    assert others and made not in others
    assert {v.seq_len for v in others} > {64} and {v.pairs for v in others} > {8}
    assert all(v.vocab_size == made.vocab_size and v.variant == variant for v in others)


def test_batches_move_and_split() -> None:
    batch = MQAR().sample(10, generator(0, "train"))
    parts = batch.to("cpu").split(4)
    assert [len(part.tokens) for part in parts] == [4, 4, 2]
    assert torch.equal(torch.cat([part.groups["gap"] for part in parts]), batch.groups["gap"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_throughput_is_shown(variant: str, capsys: pytest.CaptureFixture[str]) -> None:
    made, source = MQAR(variant=variant), generator(0, "train")
    made.sample(64, source)
    start = time.perf_counter()
    for _ in range(20):
        made.sample(64, source)
    speed = 20 * 64 / (time.perf_counter() - start)
    with capsys.disabled():
        print(f" [{variant}: {speed:,.0f} examples/s]", end="")


@pytest.mark.parametrize("name", TRAINED)
def test_what_a_guess_scores_is_a_share_below_all(name: str) -> None:
    made = task(name)
    assert isinstance(made, TrainedTask) and 0 <= made.guess() < 0.6


@pytest.mark.parametrize(
    ("name", "settings", "share"),
    [
        ("mqar", {"pairs": 8}, 1 / 8),
        ("mqar", {"pairs": 8, "variant": "overwrite"}, 1 / 8),
        ("words", {"group": "Z2"}, 1 / 2),
        ("words", {"group": "S3"}, 1 / 6),
        ("in-context-regression", {}, 0.0),
    ],
)
def test_who_has_bound_nothing_scores_as_a_guess(
    name: str, settings: dict[str, object], share: float
) -> None:
    made = task(name, settings)
    assert isinstance(made, TrainedTask) and made.guess() == pytest.approx(share, abs=0.02)
