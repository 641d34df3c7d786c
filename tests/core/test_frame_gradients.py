"""The frame's hand-written gradients: those of the same equations, composed by torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import ttr_core as ttr
from ttr_core.layers.conv import ShortConv
from ttr_core.layers.norms import LEAST_NORM, unit


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=source, dtype=torch.float64).requires_grad_()


def composed(x: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """The definition: each token and those before it, zeros before the first."""
    width, length = len(taps), x.shape[1]
    padded = F.pad(x, (0, 0, width - 1, 0))
    return sum((padded[:, width - 1 - j :][:, :length] * taps[j] for j in range(width)), 0 * x)


@pytest.mark.parametrize("on", [("k",), ("q", "k", "v")])
@pytest.mark.parametrize("kept", [0, 2])
@pytest.mark.parametrize(("width", "length"), [(1, 3), (2, 1), (4, 2), (4, 9)])
def test_a_convolution_has_the_gradients_of_its_definition(
    width: int, length: int, kept: int, on: tuple[str, ...]
) -> None:
    conv = ShortConv(ttr.Frame(conv=width, conv_on=on), (3, 3, 3), torch.Generator()).double()
    x, before = drawn(2, length, 9), drawn(2, width - 1, conv.stop - conv.start, seed=1)
    y, after = conv(x, before if kept else None)
    own = x[..., conv.start : conv.stop]
    known = torch.cat([before if kept else torch.zeros_like(before), own], 1)
    wanted = composed(known, conv.taps)[:, width - 1 :]
    wanted = torch.cat([x[..., : conv.start], wanted, x[..., conv.stop :]], -1)
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(after, known[:, known.shape[1] - (width - 1) :])
    leaves, weight = (x, before, conv.taps) if kept and width > 1 else (x, conv.taps), drawn(1, 9)
    torch.testing.assert_close(
        torch.autograd.grad((y * weight).square().sum(), leaves, retain_graph=True),
        torch.autograd.grad((wanted * weight).square().sum(), leaves),
    )


def test_a_convolution_can_be_differentiated_twice() -> None:
    conv = ShortConv(ttr.Frame(conv=3), (1, 1, 1), torch.Generator()).double()
    x = drawn(1, 4, 3)
    assert torch.autograd.gradgradcheck(lambda z: conv(z, None)[0], (x,))


@pytest.mark.parametrize("size", [1.0, 2e-13, 1e6])
def test_unit_vectors_have_the_gradients_of_a_quotient(size: float) -> None:
    x = (size * drawn(2, 5, 4)).detach().requires_grad_()
    weight = drawn(5, 4, seed=1).detach()
    torch.testing.assert_close(unit(x), F.normalize(x, dim=-1), rtol=0, atol=0)
    quotient = x / x.norm(dim=-1, keepdim=True).clamp_min(LEAST_NORM)
    torch.testing.assert_close(
        torch.autograd.grad((unit(x) * weight).sum(), x),
        torch.autograd.grad((quotient * weight).sum(), x),
    )


def test_the_gradient_of_a_unit_vector_can_be_differentiated_and_is_finite_at_zero() -> None:
    assert torch.autograd.gradgradcheck(unit, (drawn(2, 3),))
    zero = torch.zeros(2, 3, requires_grad=True)
    assert torch.autograd.grad(unit(zero).sum(), zero)[0].isfinite().all()
