"""Tasks without training: causality, baselines, tuning, and what memories can hold."""

from __future__ import annotations

import math

import pytest
import torch

from ttr_core.errors import RequestError
from ttr_core.lab.tasks import (
    TASKS,
    EvaluatedTask,
    Prepared,
    Recall,
    Regression,
    generator,
    task,
)
from ttr_core.lab.tasks.constants import Constants, fixed, knobs, tuned
from ttr_core.lab.tasks.processes import PROCESSES, draw
from ttr_core.space.spec import Spec

EVALUATED = [name for name, cls in TASKS.items() if issubclass(cls, EvaluatedTask)]


def small(name: str) -> EvaluatedTask:
    sizes = {"regression": {"seq_len": 32, "dim": 8, "sequences": 4}}
    sizes["recall"] = {"pairs": 8, "seq_len": 64, "dim": 16, "sequences": 4}
    made = task(name, sizes.get(name, {"seq_len": 16, "dim": 8, "sequences": 4}))
    assert isinstance(made, EvaluatedTask)
    return made


# ----- regression ------------------------------------------------------------------------------

SPECS = (
    "ExpKernel | Constant | Exact",
    "Uniform | Linear | Hebbian",
    "Gate | Linear | SGD",
    "Uniform | Linear | Exact(ridge=0.1)",
    "Gate * ExpKernel | Constant | Exact",
)


def test_keys_that_are_made_of_noise_need_some() -> None:
    for noise in (0.0, 1e-30):
        with pytest.raises(RequestError, match="the keys are made of noise: use 1e-06 or more"):
            Regression(process="switching", noise=noise)
    least = Regression(process="switching", noise=1e-6, seq_len=16, dim=4, sequences=2)
    found = least.evaluate(Spec.parse("Uniform | Linear | SGD"))
    assert all(math.isfinite(value) for value in found.metrics.values())
    Regression(process="linear", noise=0.0)


@pytest.mark.parametrize("process", PROCESSES)
def test_what_a_step_reads_is_before_what_it_predicts(process: str) -> None:
    data = Regression(process=process, seq_len=16, dim=4).data()
    assert torch.equal(data.k[:, :, 1:], data.q[:, :, :-1])
    assert torch.equal(data.v[:, :, 1:], data.target[:, :, :-1])


def test_repeated_keys_come_round_and_are_bound_anew_at_the_switch() -> None:
    made = Regression(process="repeated", seq_len=64, dim=32, sequences=3, distinct=8, noise=0.0)
    data = made.data()
    assert torch.equal(data.k[:, :, 8:], data.k[:, :, :-8])
    old, new = data.v[:, :, 24:32], data.v[:, :, 32:40]
    assert torch.equal(old, data.v[:, :, :8]) and torch.equal(new, data.v[:, :, 56:])
    assert (old - new).square().sum(-1).min() > 0.1 and made.switch_step == 31
    exact, sgd, gated = (
        made.evaluate(Spec.parse(f"{text} | Linear | {how}")).curves["error"][-8:]
        for text, how in (("Uniform", "Exact"), ("Uniform", "SGD"), ("Gate", "Exact"))
    )
    assert sum(gated) < sum(sgd) < 0.5 * sum(exact)  # forgets, overwrites, remembers both


def test_a_text_is_read_round_and_round() -> None:
    made = Regression(process="text", text="a b a c", seq_len=12, dim=8, sequences=2, noise=0.0)
    data, same = made.data(), torch.equal
    assert same(data.k[:, :, 4:], data.k[:, :, :-4]) and same(data.v, data.q)
    assert same(data.k[:, :, 0], data.k[:, :, 2]) and not same(data.k[:, :, 1], data.k[:, :, 3])
    assert made.switch_step is None and made.baselines()["noise_floor"] == [0.0] * 12
    for text in ("a a a", "", " ".join(f"w{i}" for i in range(101)), "a b " * 200):
        with pytest.raises(RequestError, match="reads 2 to 100 words in at most 500 letters"):
            Regression(process="text", text=text)


def test_given_pairs_are_one_sequence_and_their_own_tuning() -> None:
    keys = torch.nn.functional.normalize(torch.randn(21, 4), dim=-1)
    prepared, made = Prepared.given(keys, keys @ torch.randn(4, 3)), Regression(seq_len=20, dim=4)
    spec = Spec.parse("Uniform | Linear | Exact")
    used = made.constants_of(spec, data=prepared.data)
    found = made.evaluate(spec, constants=used, prepared=prepared)
    assert found.curves["error"][-1] < 1e-2 < found.curves["error"][0]
    assert all(math.isnan(e) for e in found.curves["error_se"])


@pytest.mark.parametrize("spec", SPECS)
def test_no_step_sees_its_own_answer(spec: str) -> None:
    made = Regression(seq_len=32, dim=8, sequences=3, normalize_output="on")
    constants = Constants.fresh(Spec.parse(spec))
    data = made.data()
    before = made.errors(constants, data)
    at = 20
    v, k = data.v.clone(), data.k.clone()
    v[:, :, at + 1 :], k[:, :, at + 1 :] = 7.0, 3.0  # the answer of step 20 and all that follows
    after = made.errors(constants, type(data)(k, v, data.q, data.target, data.oracle))
    assert torch.allclose(before[:, : at + 1], after[:, : at + 1], atol=1e-5)
    assert not torch.allclose(before[:, at + 1 :], after[:, at + 1 :], atol=1e-2)


def test_baselines_know_what_they_claim() -> None:
    made = Regression(switch=1.0, condition=1.0, sequences=16)
    baselines = made.baselines()
    mean = {name: sum(curve) / len(curve) for name, curve in baselines.items()}
    assert mean["noise_floor"] == pytest.approx(64 * 0.02**2, rel=0.1)
    assert mean["repeat_last"] == pytest.approx(2.0, rel=0.1)  # two unrelated unit vectors
    assert mean["noise_floor"] < mean["fixed_linear"] < 1.2 * mean["noise_floor"]
    switched = Regression(switch=0.5, sequences=16).baselines()["fixed_linear"]
    assert sum(switched) / len(switched) > 10 * mean["fixed_linear"]


def test_least_squares_learns_a_fixed_map_and_forgetting_helps_after_a_switch() -> None:
    still = Regression(switch=1.0, dim=16, sequences=8)
    assert still.evaluate(Spec.parse("Uniform | Linear | Exact")).curves["error"][-1] < 0.05
    made = Regression(dim=16, sequences=8)
    plain = made.evaluate(Spec.parse("Uniform | Linear | SGD")).metrics
    exact = made.evaluate(Spec.parse("Uniform | Linear | Exact")).metrics
    assert exact["error_before"] < plain["error_before"]
    assert exact["error_after"] > 2 * exact["error_before"]


def test_the_paper_s_process_switches_where_it_says() -> None:
    made = Regression(process="switching", sequences=16)
    curve = torch.tensor(made.baselines()["repeat_last"])
    assert made.switch_step == 63
    assert curve[:60].mean() > 5 * curve[120:].mean()
    late = Regression(process="switching", order="slow-fast", sequences=16).baselines()
    assert (
        torch.tensor(late["repeat_last"])[:60].mean()
        < 0.5 * torch.tensor(late["repeat_last"])[120:].mean()
    )


def test_drift_turns_the_maps_and_noise_is_correlated() -> None:
    world = Regression(dim=8, noise=0.0, drift=0.5, switch=1.0, condition=1.0).world
    data = draw(world, 4, 2, generator(0, "test"))
    assert torch.allclose(data.target, data.oracle)
    still = Regression(dim=8, drift=0.0, switch=1.0, noise=0.0).baselines()["fixed_linear"]
    turning = Regression(dim=8, drift=0.5, switch=1.0, noise=0.0).baselines()["fixed_linear"]
    assert max(still) < 1e-4 < 0.5 < sum(turning) / len(turning)
    noisy = draw(Regression(correlation=1.0, noise=1.0).world, 2, 1, generator(0, "test"))
    residual = noisy.target - noisy.oracle
    assert torch.allclose(residual, residual[..., :1].expand_as(residual), atol=1e-5)


def test_condition_number_is_what_was_asked() -> None:
    for condition, low, high in ((1.0, 1.0, 1.5), (100.0, 70.0, 130.0)):
        world = Regression(condition=condition, seq_len=1024).world
        k = draw(world, 32, 1, generator(0, "test")).k.flatten(0, 2)
        values = torch.linalg.eigvalsh(k.mT @ k)
        assert low < values[-1] / values[0] < high  # unit length evens the keys out a little


@pytest.mark.parametrize("name", EVALUATED)
def test_an_evaluation_is_repeatable_and_counts_its_tries(name: str) -> None:
    made, calls = small(name), []
    spec = Spec.parse("Gate | Linear | SGD")
    first = made.evaluate(spec, seed=1, progress=lambda done, total: calls.append((done, total)))
    torch.rand(3)
    timed = name == "speed"  # which no two measurements repeat
    assert timed or first == made.evaluate(spec, seed=1)
    assert name == "sharpness" or first != made.evaluate(spec, seed=2)  # this cell needs none
    assert [done for done, _ in calls] == list(range(calls[0][1]))
    assert {row["name"] for row in first.tables["constants"]} == {"decay", "step"}


@pytest.mark.parametrize("name", EVALUATED)
def test_a_spec_that_is_no_layer_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="not a layer"):
        small(name).evaluate(Spec.parse("ExpKernel | Linear | SGD"))


def test_windows_cover_the_curve() -> None:
    found = Regression(seq_len=64, dim=8, sequences=4).evaluate(Spec.parse(SPECS[2]))
    rows = found.tables["windows"]
    assert [row["start"] for row in rows] == [0, *(row["stop"] for row in rows[:-1])]
    mean = sum(r["error"] * (r["stop"] - r["start"]) for r in rows) / 64
    assert mean == pytest.approx(found.metrics["error"], rel=1e-4)
    assert len(found.curves["error"]) == len(found.curves["error_se"]) == 64
    still = Regression(seq_len=64, dim=8, sequences=4, switch=1.0).evaluate(Spec.parse(SPECS[2]))
    assert [row["window"] for row in still.tables["windows"]] == ["all"]


def test_what_is_prepared_once_serves_every_layer() -> None:
    task = Regression(seq_len=32, dim=8, sequences=4)
    for spec in map(Spec.parse, SPECS[:2]):
        alone = task.evaluate(spec, 3)
        assert task.evaluate(spec, 3, prepared=task.prepared(3)) == alone
        assert task.evaluate(spec, 3, prepared=task.prepared(4)) != alone


def test_outputs_are_scaled_where_they_would_grow() -> None:
    made = Regression(seq_len=64, dim=8, sequences=4)
    hebbian, delta = Spec.parse("Uniform | Linear | Hebbian"), Spec.parse("Uniform | Linear | SGD")
    assert made.scales_output(hebbian) and not made.scales_output(delta)
    raw = Regression(seq_len=64, dim=8, sequences=4, normalize_output="off")
    assert raw.evaluate(hebbian).metrics["error"] > 2 * made.evaluate(hebbian).metrics["error"]


def test_fixed_constants_are_used_and_tuned_ones_are_better() -> None:
    spec = Spec.parse("Gate | Linear | SGD")
    made = Regression(dim=8, sequences=8, constants="fixed", decay=0.5, step=0.1)
    rows = made.evaluate(spec).tables["constants"]
    values = {row["name"]: row["value"] for row in rows}
    assert values["decay"] == pytest.approx(torch.tensor(0.5).log().item())
    assert values["step"] == pytest.approx(0.1)
    better = Regression(dim=8, sequences=8).evaluate(spec)
    assert better.metrics["error"] < made.evaluate(spec).metrics["error"]


# ----- constants -------------------------------------------------------------------------------


def test_what_a_spec_says_is_not_tuned() -> None:
    names = [knob.name for knob in knobs(Spec.parse("Uniform | Linear | Exact"))]
    assert names == ["ridge"]
    assert knobs(Spec.parse("Uniform | Linear | Exact(ridge=0.5)")) == ()


def test_tuning_finds_the_best_of_two_knobs_and_survives_failures() -> None:
    spec = Spec.parse("Gate * ExpKernel | Constant | Exact")
    (sharpness,) = (knob for knob in knobs(spec) if knob.name == "scale")
    goal = {"scale": sharpness.values[2], "decay": -0.02}

    def error(constants: Constants) -> float:
        found = {knob.name: knob.value(constants) for knob in knobs(spec)}
        if found["decay"] == 0.0:
            return float("nan")
        scale = found["scale"] or 1.0
        return abs(scale - goal["scale"]) + abs((found["decay"] or 0) - goal["decay"])

    best = tuned(spec, error)
    assert {knob.name: knob.value(best) for knob in knobs(spec)} == goal
    assert "ExpKernel(scale=4.0)" in str(best.spec)


def test_fixed_constants_ignore_knobs_that_a_spec_lacks() -> None:
    assert fixed(Spec.parse("Uniform | Linear | Hebbian"), {"step": 0.5}).signals == ()


# ----- recall ----------------------------------------------------------------------------------


def test_recall_ranks_memories_by_capacity() -> None:
    made = Recall(pairs=32, seq_len=256, dim=32, vocab_size=1024)
    found = {
        name: made.evaluate(Spec.parse(name)).metrics["accuracy"]
        for name in ("ExpKernel | Constant | Exact", "Uniform | Linear | Exact", SPECS[1])
    }
    assert found["ExpKernel | Constant | Exact"] == 1.0
    assert found["Uniform | Linear | Exact"] > found[SPECS[1]] > 0.3


def test_noise_in_the_queries_costs_accuracy() -> None:
    spec = Spec.parse("Uniform | Linear | Exact(ridge=0.1)")
    clean = Recall(pairs=32, seq_len=128, dim=32, vocab_size=1024)
    noisy = Recall(pairs=32, seq_len=128, dim=32, vocab_size=1024, query_noise=2.0)
    assert noisy.evaluate(spec).metrics["accuracy"] < clean.evaluate(spec).metrics["accuracy"] - 0.2


def test_recall_refuses_what_mqar_refuses() -> None:
    with pytest.raises(RequestError, match="seq_len of at least 512"):
        Recall(pairs=128, seq_len=256)
