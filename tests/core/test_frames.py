"""Whole published layers, from tokens to outputs, against their papers token by token.

Each paper's layer is written from its equations and the module's own parameters by name, without
a line of ttr_core.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import ttr_core as ttr
from ttr_core.layers.frame import STANDARD

Parameters = dict[str, torch.Tensor]


def silu(x):
    return x / (1 + torch.exp(-x))


def softplus(x):
    return torch.log(1 + torch.exp(x))


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def rms(y):
    return y / (y.square().mean() + 1e-6).sqrt()


def convolved(p: Parameters, z: torch.Tensor) -> torch.Tensor:
    """Each channel's last four tokens, the newest first, weighed by its taps."""
    taps, rows = p["conv.taps"], []
    for t in range(len(z)):
        row = sum(taps[j] * z[t - j] for j in range(len(taps)) if t >= j)
        rows.append(row + p.get("conv.bias", 0))
    return torch.stack(rows)


def hgrn2(p, x, heads, floor=0.0):
    """Qin et al. 2024: f = l + (1 - l) sigmoid(.), h_t = Diag(f) h_{t-1} + (1 - f) v^T, y = q h."""
    D = x.shape[1]
    q, negative, v = convolved(p, x @ p["qkv.weight"].T).split(D, 1)
    f = floor + (1 - floor) * sigmoid(-negative - p["signals.bias"].flatten())
    size, h, rows = D // heads, torch.zeros(heads, D // heads, D // heads).double(), []
    for t in range(len(x)):
        row = []
        for n in range(heads):
            one = slice(n * size, (n + 1) * size)
            h[n] = torch.diag(f[t, one]) @ h[n] + torch.outer(1 - f[t, one], v[t, one])
            row.append(silu(q[t, one]) @ h[n])
        rows.append(p["out.weight"] @ (p["norm"] * rms(torch.cat(row))))
    return torch.stack(rows)


def mamba2(p, x, heads):
    """Dao and Gu 2024, Fig. 6: x, B, C convolved; dt and z beside them; gate, norm, projection."""
    D, N = 2 * x.shape[1], 64
    C, B, u = silu(convolved(p, x @ p["qkv.weight"].T)).split((N, N, D), 1)
    dt = softplus(x @ p["signals.delta.up.weight"].T + p["signals.delta.up.bias"])
    A, P, rows = -p["signals.A_log"].exp()[:, 0], D // heads, []
    h = torch.zeros(heads, P, N).double()
    for t in range(len(x)):
        row = []
        for n in range(heads):
            now = u[t, n * P : (n + 1) * P]
            h[n] = torch.exp(dt[t, n] * A[n]) * h[n] + dt[t, n] * torch.outer(now, B[t])
            row.append(h[n] @ C[t] + p["skip"][n] * now)
        gated = torch.cat(row) * silu(p["gate.weight"] @ x[t] + p["gate.bias"])
        rows.append(p["out.weight"] @ (p["norm"] * rms(gated)))
    return torch.stack(rows)


def mamba_block(p, x):
    """Gu and Dao 2023, Alg. 2 and Fig. 3: u convolved, C and B from u, and a low-rank step."""
    u = silu(convolved(p, x @ p["qkv.weight"].T))
    C, B = (u @ p["qk.weight"].T).split((16, 16), 1)
    return u, C, B


def stepped(p, name, u):
    down, up = p[f"signals.{name}.down.weight"], p[f"signals.{name}.up.weight"]
    return (u @ down.T) @ up.T + p[f"signals.{name}.up.bias"]


def mamba(p, x, heads):
    """Gu and Dao 2023: h[c] = exp(Delta_c A_c) o h[c] + Delta_c B u_c; y = C h + D u, gated."""
    u, C, B = mamba_block(p, x)
    Delta, A = softplus(stepped(p, "delta", u)), -p["signals.A_log"].exp()
    h, rows = torch.zeros(u.shape[1], 16).double(), []
    for t in range(len(x)):
        decay = torch.exp(Delta[t][:, None] * A)
        h = decay * h + (Delta[t] * u[t])[:, None] * B[t][None]
        y = h @ C[t] + p["skip"] * u[t]
        rows.append(p["out.weight"] @ (y * silu(p["gate.weight"] @ x[t] + p["gate.bias"])))
    return torch.stack(rows)


def longhorn(p, x, heads):
    """Liu et al. 2024, Alg. 1 in Mamba's block: beta = sigmoid, one step per channel."""
    u, q, k = mamba_block(p, x)
    beta = sigmoid(stepped(p, "step", u))
    S, rows = torch.zeros(u.shape[1], 16).double(), []
    for t in range(len(x)):
        Delta = beta[t] / (1 + beta[t] * (k[t] @ k[t]))
        S = (1 - torch.outer(Delta, k[t] ** 2)) * S + torch.outer(Delta * u[t], k[t])
        y = S @ q[t] + p["skip"] * u[t]
        rows.append(p["out.weight"] @ (y * silu(p["gate.weight"] @ x[t] + p["gate.bias"])))
    return torch.stack(rows)


def mlstm(p, x, heads):
    """Beck et al. 2024, Eq. 19-27, the input gate capped; a LayerNorm per head, then o."""
    D = x.shape[1]
    d = D // heads
    z = x @ p["qkv.weight"].T
    q, k = silu(convolved(p, z[:, : 2 * D])).split(D, 1)
    v, rows = z[:, 2 * D :], []
    raw = x @ p["signals.input.up.weight"].T + p["signals.input.up.bias"]
    i = torch.exp(15 * torch.tanh(raw / 15))
    f = sigmoid(x @ p["signals.forget.up.weight"].T + p["signals.forget.up.bias"])
    C, n = torch.zeros(heads, d, d).double(), torch.zeros(heads, d).double()
    for t in range(len(x)):
        row = []
        for h in range(heads):
            one = slice(h * d, (h + 1) * d)
            key = k[t, one] / d**0.5
            C[h] = f[t, h] * C[h] + i[t, h] * torch.outer(v[t, one], key)
            n[h] = f[t, h] * n[h] + i[t, h] * key
            y = C[h] @ q[t, one] / (n[h] @ q[t, one]).abs().clamp_min(1)
            row.append((y - y.mean()) / (y.var(correction=0) + 1e-6).sqrt())
        o = sigmoid(p["gate.weight"] @ x[t] + p["gate.bias"])
        rows.append(p["out.weight"] @ (o * p["norm"] * torch.cat(row)))
    return torch.stack(rows)


COMPLEMENT = ttr.Frame(gates="complement")
PAPERS = {
    "hgrn2": hgrn2, "mamba": mamba, "mamba2": mamba2, "mlstm": mlstm, "longhorn": longhorn,
}  # fmt: skip


def made(spec: ttr.Spec, frame: ttr.Frame, heads: int = 2) -> ttr.SequenceLayer:
    """A layer whose parameters are all away from where they start."""
    generator = torch.Generator().manual_seed(0)
    module = ttr.SequenceLayer(spec, frame, 16, heads, generator=generator).double()
    with torch.no_grad():
        for p in module.parameters():
            p += 0.2 * torch.randn(p.shape, generator=generator)
    return module


@torch.no_grad()
def check(module: ttr.SequenceLayer, paper, **settings) -> None:
    x = torch.randn(21, 16, generator=torch.Generator().manual_seed(1)).double()
    expected = paper(module.state_dict(), x, module.sizes.heads, **settings)
    torch.testing.assert_close(module(x[None])[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("heads", [1, 4])
def test_a_layer_equals_its_papers_layer(name: str, heads: int) -> None:
    entry = ttr.catalog[name]
    check(made(entry.spec, entry.frame, heads), PAPERS[name])


def test_hgrn2_keeps_a_lower_bound_on_its_gates() -> None:
    entry = ttr.catalog["hgrn2"]
    module = made(entry.spec, replace(entry.frame, decay_floor=0.6))
    check(module, hgrn2, floor=0.6)
    stream, _ = module._stream(torch.randn(1, 9, 16).double(), None, 0)
    decay = stream.signals["decay"].exp()
    assert decay.min() >= 0.6
    torch.testing.assert_close(stream.k, 1 - decay)


def test_the_gated_moving_average_weighs_by_what_it_forgets() -> None:
    spec = ttr.Spec.parse("Gate * Importance | Linear(map=elu1) | Hebbian | readout=Normalized")
    module = made(spec, ttr.Frame(gates="complement", output_norm="none"))
    stream, _ = module._stream(torch.randn(1, 9, 16).double(), None, 0)
    signals = stream.signals
    torch.testing.assert_close(signals["importance"], 1 - signals["decay"].exp())


def test_a_weight_of_one_minus_the_decay_survives_float32() -> None:
    module = made(ttr.Spec.parse("Gate * Importance | Linear | Hebbian"), COMPLEMENT).float()
    with torch.no_grad():
        module.signals["decay"].up.bias.fill_(20.0)
        module.signals["decay"].up.weight.zero_()
    stream, _ = module._stream(torch.randn(1, 3, 16), None, 0)
    importance = stream.signals["importance"].flatten()
    torch.testing.assert_close(importance, torch.full((6,), 2.0611537e-9))


def test_exponential_input_gates_are_capped() -> None:
    spec = ttr.catalog["mamba2"].spec
    module = made(spec, ttr.Frame(gates="exponential"))
    with torch.no_grad():
        module.signals["input"].up.bias.fill_(1000.0)
    stream, _ = module._stream(torch.randn(1, 3, 16).double(), None, 0)
    assert stream.signals["importance"].max().log().item() == pytest.approx(15.0)


@pytest.mark.parametrize(("heads", "lives"), [(1, [256.0]), (2, [16.0, 256.0])])
def test_fresh_gates_reach_the_beginning_of_the_sequence(heads: int, lives: list[float]) -> None:
    spec = ttr.Spec.parse("Gate | Linear | SGD")
    layer = ttr.SequenceLayer(spec, STANDARD, 8, heads)
    kept = torch.sigmoid(layer.signals["decay"].up.bias.double())
    half_lives = -math.log(2.0) / torch.log(kept)
    torch.testing.assert_close(half_lives, torch.tensor(lives).double(), rtol=1e-3, atol=0.0)


def test_fresh_selective_gates_are_mambas() -> None:
    spec, frame = ttr.catalog["mamba2"].spec, ttr.catalog["mamba2"].frame
    module = ttr.SequenceLayer(spec, frame, 64, 64, generator=torch.Generator().manual_seed(0))
    steps = module.signals["delta"](torch.zeros(1, 1, 64)).flatten()
    rates = module.signals.A_log.exp()
    assert 1e-3 <= steps.min() < 2e-3 and 5e-2 < steps.max() <= 1e-1
    assert 1 <= rates.min() < 2 and 15 < rates.max() <= 16


def test_fresh_rates_per_feature_are_mambas_over_their_number() -> None:
    module = ttr.catalog["mamba"].layer(8, generator=torch.Generator().manual_seed(0))
    rates = module.signals.A_log.detach().exp()
    torch.testing.assert_close(rates, (torch.arange(1.0, 17) / 16).expand(16, 16))


@pytest.mark.parametrize(
    ("gates", "spec", "match"),
    [
        ("selective", "Gate | Linear | SGD", "no signal importance"),
        ("complement", "Importance | Linear | Hebbian", "one decay per token"),
        ("complement", "ChannelGate * Importance | Linear | Hebbian", "one decay per token"),
        ("complement_keys", "Gate | Linear | Hebbian", "per channel of the keys"),
        ("complement_keys", "ChannelGate | Linear(map=dpfp) | Hebbian", "per channel of the keys"),
    ],
)
def test_gates_that_do_not_fit_say_what_to_change(gates: str, spec: str, match: str) -> None:
    with pytest.raises(ttr.RequestError, match=match):
        ttr.SequenceLayer(ttr.Spec.parse(spec), ttr.Frame(gates=gates), 16, 2)


def test_sizes_that_do_not_fit_say_what_to_change() -> None:
    with pytest.raises(ttr.RequestError, match="qk_heads=3 does not divide 4"):
        ttr.Frame(qk_heads=3).sizes(16, 4)
    with pytest.raises(ttr.RequestError, match="conv_on=v"):
        ttr.Frame(source="values", conv=4)


@pytest.mark.parametrize("heads", ["model", "channels"])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_every_shape_of_heads_decodes_as_it_reads(heads: str, kv_heads: int) -> None:
    frame = ttr.Frame(
        heads=heads, key_dim=3, qk_heads=1, expand=2, conv=3, conv_on=("v",), source="values",
        skip="values", output_norm="layer", output_gate="sigmoid", key_scale="root",
    )  # fmt: skip
    spec = ttr.Spec.parse("Gate | Linear | SGD")
    module = ttr.SequenceLayer(spec, frame, 16, 4, kv_heads).double()
    x, state, rows = torch.randn(2, 9, 16).double(), None, []
    for t in range(9):
        y, state = module.step(x[:, t], state)
        rows.append(y)
    torch.testing.assert_close(torch.stack(rows, 1), module(x), rtol=1e-8, atol=1e-8)
    assert module.sizes.inner == 32 and module.sizes.value_dim == (8 if heads == "model" else 1)


@pytest.mark.parametrize("name", [n for n, e in ttr.catalog.items() if e.frame.key_dim])
def test_the_size_of_the_state_is_that_of_the_frame(name: str) -> None:
    per_channel, _, per_head = ttr.catalog[name].state_size.partition(" d")
    size = int(per_channel) * 32 + 2 * int(per_head.strip(" +H") or 0)
    config = ttr.ModelConfig((name,), d_model=32, heads=2, frame="published")
    model = ttr.SequenceModel(config, 50, torch.Generator().manual_seed(0))
    assert model.state_size(10_000) == size
    module = model.layers()[0]
    _, state = module.advance(torch.zeros(1, 40, 32), None)  # longer than any window is
    assert model.state_size(10_000) == sum(s.numel() for n, s in state.items() if "memory" in n)
    assert model.flops_per_token(9) > 0
