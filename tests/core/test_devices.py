"""Layers as torch modules: no device is waited for, and torch's own transforms go through."""

from __future__ import annotations

import copy
import io
import pickle
from types import SimpleNamespace

import pytest
import torch
from streams import TESTED, framed, shorten_chunks, stream, thinned

import ttr_core as ttr
from ttr_core.limits import MAX_BYTES, Estimate, Lowered, check
from ttr_core.precision import readable
from ttr_core.solvers.api import run

CASES = framed()
every_case = pytest.mark.parametrize(("spec", "frame"), CASES)


def made(spec: ttr.Spec, frame: ttr.Frame, d_model: int = 16) -> ttr.SequenceLayer:
    return ttr.SequenceLayer(
        spec, frame, d_model, 2, generator=torch.Generator().manual_seed(0)
    ).double()


@every_case
def test_a_layer_reads_no_number_back(
    spec: ttr.Spec, frame: ttr.Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are none on torch's meta device: where one is read, an accelerator is waited for."""
    shorten_chunks(monkeypatch, 8)
    layer = made(spec, frame).to("meta")
    x = torch.empty(2, 20, 16, device="meta", dtype=torch.float64, requires_grad=True)
    y = layer(x)
    assert y.shape == x.shape and y.device.type == "meta"
    y.sum().backward()
    tensors = [x, *(p for p in layer.parameters() if p.requires_grad)]
    assert all(z.grad is not None and z.grad.shape == z.shape for z in tensors)
    _, state = layer.advance(x[:, :5], None)
    assert layer.step(x[:, 5], state)[0].shape == (2, 16)


COVERED = {(ttr.resolve(s).name, s.weights.name): s for s in TESTED}
"""A cell for every fast path and every choice of weights that it runs under."""


@pytest.mark.parametrize("spec", thinned(COVERED.values()))
def test_a_solve_reads_no_number_back(spec: ttr.Spec) -> None:
    """Its values have no memory behind them, nor have its parameters."""
    solver = ttr.resolve(spec)
    x = stream(spec, 18).map(lambda z: z.to("meta").requires_grad_())
    params = {
        name: p.detach().to("meta").requires_grad_(p.requires_grad)
        for name, p in spec.parameters(x.key_dim, x.value_dim, x.heads).items()
    }
    y, _ = run(solver, spec, x, params, None)
    y.sum().backward()
    assert y.device.type == "meta" and x.v.grad is not None and x.v.grad.shape == x.v.shape


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch maps SDPA by a loop
@every_case
def test_what_is_not_read_gives_the_same(spec: ttr.Spec, frame: ttr.Frame) -> None:
    """Under a transform of torch nothing may be read; outputs are those that reading gives."""
    if frame.heads != "model":
        pytest.skip("sums of channels write in place, which torch.func does not map")
    layer, x = made(spec, frame), torch.randn(3, 2, 9, 16).double()
    with torch.no_grad():
        y = torch.func.vmap(layer, randomness="error")(x)
        wanted = layer(x.flatten(0, 1)).unflatten(0, (3, 2))
    torch.testing.assert_close(y, wanted, rtol=1e-7, atol=1e-8)


@every_case
def test_copies_and_pickles_are_the_same_layer(spec: ttr.Spec, frame: ttr.Frame) -> None:
    layer, x = made(spec, frame), torch.randn(1, 5, 16).double()
    layer(x).sum().backward()  # what is copied after use is the layer, not its graph
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.spec == layer.spec and torch.equal(other(x), layer(x))
    params = {name: p.detach() + 0.01 for name, p in layer.named_parameters()}
    moved = torch.func.functional_call(layer, params, (x,))
    with torch.no_grad():
        for p in layer.parameters():
            p += 0.01
    torch.testing.assert_close(moved, layer(x))


def test_a_state_is_saved_and_loaded() -> None:
    for entry in ttr.catalog.values():
        layer, x, buffer = made(entry.spec, entry.frame), torch.randn(1, 6, 16).double(), None
        _, state = layer.advance(x[:, :5], None)
        buffer = io.BytesIO()
        torch.save({name: s.detach() for name, s in state.items()}, buffer)
        buffer.seek(0)
        loaded = torch.load(buffer, weights_only=True)
        assert torch.equal(layer.step(x[:, 5], loaded)[0], layer.step(x[:, 5], state)[0])


@pytest.mark.parametrize(("spec", "frame"), CASES[::5])
def test_gradients_are_those_of_differences(spec: ttr.Spec, frame: ttr.Frame) -> None:
    layer = made(spec, frame, 4)
    x = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(3)).double().requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,), eps=1e-6, atol=1e-4, rtol=1e-3, fast_mode=True)


TRACED = [
    "linear-attention",
    "gated-deltanet",
    "softmax-attention",
    "mesa-layer",
    "kernel-regression",
    "gla",
    "forgetting-transformer",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch does so as it traces
@pytest.mark.parametrize("name", TRACED)
def test_a_layer_is_one_graph(name: str) -> None:
    import torch._dynamo

    entry, x = ttr.catalog[name], torch.randn(2, 70, 16).double()
    layer = made(entry.spec, entry.frame)
    torch._dynamo.reset()
    explained = torch._dynamo.explain(layer)(x)
    assert explained.graph_count == 1 and explained.graph_break_count == 0
    program = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(program(x), layer(x), rtol=1e-9, atol=1e-9)


def test_what_may_be_read() -> None:
    x = torch.zeros(3, 2)
    assert readable(x) and readable(torch.nn.Parameter(x)) and readable(x.requires_grad_())
    assert not readable(x.to("meta"))
    seen = []
    torch.func.vmap(lambda z: (seen.append(readable(z)), z)[1])(x)
    assert seen == [False]


def test_a_gpu_may_be_filled_and_a_cpu_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a CPU is for memory that others use, too."""
    large = Estimate(flops=1.0, bytes=1.5 * MAX_BYTES)
    with pytest.raises(ttr.LimitExceeded, match=r"18\.0 GiB; the limit is 12 GiB"):
        check("This", large)
    card = SimpleNamespace(total_memory=2 * MAX_BYTES)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    check("This", large, device="cuda")
    size = {"batch": Lowered(40, lambda n: Estimate(flops=1.0, bytes=n * MAX_BYTES / 10))}
    with pytest.raises(ttr.LimitExceeded, match=r"the limit is 24 GiB.*batch=20 would do"):
        check("This", size["batch"].cost(40), smaller=size, device="cuda")
