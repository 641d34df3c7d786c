"""Why a spec is no layer is true: each kind of reason has a witness that can be tried."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from streams import UNDEFINED, stream
from torch import Tensor

import ttr_core as ttr
from ttr_core.named import part
from ttr_core.solvers.reference import reference
from ttr_core.space.functions import FunctionClass, KernelModel, Linear
from ttr_core.space.newton import newton
from ttr_core.space.optimizers import Exact, Retrospective
from ttr_core.space.weights import Importance

Witness = Callable[[ttr.Spec], None]
FAILS = (KeyError, IndexError, RuntimeError, AssertionError, AttributeError, TypeError, ValueError)
T = 6


def outputs(spec: ttr.Spec, x: ttr.Stream) -> Tensor:
    """What the definition would give, unasked whether there is one."""
    params = spec.parameters(x.key_dim, x.value_dim, x.heads)
    return reference(spec, x, {n: p.detach() for n, p in params.items()})


def own(model: FunctionClass, keys: Tensor) -> dict[str, Tensor]:
    spec = ttr.Spec(Importance(), model, Exact())
    made = part(spec.parameters(keys.shape[-1], keys.shape[-1], 1), "function")
    return dict(model.given({n: p.detach().double() for n, p in made.items()}, keys))


def generic(size: int = 3, length: int = T) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.randn(3, 1, 1, length, size, generator=torch.Generator().manual_seed(0))
    q, k, v = draw.double()
    return q, k, v


# ---- the witnesses, in the order of the reasons


def another_memory_for_another_query(spec: ttr.Spec) -> None:
    x = stream(spec.with_axis("optimizer", Exact()), T, heads=1)
    turned = replace(x, q=torch.cat([x.q[:, :, :-1], -x.q[:, :, -1:]], 2))
    params = spec.weights.parameters(x.key_dim, x.value_dim, 1)
    rows = [spec.weights.matrix(z, params)[0, 0, -1, :, 0] for z in (x, turned)]
    assert torch.cosine_similarity(*rows, 0) < 0.999
    alone = spec.with_axis("weights", Importance())
    if not alone.objections():
        made = stream(alone, T, heads=1)
        each = [
            replace(made, signals=made.signals | {"importance": r.view(1, 1, -1, 1)}) for r in rows
        ]
        apart = [outputs(alone, z)[0, 0, -1] for z in each]
        assert not torch.allclose(*apart, rtol=1e-6)


def each_pair_changes_by_another_factor(spec: ttr.Spec) -> None:
    x = stream(spec.with_axis("optimizer", Exact()), T, heads=1)
    gamma = replace(spec.weights, length=4).matrix(x, {})[0, 0, :, :, 0]
    factors = gamma[T - 1, : T - 1] / gamma[T - 2, : T - 1]
    assert factors.max() - factors.min() > 0.1


def a_fit_around_one_query_is_none_around_the_next(spec: ttr.Spec) -> None:
    q, k, v = generic(length=20)
    model, here, there = spec.function, q[:, :, :1], q[:, :, 1:2]
    params = own(model, k)

    def fitted(center: Tensor) -> dict[str, Tensor]:
        def cost(m: dict[str, Tensor]) -> Tensor:
            return (v - model.predict(m, k, params, center=center)).square().sum() + model.penalty(
                m
            )

        return newton(cost, model.init(3, 3, k, params))

    said, wanted = (
        model.predict(m, there, params, center=there) for m in map(fitted, (here, there))
    )
    assert (said - wanted).norm() > 0.01 * wanted.norm()


def not_solved_by_one_newton_step(spec: ttr.Spec) -> None:
    _, k, v = generic()
    model, rule = spec.function, spec.optimizer
    params, moved = own(model, k), torch.tensor(0.5).double()
    start = model.init(3, 3, k, params)

    def loss(m: dict[str, Tensor]) -> Tensor:
        return (v - model.predict(m, k, params)).square().sum() / 2

    def cost(m: dict[str, Tensor]) -> Tensor:
        if isinstance(rule, Retrospective):
            return loss(m) + getattr(rule, "ridge", 0.0) / 2 * model.penalty(m)
        return moved * loss(m) + sum((m[n] - start[n]).square().sum() for n in m) / 2

    try:
        if isinstance(rule, Retrospective):
            found = rule.minimize(loss, start, model.penalty)
        else:
            signals = {"step": moved[None], "importance": torch.ones(()).double()}
            found, _ = rule.update(start, rule.begin(start), loss, signals, start)
    except FAILS:
        return
    slope, first = (torch.func.grad(cost)(m) for m in (found, start))
    left, before = (sum(g.square().sum() for g in s.values()) ** 0.5 for s in (slope, first))
    assert not left < 1e-6 * before


def without_a_least(spec: ttr.Spec) -> None:
    x = stream(spec.with_axis("optimizer", Exact()), T, heads=1)
    gamma = replace(spec.weights, length=2).matrix(x, {})[0, 0, -1, :, 0]
    assert gamma.min() < 0
    key = 100 * torch.eye(T, dtype=torch.float64)  # each pair has a direction of its own
    curvature = (key.mT * gamma) @ key + torch.eye(T, dtype=torch.float64)  # with a ridge of 1
    assert torch.linalg.eigvalsh(curvature).min() < 0  # along it the loss falls for ever


def no_width_for_its_decays(spec: ttr.Spec) -> None:
    signal = next(s for s in spec.signals if s.unit == "feature")
    with pytest.raises(ttr.RequestError, match="no features"):
        spec.signal_width(signal, 3, 2)


def answers_do_not_add_up(spec: ttr.Spec) -> None:
    q, k, _ = generic()
    model = spec.function
    params = own(model, k)
    a, b = (
        {n: m + s * torch.ones_like(m) for n, m in model.init(3, 3, k, params).items()}
        for s in (0.5, -0.3)
    )
    both, none = {n: a[n] + b[n] for n in a}, {n: 0 * a[n] for n in a}
    said = [model.predict(m, q, params, center=q) for m in (both, none, a, b)]
    assert (said[0] + said[1] - said[2] - said[3]).norm() > 1e-3


def depends_on_the_future(spec: ttr.Spec) -> None:
    x = stream(spec, T, heads=1)
    try:
        whole = outputs(spec, x)[:, :, :3]
        prefix = outputs(spec, x.tokens(0, 3))
    except FAILS:
        return
    assert not torch.allclose(whole, prefix, rtol=1e-6)


def never_moves(spec: ttr.Spec) -> None:
    x = stream(spec, T, heads=1)
    y, turned = outputs(spec, x), outputs(spec, replace(x, v=-3 * x.v))
    assert torch.allclose(y, turned)


def drowns_in_rounding(spec: ttr.Spec) -> None:
    _, k, _ = generic(size=2, length=200)
    model = spec.function
    assert isinstance(model, KernelModel)
    gram = model.gram(k, k, own(model, k))[0, 0]
    values = torch.linalg.eigvalsh(gram)
    rounding = torch.finfo(gram.dtype).eps * values.max()
    assert values.min() < 100 * rounding  # answers are wrong by a hundredth, at the worst


def turns_with_its_basis(spec: ttr.Spec) -> None:
    dual = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).double())[
        0
    ]
    mirror = spec.optimizer.mirror  # type: ignore[attr-defined]  # the optimizer of the reason
    assert (mirror(turn @ dual) - turn @ mirror(dual)).norm() > 0.01


def shrinks_in_another_basis(spec: ttr.Spec) -> None:
    draw = torch.Generator().manual_seed(0)
    phi, memory = (torch.randn(*shape, generator=draw).double() for shape in ((1, 4), (4, 3)))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=draw).double())[0]
    rule, step = spec.optimizer, {"step": torch.ones(1, 1).double()}

    def left(features: Tensor, m: Tensor) -> Tensor:
        made = rule.shrinkage(features, None, step)  # type: ignore[attr-defined]  # a DiagonalStep
        return made.log_decay.exp().mT * m

    assert (left(phi @ turn.mT, turn @ memory) - turn @ left(phi, memory)).norm() > 0.01


def gates_in_another_basis(spec: ttr.Spec) -> None:
    x, rule = stream(replace(spec, function=Linear()), T, heads=1), spec.optimizer
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double())[
        0
    ]
    plain, turned = (
        rule.steps(x, phi, None, {}).read  # type: ignore[attr-defined]  # it takes rank-one steps
        for phi in (lambda z: z, lambda z: z @ turn.mT)
    )
    assert (turned - plain @ turn.mT).norm() > 0.01


def grows_with_the_pairs(spec: ttr.Spec) -> None:
    _, k, _ = generic()
    sizes = []
    for length in (3, 6):
        keys = k[:, :, :length]
        memory = spec.function.init(3, 2, keys, own(spec.function, keys))
        state = spec.optimizer.begin(memory)  # type: ignore[attr-defined]  # it is incremental
        sizes.append(max(z.numel() for z in state.values()))
    assert sizes[1] == 4 * sizes[0]


def leaves_the_span_of_the_keys(spec: ttr.Spec) -> None:
    q, k, _ = generic()
    model = spec.function
    assert isinstance(model, KernelModel)
    params = own(model, k)
    gram, cross, square = (model.gram(a, b, params)[0, 0] for a, b in ((k, k), (k, q), (q, q)))
    outside = square.diagonal() - (cross * torch.linalg.solve(gram, cross)).sum(0)
    assert outside.max() > 1e-3


def shrinks_what_no_ridge_may(spec: ttr.Spec) -> None:
    model, (_, k, _) = spec.function, generic()
    one = {n: torch.ones_like(m) for n, m in model.init(3, 2, k, own(model, k)).items()}
    assert model.penalty(one) == 0
    x = stream(spec.with_axis("optimizer", Exact()), T, heads=1)
    try:
        running = outputs(spec, x)
    except FAILS:
        return
    assert not torch.allclose(running, outputs(spec.with_axis("optimizer", Exact()), x))


def has_no_one_discount(spec: ttr.Spec) -> None:
    x = stream(spec.with_axis("optimizer", Exact()), T, heads=1)
    assert x.signals["decay"].shape[-1] > 1
    try:
        running = outputs(spec, x)
    except FAILS:
        return
    assert not torch.allclose(running, outputs(spec.with_axis("optimizer", Exact()), x))


WITNESSES: dict[str, Witness] = {
    r"no running state serves all queries under .*memoryless": another_memory_for_another_query,
    r"weights of older pairs change by another factor": each_pair_changes_by_another_factor,
    r"is centered at each query, and a memory": a_fit_around_one_query_is_none_around_the_next,
    r"counts on a quadratic, and .* is not linear": not_solved_by_one_newton_step,
    r"negatively, and .* has no fit to negative weights": without_a_least,
    r"forgets feature by feature; .* has no features": no_width_for_its_decays,
    r"forgets feature by feature; the features of .* move": no_width_for_its_decays,
    r"needs a function class that is linear in features": answers_do_not_add_up,
    r"needs a function class that is linear in its": answers_do_not_add_up,
    r"keeps a simplex over the inputs": never_moves,
    r"Without a ridge .* passes through every pair": drowns_in_rounding,
    r"has a row for every pair, of the future too": depends_on_the_future,
    r"mirrors .* determined up to a rotation only": turns_with_its_basis,
    r"shrinks each feature .* determined up to a rotation": shrinks_in_another_basis,
    r"gates each feature .* determined up to a rotation": gates_in_another_basis,
    r"keeps a matrix of all features by all": grows_with_the_pairs,
    r"brings keys of its own": leaves_the_span_of_the_keys,
    r"none shrinks the intercept": shrinks_what_no_ridge_may,
    r"discounts its sums by one number per token": has_no_one_discount,
}


def kinds(text: str) -> list[str]:
    return [kind for kind in WITNESSES if re.search(kind, text)]


SAID = [(reason, spec) for spec in UNDEFINED for reason in spec.objections()]
FOUND: dict[tuple[str, ...], ttr.Spec] = {}
for _reason, _spec in SAID:
    for _kind in kinds(_reason):
        _key = (_kind, type(_spec.function).__name__, type(_spec.optimizer).__name__)
        FOUND.setdefault(_key, _spec)


def test_every_reason_has_one_witness_and_every_witness_a_reason() -> None:
    assert {len(kinds(reason)) for reason, _ in SAID} == {1}
    assert {kind for kind, *_ in FOUND} == {*WITNESSES}


@pytest.mark.parametrize(
    ("key", "spec"), FOUND.items(), ids=lambda x: str(x) if isinstance(x, ttr.Spec) else x[0][:24]
)
def test_the_reason_is_so(key: tuple[str, ...], spec: ttr.Spec) -> None:
    WITNESSES[key[0]](spec)


@pytest.mark.parametrize(
    ("text", "witness"),
    [
        ("Window | Linear | SGD", another_memory_for_another_query),
        ("Uniform | Linear | Exact", not_solved_by_one_newton_step),
        ("Uniform | Linear | Implicit", not_solved_by_one_newton_step),
        ("ChannelGate | Linear | SGD", no_width_for_its_decays),
        ("Uniform | Linear | Hebbian", answers_do_not_add_up),
        ("Uniform | Linear | MiniBatch", depends_on_the_future),
        ("Uniform | Linear | MirrorDescent(rate=0.1)", never_moves),
        ("Gate | Linear | RLS", has_no_one_discount),
        ("Gate | Linear | RLS", grows_with_the_pairs),
    ],
)
def test_of_a_layer_no_witness_testifies(text: str, witness: Witness) -> None:
    with pytest.raises((AssertionError, StopIteration, pytest.fail.Exception)):
        witness(ttr.Spec.parse(text))
