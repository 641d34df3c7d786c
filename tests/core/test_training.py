"""Training: it learns, repeats itself, stops when told, and says so when it fails."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterator

import pytest
import torch

import ttr_core as ttr
from ttr_core.errors import LimitExceeded, RequestError, UnknownName
from ttr_core.lab import (
    MQAR,
    RATES,
    TASKS,
    Batch,
    Evaluated,
    EvaluatedTask,
    Event,
    Experiment,
    Finished,
    Progress,
    Started,
    TrainConfig,
    TrainedTask,
    resolve_device,
    task,
    train,
)  # fmt: skip
from ttr_core.lab.evaluate import by_value, means
from ttr_core.lab.events import EVENTS
from ttr_core.lab.learner import Learner
from ttr_core.layers.model import ModelConfig, SequenceModel

TINY = MQAR(vocab_size=64, pairs=3, seq_len=16)
MODEL = ModelConfig(layers=("qknorm-attention",), depth=1, d_model=32, frame="standard")
SHORT = TrainConfig(steps=20, batch_size=8, eval_every=10, eval_examples=16)


def end(events: Iterator[Event]) -> Finished:
    *_, last = events
    assert isinstance(last, Finished)
    return last


@pytest.fixture(scope="module")
def learned() -> list[Event]:
    config = TrainConfig(lr=0.01, steps=400, batch_size=64, eval_every=20, target=0.95)
    return list(train(TINY, MODEL, config, seed=1))


def test_a_small_task_is_learned(learned: list[Event]) -> None:
    last = learned[-1]
    assert isinstance(last, Finished)
    assert last.status == "finished" and last.metrics["accuracy"] > 0.9
    assert last.steps < 400 and last.seconds_to_target is not None
    assert last.curves["train_loss"][-1][1] < 0.5 * last.curves["train_loss"][0][1]
    assert last.curves["accuracy"][-1][1] >= 0.95 > last.curves["accuracy"][0][1]


def test_a_run_reports_what_it_cost(learned: list[Event]) -> None:
    first, last = learned[0], learned[-1]
    assert isinstance(first, Started) and isinstance(last, Finished)
    assert first.parameters == last.parameters > 64 * 32
    assert first.state_size == last.state_size > 0 and first.flops_per_token > 0
    assert 0 < (last.metrics["packed_state_size"] or 0) <= last.state_size
    assert last.metrics["tokens_per_second"] > 0 and last.metrics["cpu_seconds"] > 0
    assert last.lrs_tried == [0.01] and last.lr == 0.01
    assert 0 < last.seconds_to_target <= last.metrics["train_seconds"] <= last.seconds


def test_accuracy_is_split_by_gap_and_by_load(learned: list[Event]) -> None:
    last = learned[-1]
    assert isinstance(last, Finished)
    assert set(last.accuracy_by) == {"gap"} and len(last.accuracy_by["gap"]) > 1
    assert all(0 <= x <= 1 for x in last.accuracy_by["gap"].values())
    rows = last.tables["generalization"]
    assert rows[0]["pairs"] == 3 and rows[0]["seq_len"] == 16
    assert {row["seq_len"] for row in rows} >= {16, 32, 64}
    assert {row["pairs"] for row in rows} >= {1, 3, 6}


def test_events_come_in_order(learned: list[Event]) -> None:
    kinds = [type(event) for event in learned]
    assert kinds[0] is Started and kinds[-1] is Finished
    assert set(kinds[1:-1]) == {Progress, Evaluated}
    steps = [event.step for event in learned if isinstance(event, Progress)]
    assert steps == sorted(steps) == list(range(5, steps[-1] + 1, 5))


def test_events_round_trip_through_json(learned: list[Event]) -> None:
    for event in learned:
        assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event
    assert {type(event) for event in learned} == set(EVENTS.values())
    with pytest.raises(UnknownName, match="progress"):
        Event.from_dict({"event": "progres"})
    with pytest.raises(UnknownName, match="metrics"):
        Event.from_dict({"event": "evaluated", "metric": 1.0})


def test_the_same_seed_gives_the_same_curve() -> None:
    first = end(train(TINY, MODEL, SHORT, seed=5))
    torch.rand(11)  # the global generator plays no part
    again, other = end(train(TINY, MODEL, SHORT, seed=5)), end(train(TINY, MODEL, SHORT, seed=6))
    assert first.curves == again.curves
    assert first.curves["train_loss"] != other.curves["train_loss"]
    assert first.metrics["accuracy"] == again.metrics["accuracy"]


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    end(train(TINY, MODEL, SHORT))
    assert torch.equal(before, torch.get_rng_state())


def test_a_run_is_cancelled_between_steps() -> None:
    asked = iter(range(1000))
    last = end(train(TINY, MODEL, SHORT, stop=lambda: next(asked) >= 7))
    assert last.status == "cancelled" and last.steps == 7
    assert "7 steps" in last.message and "accuracy" not in last.metrics


def test_a_run_that_diverges_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Learner.advance

    def poisoned(self: Learner) -> None:
        if self.step == 6:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))
        advance(self)

    monkeypatch.setattr(Learner, "advance", poisoned)
    events = list(train(TINY, MODEL, SHORT))
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.status == "diverged" and last.steps == 7 and "nan at step 7" in last.message
    json.dumps([event.to_dict() for event in events], allow_nan=False)


def faulty(at: str, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """Trains a model one of whose tensors is not finite."""
    built = SequenceModel.__init__

    def broken(self: SequenceModel, *arguments: object) -> None:
        built(self, *arguments)  # type: ignore[arg-type]
        query = dict(self.named_parameters())["blocks.0.norm"]
        if at == "parameter":
            query.data[0] = torch.inf
        elif at == "output":
            self.blocks[0].layer.register_forward_hook(lambda *given: given[-1] * torch.nan)
        else:
            query.register_hook(lambda grad: grad * torch.nan)

    monkeypatch.setattr(SequenceModel, "__init__", broken)
    return end(train(TINY, MODEL, SHORT))


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("parameter", "the parameter blocks.0.norm is not finite from the start"),
        ("output", "the first output that is not finite is that of blocks.0.layer"),
        ("gradient", "the gradient of blocks.0.norm is not finite"),
    ],
)
def test_a_training_that_cannot_start_names_the_tensor(
    at: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = faulty(at, monkeypatch)
    assert last.status == "diverged" and last.steps == 1
    assert last.message.startswith("The loss was ") and last.message.endswith(f": {said}.")


def test_losses_read_several_at_once_are_those_read_one_by_one() -> None:
    """As on an accelerator, which would have to wait for each."""
    one, several = (Learner(TINY, MODEL, SHORT, 0.01, 0, "cpu") for _ in range(2))
    several._patience = 5
    for _ in range(12):
        one.advance()
        several.advance()
    several.read()
    assert several.losses == one.losses and several.loss == one.loss and one.step == 12
    with torch.no_grad():
        several.model.norm.fill_(math.nan)
    for _ in range(3):
        several.advance()
    assert several.diverged and several.step == 13 and math.isnan(several.loss)


def test_auto_tries_the_rates_and_keeps_the_best() -> None:
    config = dataclasses.replace(SHORT, lr="auto", steps=60)
    last = end(train(TINY, MODEL, config))
    assert last.lrs_tried == list(RATES)
    rows = last.tables["learning_rates"]
    assert [row["lr"] for row in rows] == list(RATES)
    assert sorted(row["steps"] for row in rows) == [15, 15, 15, 30, 30, 60]
    chosen = next(row for row in rows if row["lr"] == last.lr)
    assert chosen["steps"] == last.steps == 60


def test_the_standard_protocol_trains_every_rate_in_full() -> None:
    config = dataclasses.replace(SHORT, lr="auto", protocol="standard", target=0.0)
    last = end(train(TINY, MODEL, config))
    rows = last.tables["learning_rates"]
    assert [row["steps"] for row in rows] == [20] * len(RATES)
    best = max(row["accuracy"] for row in rows)
    assert next(row for row in rows if row["lr"] == last.lr)["accuracy"] == best
    assert last.seconds_to_target is not None  # noted, though the run went on


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": "fast"}, "auto or a number"),
        ({"lr": 7.0}, "from 1e-6 to 1"),
        ({"steps": 0}, "steps"),
        ({"protocol": "slow"}, "quick"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        TrainConfig(**settings)


def test_rates_are_those_of_the_protocol() -> None:
    assert len(RATES) == 6 and RATES[0] == 1e-4 and RATES[-1] == pytest.approx(3e-2)
    assert TrainConfig(lr="0.01") == TrainConfig(lr=0.01)
    assert TrainConfig(lr="auto").rates == RATES
    assert TrainConfig(lr="auto", least_rate=RATES[2]).rates == RATES[2:]
    assert TrainConfig(lr="auto", least_rate=RATES[-1]).rates == RATES[-1:]
    assert TrainConfig(lr=0.5, least_rate=RATES[-1]).rates == (0.5,)


def test_groups_are_binned_by_powers_of_two() -> None:
    right = torch.tensor([[True, False, True, True]])
    found = by_value(right.float(), torch.tensor([[0, 1, 5, 7]]))
    assert found == {"0": 1.0, "1": 0.0, "4-7": 1.0}


def test_the_loss_is_taken_at_labeled_positions_alone() -> None:
    """Changing a token after the last question changes nothing."""
    batch = MQAR(vocab_size=64, pairs=3, seq_len=32, power=0.01).held_out("test", 8)
    built = ttr.SequenceModel(MODEL, 64, torch.Generator().manual_seed(0))
    tokens = batch.tokens.clone()
    for row, last in enumerate(batch.positions.amax(1).tolist()):
        tokens[row, last + 1 :] = 1
    changed = Batch(tokens, batch.positions, batch.labels)
    first = means(TINY, built, batch)["loss"]
    second = means(TINY, built, changed)["loss"]
    assert first == pytest.approx(second, rel=1e-5)
    wrong = Batch(batch.tokens, batch.positions, batch.labels.roll(1, 0))
    assert means(TINY, built, wrong)["loss"] != pytest.approx(first, rel=1e-5)


# ----- experiments -----------------------------------------------------------------------------


def small(name: str) -> Experiment:
    sizes = {
        "mqar": {"vocab_size": 64, "pairs": 3, "seq_len": 16},
        "regression": {"seq_len": 16, "dim": 8, "sequences": 4},
        "recall": {"pairs": 4, "seq_len": 16, "dim": 8, "vocab_size": 64},
        "words": {"seq_len": 8, "read_to": 16},
        "modular": {"seq_len": 8, "read_to": 16},
        "fuzzy-recall": {"seq_len": 20},
        "selective-copying": {"seq_len": 16, "copied": 4},
        "stacked": {"seq_len": 16, "pairs": 4, "vocab_size": 64},
    }
    short = {"seq_len": 16} if TASKS[name].trained else {"seq_len": 16, "dim": 8, "sequences": 4}
    return Experiment(
        task(name, sizes.get(name, short)), MODEL, SHORT, seed=2, layer="qknorm-attention"
    )


@pytest.mark.parametrize("name", TASKS)
def test_every_task_runs_as_an_experiment(name: str) -> None:
    events = list(small(name).run())
    last = events[-1]
    assert isinstance(events[0], Started) and isinstance(last, Finished)
    assert last.status == "finished" and last.curves and last.tables
    assert TASKS[name].main().name in last.metrics and last.state_size > 0
    assert Event.from_dict(json.loads(json.dumps(last.to_dict(), allow_nan=False))) == last


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_cancelled(name: str) -> None:
    spec = "Gate | Linear | SGD"  # has knobs, so that an evaluation is asked while it tunes
    made = dataclasses.replace(small(name), model=ModelConfig(layers=(spec,), d_model=32))
    assert end(made.run(stop=lambda: True)).status == "cancelled"


@pytest.mark.parametrize("name", TASKS)
def test_a_configuration_round_trips(name: str) -> None:
    made = small(name)
    config = json.loads(json.dumps(made.config()))
    assert Experiment.from_config(config) == made
    assert Experiment.from_config(config).config() == config == made.config()
    assert "seconds" not in config["train"]


def test_a_configuration_writes_every_default_out() -> None:
    made = Experiment(MQAR(), ModelConfig(layers=("Gate|Linear|SGD",)))
    config = made.config()
    assert config["spec"] == ttr.Spec.parse("Gate | Linear | SGD").expanded
    assert config["model"]["layers"] == [config["spec"]]
    assert set(config["task"]) == {"name", *(opt.name for opt in MQAR.options())}
    budget = dataclasses.replace(made, train=TrainConfig(seconds=9.0))
    assert budget.config() == config
    other = dataclasses.replace(made, train=TrainConfig(steps=9))
    assert other.config() != config


def test_a_configuration_of_another_version_is_refused() -> None:
    with pytest.raises(RequestError, match="version"):
        Experiment.from_config({**small("mqar").config(), "version": 99})


def test_an_evaluation_asks_one_layer() -> None:
    both = ModelConfig(layers=("linear-attention", "qknorm-attention"), depth=2)
    made = dataclasses.replace(small("regression"), model=both)
    with pytest.raises(RequestError, match="give one"):
        list(made.run())


def test_devices_are_resolved() -> None:
    assert resolve_device("cpu") == "cpu" and resolve_device("auto") in ("cpu", "cuda")
    with pytest.raises(UnknownName):
        resolve_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(RequestError, match="use cpu or auto"):
            resolve_device("cuda")


def test_devices_are_those_of_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttr_core.lab.devices.gpus", lambda: ("pretended",))
    assert resolve_device("auto") == resolve_device("cuda") == "cuda"
    monkeypatch.setattr("ttr_core.lab.devices.gpus", lambda: ())
    assert resolve_device("auto") == "cpu"
    with pytest.raises(RequestError, match="use cpu or auto"):
        resolve_device("cuda")


@pytest.mark.parametrize("fits", [3, 0])
def test_out_of_memory_names_a_size_that_fits(fits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = small("mqar")
    advance, asked = Learner.advance, experiment.train.batch_size

    def limited(learner: Learner) -> None:
        if learner.config.batch_size > fits:
            raise torch.OutOfMemoryError("pretended")
        advance(learner)

    monkeypatch.setattr(Learner, "advance", limited)
    most = max((asked >> i for i in range(1, 20) if 0 < asked >> i <= fits), default=0)
    said = f"batch_size={most} fits" if most else "batch_size=1, too"
    assert asked > 3
    with pytest.raises(LimitExceeded, match=f"on cpu at train.batch_size={asked}.*{said}"):
        list(experiment.run())


def test_layers_are_compiled_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    for asked in (False, True):
        config = dataclasses.replace(SHORT, compile=asked)
        learner = Learner(TINY, MODEL, config, 0.01, 0, "cpu")
        assert compiled == ([*learner.model.blocks] if asked else [])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, while it traces
def test_compiled_layers_train_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = functools.partial(torch.nn.Module.compile, backend="aot_eager")  # needs no compiler
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: graphs(module))
    found = []
    for asked in (False, True):
        config = dataclasses.replace(SHORT, steps=5, compile=asked)
        found.append(end(train(TINY, MODEL, config, seed=0)).curves["train_loss"])
    assert found[0][-1] == pytest.approx(found[1][-1], abs=1e-4)


def test_tasks_are_trained_or_evaluated() -> None:
    assert all(issubclass(cls, TrainedTask | EvaluatedTask) for cls in TASKS.values())


def test_equations_without_a_solution_are_a_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    def singular(*arguments: object) -> torch.Tensor:
        raise torch.linalg.LinAlgError("not positive-definite")

    monkeypatch.setattr("ttr_core.layers.model.SequenceModel.loss", singular)
    end = list(train(task("mqar", {"pairs": 2, "seq_len": 16}), ModelConfig(), TrainConfig()))[-1]
    assert isinstance(end, Finished) and end.status == "diverged" and "step 1" in end.message
