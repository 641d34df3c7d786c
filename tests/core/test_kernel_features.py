"""What the features of a map say of its kernel, and weights that turn with the distance."""

from __future__ import annotations

import math

import pytest
import torch
from streams import joined, stream

import ttr_core as ttr
from ttr_core.solvers import caution
from ttr_core.space.maps import FeatureMap, KernelMap
from ttr_core.space.maps.learned import Hedgehog, Nystrom
from ttr_core.space.maps.polynomial import Polynomial, Taylor2, packed
from ttr_core.space.maps.random import DiJiang, FavorPlus, RandomFourier
from ttr_core.space.weights.base import SignedWeights

KERNELS = [choice() for choice in ttr.choices("map") if issubclass(choice, KernelMap)]
KERNELS += [Polynomial(degree=3), Taylor2(scale=2.0)]


def generic(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def tensors(map_: FeatureMap, key_dim: int, heads: int) -> dict[str, torch.Tensor]:
    """Tensors of a map, moved away from where they start."""
    own = map_.parameters(key_dim, key_dim, heads)
    return {n: p.detach().double() + 0.3 * generic(*p.shape, seed=7) for n, p in own.items()}


def gram(map_: FeatureMap, a: torch.Tensor, b: torch.Tensor, heads: int) -> torch.Tensor:
    """The kernel of one pair under as many draws as there are heads, [H]."""
    own = map_.parameters(len(a), len(a), heads)
    phi_a, phi_b = (map_(x.expand(1, heads, 1, len(a)), own) for x in (a, b))
    return (phi_a * phi_b).sum(-1).flatten().detach()


@pytest.mark.parametrize("map_", KERNELS, ids=str)
@pytest.mark.parametrize("key_dim", [1, 2, 5])
def test_the_closed_kernel_is_that_of_the_features(map_: KernelMap, key_dim: int) -> None:
    a, b = generic(2, 3, 4, key_dim), generic(2, 3, 6, key_dim, seed=1)
    own = tensors(map_, key_dim, 3)
    torch.testing.assert_close(map_(a, own) @ map_(b, own).mT, map_.gram(a, b, own))


def test_monomials_without_their_weights_have_another_kernel() -> None:
    a, b = generic(4, 3), generic(4, 3, seed=1)
    products = (packed(a, 2) * packed(b, 2)).sum(-1)
    torch.testing.assert_close(products, (a * b).sum(-1) ** 2)
    i, j = torch.triu_indices(3, 3)
    bare = (a[:, i] * a[:, j] * b[:, i] * b[:, j]).sum(-1)
    assert (bare - products).abs().max() > 0.1


def test_too_many_monomials_are_refused_before_they_are_made() -> None:
    with pytest.raises(ttr.LimitExceeded, match="45760 monomials"):
        Polynomial(degree=3)(torch.zeros(1, 1, 1 << 16, 64), {})


@pytest.mark.parametrize("sign", [1, -1])
def test_positive_random_features_are_unbiased_at_either_sign(sign: int) -> None:
    # One orthogonal block per draw: a sign that a factorization prefers would show in full.
    q, k = sign * torch.tensor([0.9, 0.2, 0.4, 0.1]), sign * torch.tensor([0.5, 0.3, 0.1, 0.6])
    draws = gram(FavorPlus(features=4, scale=1.0), q.double(), k.double(), heads=40_000)
    error = draws.mean() - math.exp(float(q @ k))
    assert abs(error) < 4 * draws.std() / 200


@pytest.mark.parametrize("features", [3, 4, 11])
def test_the_random_rows_are_orthogonal_in_blocks(features: int) -> None:
    rows = FavorPlus(features=features).parameters(4, 4, 2)["rows"]
    assert rows.shape == (2, features, 4) and not rows.requires_grad
    products = rows[:, :4] @ rows[:, :4].mT
    off = products - torch.diag_embed(products.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-12 and not torch.equal(rows[0], rows[1])


def test_the_random_rows_are_as_long_as_normal_ones() -> None:
    """Of one length they would estimate another kernel: squares of lengths vary by 2 K."""
    squares = FavorPlus(features=4096).parameters(8, 8, 1)["rows"].square().sum(-1)
    assert squares.mean().item() == pytest.approx(8, rel=0.05)
    assert squares.var().item() == pytest.approx(16, rel=0.15)


@pytest.mark.parametrize("seed", [0, 3])
def test_random_features_come_near_their_kernels(seed: int) -> None:
    q, k = 0.4 * generic(8), 0.4 * generic(8, seed=1)
    for scale in (None, 0.5):
        wanted = math.exp((8**-0.5 if scale is None else scale) * float(q @ k))
        map_ = FavorPlus(features=1 << 13, scale=scale, seed=seed)
        assert gram(map_, q, k, 1).item() == pytest.approx(wanted, rel=0.05)
    for width in (1.0, 3.0):
        wanted = math.exp(-float((q - k).square().sum()) / 2 / width**2)
        map_ = RandomFourier(frequencies=1 << 12, scale=width, seed=seed)
        assert gram(map_, q, k, 1).item() == pytest.approx(wanted, abs=0.05)
    assert not torch.equal(gram(map_, q, k, 1), gram(RandomFourier(1 << 12, 3.0, 9), q, k, 1))


@pytest.mark.parametrize(("map_", "count"), [(DiJiang(), 1), (Hedgehog(), 2)], ids=str)
def test_features_of_a_softmax_are_positive_and_sum_to_one(map_: FeatureMap, count: int) -> None:
    x = 30 * generic(2, 3, 5, 8)
    phi = map_(x, tensors(map_, 8, 3)).unflatten(-1, (count, -1))
    assert (phi >= 0).all()
    torch.testing.assert_close(phi.sum(-1), torch.ones_like(phi[..., 0]))


def test_hedgehog_tells_a_key_from_its_opposite() -> None:
    map_, x = Hedgehog(), 2 * generic(1, 1, 5, 8)
    own = map_.parameters(8, 8, 1)
    phi, opposite = map_(x, own), map_(-x, own)
    torch.testing.assert_close(opposite, phi.roll(8, -1))
    assert ((phi * opposite).sum(-1) < 0.5 * (phi * phi).sum(-1)).all()


def test_inducing_points_give_the_kernel_exactly_at_themselves() -> None:
    map_ = Nystrom(features=6, jitter=1e-3, scale=1.0)
    own = {"Z": 2 * generic(1, 6, 3)}
    phi = map_(own["Z"][None], own)
    squares = (own["Z"][0][:, None] - own["Z"][0]).square().sum(-1)
    torch.testing.assert_close((phi @ phi.mT)[0, 0], (-squares / 2).exp(), rtol=0, atol=2e-3)


def test_the_taylor_kernel_shuts_no_token_out() -> None:
    a, b = 5 * generic(1, 1, 40, 6), 5 * generic(1, 1, 40, 6, seed=1)
    assert Taylor2().gram(a, b, {}).min() >= 0.5


@pytest.mark.parametrize("map_", [FavorPlus(), Hedgehog(), Nystrom(), DiJiang()], ids=str)
def test_large_keys_do_not_overflow_in_float32(map_: FeatureMap) -> None:
    x = (10 * generic(1, 1, 64, 64)).float().requires_grad_()
    phi = map_(x, map_.parameters(64, 64, 1))
    phi.sum().backward()
    assert phi.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


def test_cosine_weights_are_signed_and_know_no_length() -> None:
    spec = ttr.Spec.parse("Cosine(length=4) | Linear | OneStep")
    x = stream(spec, 12)
    gamma = spec.weights.matrix(x, {})[0, 0, :, :, 0]
    assert gamma[4, 0].abs() < 1e-12 and gamma[6, 0] < -0.5 and (gamma.diagonal() == 1).all()
    torch.testing.assert_close(spec.weights.matrix(x.tokens(0, 7), {})[0, 0, ..., 0], gamma[:7, :7])


def test_a_rotating_state_is_as_large_after_many_tokens_and_as_exact() -> None:
    spec = ttr.Spec.parse("Cosine(length=50) | Linear(map=elu1) | OneStep")
    x, state, rows = stream(spec, 700), None, []
    for start in range(0, 700, 100):
        y, state = ttr.prefill(spec, x.tokens(start, start + 100), state=state)
        rows.append(y)
    assert ttr.resolve(spec).name == "chunked_cosine"
    assert sum(z.numel() for z in state.values()) == 2 * ttr.state_size(spec, 3, 2, 700)
    wanted = ttr.solve(spec, x, solver="parallel_one_step")
    torch.testing.assert_close(torch.cat(rows, 2), wanted, rtol=1e-9, atol=1e-9)
    single = ttr.solve(spec, x.map(lambda z: z.float()))
    assert (single - wanted).norm() <= 1e-4 * wanted.norm()


def test_an_infinite_length_is_uniform() -> None:
    cosine, uniform = (
        ttr.Spec.parse(f"{w} | Linear | OneStep") for w in ("Cosine(length=1000000)", "Uniform")
    )
    x = stream(cosine, 20)
    torch.testing.assert_close(ttr.solve(cosine, x), ttr.solve(uniform, x), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("rest", ["Linear | Exact", "Constant | Exact", "Linear | SGD"])
def test_signed_weights_have_no_fit(rest: str) -> None:
    with pytest.raises(ttr.IncompatibleSpec, match="negative weights"):
        ttr.resolve(ttr.Spec.parse(f"Cosine | {rest}"))
    with pytest.raises(ttr.RequestError, match="does not multiply"):
        ttr.Spec.parse(f"Cosine * Gate | {rest}")


def test_a_window_of_cosines_is_a_layer_with_any_map() -> None:
    for choice in ttr.choices("map"):
        spec = ttr.Spec.parse(f"Cosine | Linear(map={choice.name}) | OneStep")
        assert caution(spec) is None
        x, other = stream(spec, 9), stream(spec, 9, seed=1)
        ahead = ttr.solve(spec, joined(x, other, 5))[:, :, :5]
        torch.testing.assert_close(ahead, ttr.solve(spec, x)[:, :, :5])


SIGNED = [c for c in ttr.choices("weights") if issubclass(c, SignedWeights)]


@pytest.mark.parametrize("cls", SIGNED, ids=lambda cls: cls.name)
@pytest.mark.parametrize("optimizer", ttr.choices("optimizer"), ids=lambda cls: cls.name)
def test_weights_of_either_sign_are_fitted_by_who_takes_them(cls: type, optimizer: type) -> None:
    """Least squares under negative weights has no minimum: a number for it would be made up."""
    spec = ttr.Spec(cls(), ttr.Spec.parse("Uniform | Linear | SGD").function, optimizer())
    refused = any("negatively" in sentence for sentence in spec.objections())
    assert refused is not optimizer.takes_signed
