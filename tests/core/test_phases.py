"""Whole layers against their papers: complex loops from x and the layer's own parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import ttr_core as ttr

D, T, HEADS = 8, 33, 2


def moved(name: str) -> ttr.SequenceLayer:
    """A layer in float64 whose every parameter is moved away from where it starts."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    layer = ttr.catalog[name].layer(D, HEADS, length=T, generator=generator).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return layer


def rms(y, gain):
    return y / torch.sqrt((y * y).mean() + 1e-6) * gain


def silu(y):
    return y / (1 + torch.exp(-y))


def gateloop(p: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Katsch 2023, one head per channel: h_t = a_t h_{t-1} + k_t v_t; y_t = Re(q_t h_t)."""
    to_q, to_k, to_v = p["qkv.weight"].chunk(3)
    C = len(to_q)
    h, before, out = torch.zeros(C, dtype=torch.complex128), torch.zeros(C).double(), []
    for u in x:
        q, v, raw = to_q @ u, to_v @ u, to_k @ u
        k = p["conv.taps"][0] * raw + p["conv.taps"][1] * before
        alpha = p["signals.modulus.up.weight"] @ u + p["signals.modulus.up.bias"]
        beta = p["signals.angle.up.weight"] @ u + p["signals.angle.up.bias"]
        a = torch.sigmoid(alpha) * torch.exp(0.03j * beta)
        h, before = a * h + k * v, raw
        y = rms((q * h).real, p["norm"]) * silu(p["gate.weight"] @ u + p["gate.bias"])
        out.append(p["out.weight"] @ y)
    return torch.stack(out)


def lru(p: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Orvieto et al. 2023: h_t = lambda h_{t-1} + exp(g) B x_t; y_t = Re(C h_t) + D x_t."""
    pairs = p["qkv.weight"].view(D, 2, D)
    B, C = torch.complex(pairs[:, 0], pairs[:, 1]), p["out.weight"].view(D, D, 2)
    C = torch.complex(C[..., 0], -C[..., 1])
    eigen = torch.exp(-torch.exp(p["own.weights/nu"]) + 1j * torch.exp(p["signals.theta"]))
    h, out = torch.zeros(D, dtype=torch.complex128), []
    for u in x:
        h = eigen * h + torch.exp(p["signals.gain"]) * (B @ u.to(B.dtype))
        out.append((C @ h).real + p["direct"] * u)
    return torch.stack(out)


def rwkv6(p: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Peng et al. 2024, Eq. 11-20, its time mixing token by token and head by head."""
    K = D // HEADS
    S, last, out = torch.zeros(HEADS, K, K).double(), torch.zeros(D).double(), []
    to_r, to_k, to_v = p["qkv.weight"].chunk(3)
    A = p["shift.down"].view(D, 5, 32)
    for u in x:
        xx = last - u
        hidden = torch.tanh(torch.einsum("d,dzr->zr", u + xx * p["shift.first"], A))
        lora = torch.einsum("zr,zrd->zd", hidden, p["shift.up"])
        xr, xk, xv, xw, xg = (u + xx * (p["shift.shares"][z] + lora[z]) for z in range(5))
        r, k, v = (to_r @ xr, to_k @ xk, to_v @ xv)
        w0 = p["signals.start"].reshape(-1)
        w = torch.exp(-torch.exp(w0 + torch.tanh(xw @ p["signals.down"]) @ p["signals.up"]))
        heads = []
        for h in range(HEADS):
            at = slice(h * K, h * K + K)
            kv = torch.outer(k[at], v[at])
            y = r[at] @ (S[h] + torch.diag(p["own.readout/u"][h]) @ kv)
            heads.append((y - y.mean()) / torch.sqrt(y.var(correction=0) + 1e-6))
            S[h] = torch.diag(w[at]) @ S[h] + kv
        y = torch.cat(heads) * p["norm"] * silu(p["gate.weight"] @ xg + p["gate.bias"])
        out.append(p["out.weight"] @ y)
        last = u
    return torch.stack(out)


def mamba3(p: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Lahoti et al. 2026, its step with one input and one output, in complex numbers.

    A plane of two entries is a complex number; the first quarter of 64 turns, the rest does not.
    """
    K, P = 64, 2 * D // HEADS
    to_q, to_k, to_v = p["qkv.weight"].split([K, K, 2 * D])
    h = torch.zeros(HEADS, K, P, dtype=torch.float64)
    angle, before, out = torch.zeros(HEADS, K // 4, dtype=torch.float64), None, []
    raw_before = torch.zeros(K, dtype=torch.float64)

    def gated(name, u):
        return p[f"signals.{name}.up.weight"] @ u + p[f"signals.{name}.up.bias"]

    def turned(z, at):
        flat = torch.view_as_complex(z[: K // 2].reshape(-1, 2).contiguous()) * torch.exp(1j * at)
        return torch.cat([torch.view_as_real(flat).flatten(), z[K // 2 :]])

    def normal(z):
        return z / torch.sqrt((z * z).mean() + torch.finfo(z.dtype).eps)

    for u in x:
        raw, v = to_k @ u, (to_v @ u).view(HEADS, P)
        b = normal(p["conv.taps"][0] * raw + p["conv.taps"][1] * raw_before)
        c, raw_before = normal(to_q @ u), raw
        dt, A = F.softplus(gated("delta", u)), -F.softplus(gated("rate", u)).clamp(min=1e-4)
        lam, theta = (
            torch.sigmoid(gated("share", u)),
            torch.pi * torch.tanh(p["signals.angle.weight"] @ u),
        )
        heads, now = [], []
        for i in range(HEADS):
            angle[i] = angle[i] + theta * dt[i]
            B = turned(b + p["signals.biases"][1, i], angle[i])
            C = turned(c + p["signals.biases"][0, i], angle[i])
            alpha = torch.exp(dt[i] * A[i])
            h[i] = alpha * h[i] + lam[i] * dt[i] * torch.outer(B, v[i])
            if before is not None:
                last_B, last_v = before[i]
                h[i] += (1 - lam[i]) * dt[i] * alpha * torch.outer(last_B, last_v)
            now.append((B, v[i]))
            heads.append(C @ h[i] + p["skip"][i] * v[i])
        before = now
        y = torch.cat(heads) * silu(p["gate.weight"] @ u + p["gate.bias"])
        out.append(p["out.weight"] @ y)
    return torch.stack(out)


@pytest.mark.parametrize("paper", [gateloop, lru, rwkv6, mamba3])
def test_layer_equals_its_papers_own_loop(paper) -> None:
    layer = moved(paper.__name__)
    x = torch.randn(2, T, D).double()
    p = dict(layer.named_parameters())
    with torch.no_grad():
        wanted = torch.stack([paper(p, row) for row in x])
        torch.testing.assert_close(layer(x), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["gateloop", "lru", "rwkv6", "mamba3"])
def test_layer_goes_on_in_parts_of_any_length(name: str) -> None:
    layer, x, state, parts = moved(name), torch.randn(2, T, D).double(), None, []
    for start, stop in ((0, 3), (3, 4), (4, 20), (20, T)):
        y, state = layer.advance(x[:, start:stop], state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), layer(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["gateloop", "lru", "mamba3"])
def test_phases_stay_exact_in_float32_far_from_the_start(name: str) -> None:
    layer, x = moved(name), torch.randn(1, 4000, D)
    single = moved(name).float()
    with torch.no_grad():
        y, wide = single(x), layer(x.double())
    assert (y - wide)[:, -50:].norm() <= 1e-3 * wide[:, -50:].norm()


@pytest.mark.parametrize(("name", "channels"), [("gateloop", 8 * D), ("lru", D)])
def test_the_state_of_a_complex_channel_is_two_numbers(name: str, channels: int) -> None:
    _, state = moved(name).step(torch.randn(1, D).double())
    held = [s for n, s in state.items() if n.startswith("memory.")]
    assert sum(s.numel() for s in held) == 2 * channels


def test_fresh_phases_stay_together() -> None:
    """After 64 tokens a channel has turned by less than a tenth of a radian, in the mean."""
    layer = ttr.catalog["gateloop"].layer(64, 1, generator=torch.Generator().manual_seed(0))
    stream, _ = layer.regression(torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(1)))
    q = stream.q.double()
    angle = torch.atan2(q[..., 1], q[..., 0])[:, :, -1]
    turned = torch.remainder(angle + torch.pi / 2, torch.pi) - torch.pi / 2  # of either sign of q
    assert 0 < turned.abs().mean() < 0.1


def test_fresh_decays_of_rwkv6_are_the_papers() -> None:
    layer = ttr.catalog["rwkv6"].layer(64, 1, generator=torch.Generator().manual_seed(0))
    w = torch.exp(-torch.exp(layer.signals.start.detach())).flatten()
    assert w[0] == pytest.approx(0.9975, abs=1e-4) and w[-1] == pytest.approx(0.692, abs=1e-3)
    u = layer.own["readout/u"].detach()
    torch.testing.assert_close(u[0, :4], torch.tensor([0.0, 0.1, -0.1, 0.0]))


def test_fresh_moduli_of_the_lru_are_spread_as_in_the_paper() -> None:
    layer = ttr.catalog["lru"].layer(64, 1, generator=torch.Generator().manual_seed(0))
    kept = torch.exp(-2 * layer.own["weights/nu"].detach().exp())
    torch.testing.assert_close(kept, (torch.arange(64) + 0.5) / 64, rtol=1e-4, atol=1e-5)
    gain = layer.signals.gain.detach().exp()
    torch.testing.assert_close(gain, torch.sqrt(1 - kept), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "gates"),
    [
        ("ChannelGate | Linear | Hebbian", "phases"),
        ("Decay | Linear | Hebbian", "oscillators"),
        ("Gate | Linear | Hebbian", "double_exponential"),
        ("ChannelGate * TwoTaps | Linear | OneStep", "trapezoid"),
    ],
)
def test_a_tie_on_another_spec_says_what_it_needs(spec: str, gates: str) -> None:
    frame = ttr.Frame(gates=gates, heads="channels")
    with pytest.raises(ttr.RequestError, match="is not that"):
        ttr.SequenceLayer(ttr.Spec.parse(spec), frame, D)


def test_gateloop_without_phases_is_a_real_running_sum() -> None:
    layer = moved("gateloop")
    with torch.no_grad():
        layer.signals["angle"].up.weight.zero_()
        layer.signals["angle"].up.bias.zero_()
    x = torch.randn(1, T, D).double()
    stream, _ = layer._stream(x, None, 0)
    assert (stream.k[..., 1] == 0).all() and F.sigmoid(stream.signals["decay"]).max() <= 0.5


@pytest.mark.parametrize(
    ("settings", "d_model", "match"),
    [
        ({"heads": "pairs"}, 7, "into pairs"),
        ({"shift": "data", "source": "values"}, 8, "source=input or shift=none"),
        ({"shift": "data", "shift_rank": 0}, 8, "at least 1|from 1"),
    ],
)
def test_a_frame_that_does_not_fit_says_what_to_change(
    settings: dict, d_model: int, match: str
) -> None:
    with pytest.raises(ttr.RequestError, match=match):
        ttr.Frame(**settings).sizes(d_model, 1)


@pytest.mark.parametrize("name", ["gated-deltanet", "softmax-attention", "hgrn2"])
def test_a_shift_serves_any_layer(name: str) -> None:
    entry = ttr.catalog[name]
    frame = replace(entry.frame, shift="data", shift_rank=3)
    layer = ttr.SequenceLayer(entry.spec, frame, D, HEADS).double()
    x, state, parts = torch.randn(2, 9, D).double(), None, []
    for start, stop in ((0, 1), (1, 6), (6, 9)):
        y, state = layer.advance(x[:, start:stop], state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), layer(x), rtol=1e-9, atol=1e-9)
    layer(x).square().sum().backward()
    assert all(p.grad.any() for p in layer.parameters() if p.requires_grad)
