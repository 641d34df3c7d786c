"""Empty streams, numbers that are none, and inputs that do not fit."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from streams import TESTED, by_default, framed, joined, stream, thinned

import ttr_core as ttr
from ttr_core.solvers.api import layout, run
from ttr_core.solvers.soundness import sound

SPECS = [spec for spec in TESTED if by_default(spec)]
EVERY = pytest.mark.parametrize("spec", thinned(SPECS))
FAST = pytest.mark.parametrize("spec", thinned(s for s in SPECS if not ttr.caution(s)))
FRAMES = framed()
AT = 5


def parameters(spec: ttr.Spec, x: ttr.Stream) -> dict[str, torch.Tensor]:
    return {n: p.detach() for n, p in spec.parameters(x.key_dim, x.value_dim, x.heads).items()}


def made(spec: ttr.Spec, frame: ttr.Frame) -> ttr.SequenceLayer:
    return ttr.SequenceLayer(spec, frame, 16, 2, generator=torch.Generator().manual_seed(0))


# Nothing at all


@EVERY
@pytest.mark.parametrize(("batch", "length"), [(1, 0), (0, 7), (0, 0)])
def test_an_empty_stream_gives_empty_outputs(spec: ttr.Spec, batch: int, length: int) -> None:
    x = stream(spec).map(lambda z: z[:batch, :, :length].requires_grad_())
    y = ttr.solve(spec, x)
    assert y.shape == (batch, 2, length, x.value_dim) and y.dtype == x.v.dtype
    y.sum().backward()
    assert x.v.grad is not None and x.v.grad.shape == x.v.shape
    assert ttr.attention_map(spec, x).shape == (batch, 2, length, length)


@FAST
def test_no_tokens_leave_the_state_as_it_was(spec: ttr.Spec) -> None:
    x = stream(spec)
    nothing, params = x.tokens(0, 0), parameters(spec, x)
    empty, before = ttr.prefill(spec, nothing, params)
    first, state = ttr.prefill(spec, x.tokens(0, 4), params, before)
    none, same = ttr.prefill(spec, nothing, params, state)
    rest, _ = ttr.prefill(spec, x.tokens(4, 7), params, same)
    assert empty.shape == none.shape == (1, 2, 0, x.value_dim)
    assert all(torch.equal(state[name], same[name]) for name in state)
    whole = ttr.solve(spec, x, params)
    torch.testing.assert_close(torch.cat([first, rest], 2), whole, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("spec", "frame"), FRAMES)
def test_a_layer_of_nothing(spec: ttr.Spec, frame: ttr.Frame) -> None:
    layer, x = made(spec, frame).double(), torch.randn(2, 9, 16).double()
    nothing, state, parts = x[:, :0], None, []
    for part in (nothing, x[:, :4], nothing, x[:, 4:]):
        y, state = layer.advance(part, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), layer(x), rtol=1e-7, atol=1e-9)
    none = layer(x[:0].requires_grad_())
    assert none.shape == (0, 9, 16)
    none.sum().backward()
    y, state = layer.step(x[:0, 0])
    assert layer.step(x[:0, 1], state)[0].shape == (0, 16)


@pytest.mark.parametrize(("batch", "length"), [(2, 0), (0, 5), (0, 0)])
def test_a_model_of_nothing(batch: int, length: int) -> None:
    config = ttr.ModelConfig(("deltanet", "softmax-attention"), depth=2, d_model=16, mlp=1)
    model = ttr.SequenceModel(config, 11, torch.Generator().manual_seed(0))
    logits = model(torch.zeros(batch, length, dtype=torch.long))
    assert logits.shape == (batch, length, 11)
    logits.sum().backward()


# Fewer queries than keys


@EVERY
def test_fewer_queries_belong_to_the_last_tokens(spec: ttr.Spec) -> None:
    x = stream(spec)
    params = parameters(spec, x)
    y = ttr.solve(spec, replace(x, q=x.q[:, :, -3:]), params)
    torch.testing.assert_close(y, ttr.solve(spec, x, params)[:, :, -3:], rtol=1e-9, atol=1e-9)


# Numbers that are none


def spoiled(x: ttr.Stream, name: str, value: float) -> ttr.Stream:
    """The stream with one entry of the second head's token replaced."""
    parts = {"q": x.q, "k": x.k, "v": x.v} | dict(x.signals)
    tensor = parts[name].clone()
    tensor[0, 1, AT, -1] = value
    if name in x.signals:
        return replace(x, signals={**x.signals, name: tensor})
    return replace(x, **{name: tensor})


@EVERY
def test_a_number_that_is_none_spoils_nothing_before_its_token(spec: ttr.Spec) -> None:
    x = stream(spec, length=11)
    params = parameters(spec, x)
    clean = ttr.solve(spec, x, params)
    for name in ("q", "k", "v", *x.signals):
        for value in (math.nan, math.inf):
            # As a layer asks, whose links keep signals in their range: `solve` would refuse them.
            y, _ = run(ttr.resolve(spec), spec, spoiled(x, name, value), params, None)
            torch.testing.assert_close(y[:, 0], clean[:, 0], rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(y[:, 1, :AT], clean[:, 1, :AT], rtol=1e-12, atol=1e-12)
            assert y[:, 1, AT:].isnan().all(), f"{name} {value}"


@FAST
def test_a_number_that_is_none_stays_in_the_state(spec: ttr.Spec) -> None:
    x = stream(spec, length=11)
    params = parameters(spec, x)
    y, state = ttr.prefill(spec, spoiled(x, "v", math.nan).tokens(0, 8), params)
    wanted, clean = ttr.prefill(spec, x.tokens(0, 8), params)
    for t in range(8, 11):
        y, state = ttr.prefill(spec, x.tokens(t, t + 1), params, state)
        wanted, clean = ttr.prefill(spec, x.tokens(t, t + 1), params, clean)
        assert y[:, 1].isnan().all()
        torch.testing.assert_close(y[:, 0], wanted[:, 0], rtol=1e-12, atol=1e-12)


@FAST
def test_gradients_before_a_number_that_is_none_are_as_without_it(spec: ttr.Spec) -> None:
    clean = stream(spec, length=11).map(lambda z: z.requires_grad_())
    odd = spoiled(clean.map(lambda z: z.detach()), "k", math.nan).map(lambda z: z.requires_grad_())
    params = parameters(spec, clean)
    for x in (clean, odd):
        ttr.solve(spec, x, params)[:, :, :AT].sum().backward()
    for a, b in zip((clean.q, clean.k, clean.v), (odd.q, odd.k, odd.v), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("spec", "frame"), FRAMES)
def test_a_layer_is_spoiled_from_the_token_on(spec: ttr.Spec, frame: ttr.Frame) -> None:
    layer, x = made(spec, frame).double(), torch.randn(2, 11, 16).double()
    odd = x.clone()
    odd[0, AT, 3] = math.nan
    with torch.no_grad():
        y, clean = layer(odd), layer(x)
    # Products of another place in memory round otherwise; a sharp kernel makes 1e-10 of it.
    torch.testing.assert_close(y[0, :AT], clean[0, :AT], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(y[1], clean[1], rtol=1e-8, atol=1e-8)
    assert y[0, AT].isnan().all()
    later = y[0, AT:]
    assert (later.isnan() | later.isclose(clean[0, AT:])).all()


@pytest.mark.parametrize("text", ["Linear", "Affine", "Quadratic", "Linear(map=elu1)"])
def test_a_key_without_end_under_no_ridge_is_no_fault_of_torchs(text: str) -> None:
    spec = ttr.Spec.parse(f"Uniform | {text} | Exact(ridge=0.0)")
    y = ttr.solve(spec, spoiled(stream(spec, length=11), "k", math.inf))
    assert y[:, 1, AT:].isnan().all() and y[:, 1, :AT].isfinite().all()


def test_a_key_whose_square_is_no_number_is_refused_in_words() -> None:
    spec = ttr.Spec.parse("Uniform | Linear | Exact(ridge=0.0)")
    with pytest.raises(ttr.RequestError, match=r"Exact\(ridge=0.0\).* Raise the ridge, or scale"):
        ttr.solve(spec, spoiled(stream(spec, length=11), "k", 1e300))


def test_a_reset_is_no_fault() -> None:
    """A log decay of -inf forgets everything; what was before it is as without it."""
    spec = ttr.Spec.parse("Gate | Linear | Hebbian")
    x = stream(spec, length=11)
    reset = spoiled(x, "decay", -math.inf)
    assert sound(spec, reset)[1] is None and sound(spec, spoiled(x, "decay", math.inf))[1].any()
    y, clean = ttr.solve(spec, reset), ttr.solve(spec, x)
    torch.testing.assert_close(y[:, 1, :AT], clean[:, 1, :AT])
    torch.testing.assert_close(y[:, 0], clean[:, 0])
    torch.testing.assert_close(y[:, 1, AT:], ttr.solve(spec, x.tokens(AT, 11))[:, 1])


def test_what_follows_may_differ_where_nothing_is_wrong() -> None:
    """The comparison can fail: a finite change at the token changes what follows."""
    spec = SPECS[0]
    x = stream(spec, length=11)
    y = ttr.solve(spec, joined(x, spoiled(x, "v", 3.0), AT))
    assert not torch.equal(y[:, 1, AT:], ttr.solve(spec, x)[:, 1, AT:])


# What does not fit

SPEC = ttr.Spec.parse("Gate | Linear | SGD")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda x: {"k": x.k.long()}, r"k holds torch.int64.*\.float\(\)"),
        (lambda x: {"v": x.v.to(torch.complex64)}, "v holds torch.complex64"),
        (lambda x: {"q": x.q.float()}, "q holds torch.float32 and k torch.float64"),
        (lambda x: {"v": x.v.to("meta")}, "v is on meta and k on cpu"),
        (lambda x: {"q": x.q.expand(3, -1, -1, -1)}, "batch of 3 beside 1"),
        (lambda x: {"q": x.q[:, :0]}, "0 heads"),
        (
            lambda x: {"signals": {**x.signals, "step": x.signals["step"].float()}},
            "signal 'step' holds torch.float32",
        ),
    ],
)
def test_a_stream_of_another_kind_is_refused(change, match: str) -> None:
    x = stream(SPEC)
    with pytest.raises(ttr.RequestError, match=match):
        ttr.solve(SPEC, replace(x, **change(x)))


def test_half_precision_goes_with_single() -> None:
    x = stream(SPEC, dtype=torch.float32)
    mixed = replace(x, v=x.v.bfloat16())
    wanted = ttr.solve(SPEC, replace(x, v=x.v.bfloat16().float())).bfloat16()
    torch.testing.assert_close(ttr.solve(SPEC, mixed), wanted)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (torch.zeros(2, 5, 8), r"d_model=16 maps \[B, T, 16\].*\(2, 5, 8\)"),
        (torch.zeros(5, 16), r"add the batch by x\[None\]"),
        (torch.zeros(2, 5, 16, dtype=torch.long), r"holds torch.int64.*\.float\(\)"),
        (torch.zeros(2, 5, 16).double(), "torch.float64 and the layer torch.float32"),
        (torch.zeros(2, 5, 16).half(), "torch.float16 and the layer torch.float32"),
        (torch.zeros(2, 5, 16, device="meta"), "on meta and the layer on cpu"),
    ],
)
def test_a_layer_refuses_what_does_not_fit(x: torch.Tensor, match: str) -> None:
    with pytest.raises(ttr.RequestError, match=match):
        made(SPEC, ttr.FRAMES["standard"])(x)


@pytest.mark.parametrize(
    ("tokens", "match"),
    [
        (torch.zeros(5, dtype=torch.long), r"\[B, T\]"),
        (torch.zeros(2, 5), "they are integers"),
        (torch.zeros(2, 5, dtype=torch.bool), "they are integers"),
        (torch.zeros(2, 5, dtype=torch.long, device="meta"), "on meta"),
    ],
)
def test_a_model_refuses_what_does_not_fit(tokens: torch.Tensor, match: str) -> None:
    model = ttr.SequenceModel(ttr.ModelConfig(d_model=16), 11)
    with pytest.raises(ttr.RequestError, match=match):
        model(tokens)
    with pytest.raises(
        ttr.RequestError, match=r"The positions hold|positions of shape|The positions are"
    ):
        model(torch.zeros(2, 5, dtype=torch.long), tokens)


def test_a_step_of_a_model_refuses_what_does_not_fit() -> None:
    model = ttr.SequenceModel(ttr.ModelConfig(d_model=16), 11)
    tokens = torch.zeros(2, dtype=torch.long)
    with pytest.raises(ttr.RequestError, match=r"tokens of shape \[B\]"):
        model.step(tokens[None])
    with pytest.raises(ttr.RequestError, match="2 states were given and the model has 1"):
        model.step(tokens, [{}, {}])


@FAST
def test_the_layout_of_a_state_is_that_of_any_later_one(spec: ttr.Spec) -> None:
    """What is found by one token and two holds for as many as are read."""
    x = stream(spec, length=40)
    wanted = layout(ttr.resolve(spec), spec, x.key_dim, x.value_dim)
    for length in (32, 40):  # at the end of a chunk, and within one
        _, state = ttr.prefill(spec, x.tokens(0, length))
        assert set(wanted) == set(state)
        for name, sizes in wanted.items():
            assert state[name].shape[:2] == (1, 2) and state[name].dim() == 2 + len(sizes)
            assert all(n in (None, m) for n, m in zip(sizes, state[name].shape[2:], strict=True))


@FAST
def test_a_state_of_other_sizes_is_refused(spec: ttr.Spec) -> None:
    x = stream(spec)
    token, (_, state) = x.tokens(0, 1), ttr.prefill(spec, x)
    with pytest.raises(ttr.RequestError, match="The state holds"):
        ttr.prefill(spec, token, state={"other": torch.zeros(1, 2, 3)})
    with pytest.raises(ttr.RequestError, match=r"The state's .* batch and heads first"):
        ttr.prefill(spec, token.map(lambda z: z.expand(3, -1, -1, -1)), state=state)
    wide = stream(spec, length=1, key_dim=4, value_dim=4 if spec.function.square else 3)
    with pytest.raises(ttr.RequestError, match="The state's"):
        ttr.prefill(spec, wide, state=state)


@FAST
def test_a_state_of_another_precision_is_refused(spec: ttr.Spec) -> None:
    x = stream(spec)
    _, state = ttr.prefill(spec, x)
    solver = ttr.resolve(spec)
    if any(s.is_floating_point() for s in state.values()) and not solver.finer(
        solver.narrowed(spec)
    ):
        with pytest.raises(ttr.RequestError, match=r"holds torch.float64 .* torch.float32: a seq"):
            ttr.prefill(spec, x.tokens(0, 1).map(lambda z: z.float()), state=state)


def test_a_layer_refuses_the_state_of_another() -> None:
    standard = ttr.FRAMES["standard"]
    delta, x = made(SPEC, standard), torch.randn(2, 3, 16)
    _, state = delta.advance(x, None)
    with pytest.raises(
        ttr.RequestError, match=r"keeps conv, offset beside its memory; .* keeps offset:"
    ):
        made(SPEC, ttr.Frame()).step(x[:, 0], state)
    with pytest.raises(ttr.RequestError, match=r"The state's conv .* these 1 sequences need"):
        delta.step(x[:1, 0], state)
    with pytest.raises(ttr.RequestError, match="goes on from"):
        made(ttr.catalog["softmax-attention"].spec, standard).step(x[:, 0], state)
    with pytest.raises(ttr.RequestError, match="A step maps one token"):
        delta.step(x, state)
    rwkv = ttr.catalog["rwkv6"]
    with pytest.raises(ttr.RequestError, match="keeps nothing"):
        made(rwkv.spec, rwkv.frame).step(x[:, 0], {})
