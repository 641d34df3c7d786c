"""What is said of old pairs is measured, sentence by sentence, for every cell it is said of.

A *silent* token has an importance of 0, and repeats no step: as if only time passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from stories import Told
from streams import LAYERS, TESTED, all_pass, by_default, by_weights, stream
from torch import Tensor

import ttr_core as ttr
from ttr_core.space.fates import Fate
from ttr_core.space.terms import each
from ttr_core.space.weights import MemorylessWeights
from ttr_core.words.describe import fates
from ttr_core.words.equations import letters

IMPORTANCE = ttr.Spec.parse("Importance | Linear | SGD").weights
SMALL = 1e-9


def norm(memory: Any) -> float:
    parts = memory.values() if isinstance(memory, dict) else [memory]
    return float(sum(z.square().sum() for z in parts)) ** 0.5


def minus(a: Any, b: Any) -> Any:
    return each(lambda x, y: x - y, a, b)


def small_chunks(spec: ttr.Spec, size: int) -> ttr.Spec:
    sized = any(f.name == "size" for f in fields(spec.optimizer))
    return replace(spec, optimizer=replace(spec.optimizer, size=size)) if sized else spec


class Trial:
    """One spec on a generic sequence whose tokens can be silenced, changed and run."""

    def __init__(self, spec: ttr.Spec, length: int = 5, size: int = 1) -> None:
        spec = small_chunks(spec, size)
        self.own = any(s.name == "importance" for s in spec.signals)
        wide = isinstance(spec.weights, MemorylessWeights) and not self.own
        self.spec = replace(spec, weights=spec.weights * IMPORTANCE) if wide else spec
        x = stream(self.spec, length=length, heads=1, key_dim=3)
        if wide:
            x.signals["importance"].fill_(1.0)  # the spec itself, until a token is silenced
        if "momentum" in x.signals:
            x.signals["momentum"].zero_()
        self.x = x
        self.params = self.spec.parameters(x.key_dim, x.value_dim, 1)

    def silenced(self, *tokens: int) -> Trial:
        for t in tokens:
            self.x.signals["importance"][:, :, t - 1] = 0.0
        return self

    def run(self) -> Told:
        one = Told(self.spec, self.x, self.params)
        one.outputs = one.run()
        return one

    def y(self) -> Tensor:
        return ttr.solve(self.spec, self.x, self.params, solver="reference")[0, 0]

    def change(self) -> Tensor:
        """How much the last output follows the value of each token."""
        self.x.v.requires_grad_(True)
        last = ttr.solve(
            self.spec, replace(self.x, q=self.x.q[:, :, -1:]), self.params, solver="reference"
        )
        slopes = [
            torch.autograd.grad(z, self.x.v, retain_graph=True)[0][0, 0] for z in last[0, 0, 0]
        ]
        self.x.v.requires_grad_(False)
        return torch.stack(slopes, 1).norm(dim=(1, 2))


def letter(one: Told, name: str, t: int) -> Any:
    return one.past[name][t]


def increment(one: Told, t: int) -> Any:
    """What token t adds to what forgetting left."""
    left = letters(one.spec).decayed_before.value(one.moment(t))
    return minus(letter(one, "memory", t), left)


# ---- the predicates


def shrinks(spec: ttr.Spec) -> None:
    one = Trial(spec).silenced(3, 4).run()
    for t in (3, 4):
        assert norm(letter(one, "memory", t)) < norm(letter(one, "memory", t - 1))
    kept = [letters(one.spec).decayed_before.value(one.moment(t)) for t in (3, 4)]
    assert all(norm(m) < norm(letter(one, "memory", t)) for m, t in zip(kept, (2, 3), strict=True))


def dual_shrinks(spec: ttr.Spec) -> None:
    one = Trial(spec).silenced(3, 4).run()
    for t in (3, 4):
        assert norm(letter(one, "dual", t)) < norm(letter(one, "dual", t - 1))


def keeps(spec: ttr.Spec) -> None:
    """Silence changes nothing; a loud token nothing that has no part in its key's features."""
    one = Trial(spec).silenced(3, 4).run()
    for t in (3, 4):
        moved = minus(letter(one, "memory", t), letter(one, "memory", t - 1))
        assert norm(moved) <= SMALL * norm(letter(one, "memory", t))
    if Fate.ANYWHERE not in fates(spec):
        beside_the_key(Trial(spec).run(), 4)


def beside_the_key(one: Told, t: int) -> None:
    """What token t adds has nothing at right angles to its keys' features."""
    phi = one.values["phi.keys"][t - 1] if "phi.keys" in one.values else one.values["phi.k"][t - 1]
    phi = phi.reshape(-1, phi.shape[-1])
    along = phi.mT @ torch.linalg.pinv(phi.mT)
    added = increment(one, t)
    assert added.norm() > 1e-6 and (added - along @ added).norm() <= SMALL * added.norm()


def follows_the_memory(spec: ttr.Spec) -> float:
    """How far what token 4 adds depends on what the memory held."""
    trial = Trial(spec)
    before = increment(trial.run(), 4)
    trial.x.v[:, :, 2] *= 3  # of the token before: a whole step leaves nothing older
    return norm(minus(increment(trial.run(), 4), before)) / norm(before)


def added(spec: ttr.Spec) -> None:
    assert follows_the_memory(spec) <= SMALL


def along_key(spec: ttr.Spec) -> None:
    beside_the_key(Trial(spec).run(), 4)
    assert follows_the_memory(spec) > 1e-6


def goes_on(spec: ttr.Spec) -> None:
    along_key(spec)
    trial = Trial(spec).silenced(4)
    trial.x.signals["momentum"].fill_(0.5)
    assert norm(increment(trial.run(), 4)) > 1e-6


def each_feature(spec: ttr.Spec) -> None:
    """With nothing to write, the newest token leaves a share below 1 of each feature it has."""
    trial = Trial(spec)
    trial.x.v[:, :, 3] = 0.0
    one = trial.run()
    left = letters(one.spec).decayed_before.value(one.moment(4))
    shares = letter(one, "memory", 4) / left
    assert (shares > 0).all() and (shares < 1 - 1e-6).all()
    assert (shares - shares[:, :1]).abs().max() <= SMALL  # whatever the pair
    off = shares[:, 0].max() - shares[:, 0].min()
    assert len(shares) == 1 or off > 1e-6  # and not the same for all, as a decay would


def anywhere(spec: ttr.Spec) -> None:
    loud, silent = Trial(spec).run(), Trial(spec).silenced(4).run()
    for query in torch.randn(3, loud.x.key_dim, dtype=torch.float64):
        answers = [loud._predict(letter(one, "memory", 4), query) for one in (loud, silent)]
        assert (answers[0] - answers[1]).norm() > 1e-9


def at_ends(spec: ttr.Spec) -> None:
    """Of chunks of three, the second pair changes nothing up to token 3 and then all answers."""
    loud, silent = Trial(spec, size=3).run(), Trial(spec, size=3).silenced(2).run()
    for t in (2, 3):
        assert norm(minus(letter(loud, "memory", t), letter(silent, "memory", t))) == 0
    for query in torch.randn(3, loud.x.key_dim, dtype=torch.float64):
        answers = [loud._predict(letter(one, "memory", 4), query) for one in (loud, silent)]
        assert (answers[0] - answers[1]).norm() > 1e-9


def shared(spec: ttr.Spec) -> None:
    """Within a batch of five, what the first pair wrote falls as 1 / j, beside any decay."""
    one = Trial(spec, size=5).silenced(2, 3, 4).run()
    shares = []
    for t in (1, 2, 3, 4):
        written = minus(letter(one, "memory", t), letter(one, "base", t))
        shares.append(norm(written) / norm(letter(one, "sum", t)))
    assert torch.allclose(torch.tensor(shares) / shares[0], 1 / torch.arange(1.0, 5.0))


def fit_fades(spec: ttr.Spec) -> None:
    """Of two pairs that share their key the older has less say."""
    trial = Trial(spec)
    trial.x.k[:, :, 1] = trial.x.k[:, :, 0]
    trial.x.signals.get("importance", torch.ones(1, 1, 9, 1))[:, :, :2] = 0.7
    older, newer = trial.change()[:2]
    assert 0 < older < newer * (1 - 1e-6)


def alike(spec: ttr.Spec) -> None:
    """Old pairs may change places, with all that their tokens carry."""
    trial = Trial(spec)
    y, order = trial.y()[-1], torch.tensor([2, 0, 3, 1, 4])
    moved = trial.x.map(lambda z: z[:, :, order])
    trial.x = replace(moved, q=trial.x.q)
    assert (trial.y()[-1] - y).norm() <= SMALL * (1 + y.norm())
    if not trial.own and "importance" in trial.x.signals:
        equal = trial.x.signals["importance"]
        assert (equal == 1).all()


def own_weight(spec: ttr.Spec) -> None:
    alike(spec)
    trial = Trial(spec, length=14)  # more pairs than coefficients, or any weights meet them all
    y = trial.y()[-1]
    trial.x.signals["importance"][:, :, :7] *= 0.5
    assert (trial.y()[-1] - y).norm() > 1e-6


def gone(spec: ttr.Spec) -> None:
    reach = spec.weights.reach
    assert reach is not None
    trial = Trial(spec, length=reach + 4)
    assert (trial.change()[3:5] > 0).tolist() == [False, True]


def query(spec: ttr.Spec) -> None:
    trial = Trial(spec)
    assert trial.change()[0] > 0
    before = trial.run().values["gamma"][-1]
    trial.x.q[:, :, -1] = torch.randn(3).double()
    after = trial.run().values["gamma"][-1]
    assert (after / after[0] - before / before[0]).abs().max() > 1e-3


def query_some(spec: ttr.Spec) -> None:
    trial = Trial(spec)
    trial.x.k[:, :, 0] *= 9
    for sign in (1, -1):
        trial.x.q[:, :, -1] = sign * trial.x.k[:, :, 0]
        gamma = trial.run().values["gamma"][-1]
        assert (gamma[0] > 0) == (sign == 1) and (gamma == 0).any() and gamma.any()


def query_fades(spec: ttr.Spec) -> None:
    query(spec)
    trial = Trial(spec)
    trial.x.k[:, :, 1] = trial.x.k[:, :, 0]
    older, newer = trial.run().values["gamma"][-1][:2]
    assert 0 < older < newer


def turn(spec: ttr.Spec) -> None:
    weights = type(spec.weights)(length=3)
    gamma = Trial(replace(spec, weights=weights), length=6).run().values["gamma"][-1].flip(0)
    assert gamma[0] > gamma[1] > gamma[2] > 0 > gamma[4] and abs(gamma[3]) < SMALL


def spans(spec: ttr.Spec) -> None:
    trial = Trial(spec, length=6)  # whose last token has spans of 4 and 1 behind it
    assert (trial.change() > 1e-6).all()
    trial.x.signals["levels"][:, :, 5, 3] = 0.0
    assert (trial.change() > 1e-20).tolist() == 4 * [False] + 2 * [True]


def lag(spec: ttr.Spec) -> None:
    trial = Trial(spec)
    before = trial.run().values["gamma"]
    trial.x.q[:], trial.x.k[:] = 2 * trial.x.q, -trial.x.k
    assert (trial.run().values["gamma"] == before).all()
    trial.x.signals["mixture"][:] *= 2
    assert (trial.run().values["gamma"] - before).abs().max() > 1e-3


MEASURES: dict[Fate, Callable[[ttr.Spec], None]] = {
    Fate.TURN: turn,
    Fate.LAG: lag,
    Fate.SPANS: spans,
    Fate.GONE: gone,
    Fate.QUERY: query,
    Fate.QUERY_SOME: query_some,
    Fate.QUERY_FADES: query_fades,
    Fate.FIT_FADES: fit_fades,
    Fate.ALIKE: alike,
    Fate.OWN_WEIGHT: own_weight,
    Fate.SHRINKS: shrinks,
    Fate.DUAL_SHRINKS: dual_shrinks,
    Fate.KEEPS: keeps,
    Fate.ADDED: added,
    Fate.ALONG_KEY: along_key,
    Fate.ALONG_KEYS: along_key,
    Fate.GOES_ON: goes_on,
    Fate.EACH_FEATURE: each_feature,
    Fate.ANYWHERE: anywhere,
    Fate.SHARED: shared,
    Fate.AT_ENDS: at_ends,
}
SAID = [
    pytest.param(spec, claim, marks=marks, id=f"{spec}: {claim.name}")
    for spec in TESTED
    for marks in [[] if by_default(spec) else [pytest.mark.full_grid]]
    for claim in fates(spec)
]


@pytest.mark.parametrize(("spec", "claim"), SAID)
def test_what_is_said_of_old_pairs_is_so(spec: ttr.Spec, claim: Fate) -> None:
    MEASURES[claim](spec)


def test_every_sentence_has_a_measure_and_is_said_of_a_cell() -> None:
    assert set(MEASURES) == set(Fate)
    assert {param.values[1] for param in SAID} == set(Fate)


def says_no_more(spec: ttr.Spec) -> None:
    said = [c.value.format(reach=spec.weights.reach) for c in fates(spec)]
    assert said and ttr.describe(spec).forgets == " ".join(said)


@pytest.mark.parametrize("specs", by_weights(LAYERS))
def test_nothing_else_is_said_of_old_pairs(specs: list[ttr.Spec]) -> None:
    all_pass(specs, says_no_more)


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("Uniform | Linear | DiagonalImplicit", Fate.KEEPS),
        ("Uniform | Linear | MirrorDescent(rate=0.1)", Fate.ALONG_KEY),
        ("Gate | MLP | MirrorDescent(geometry=lq, rate=0.1)", Fate.SHRINKS),
        ("Uniform | Linear | SGD", Fate.ADDED),
        ("Uniform | Linear | Hebbian", Fate.ALONG_KEY),
        ("Uniform | Linear | SGD", Fate.ALIKE),
        ("Importance | Linear | Exact", Fate.FIT_FADES),
        ("LongConvolution | Linear | OneStep", Fate.QUERY),
        ("ExpKernel | Constant | OneStep", Fate.QUERY_SOME),
        ("Gate | Linear | SGD", Fate.EACH_FEATURE),
        ("Gate | MLP | ChunkSGD", Fate.AT_ENDS),
    ],
)
def test_a_false_claim_is_caught(text: str, claim: Fate) -> None:
    with pytest.raises(AssertionError):
        MEASURES[claim](ttr.Spec.parse(text))


# ---- readings


READ = [
    pytest.param(spec, marks=[] if by_default(spec) else [pytest.mark.full_grid], id=str(spec))
    for spec in TESTED
    if spec.optimizer.reading(letters(spec)) is not None
]


def reads_as(spec: ttr.Spec, reader: ttr.Spec) -> None:
    """From every memory before, the step that the reading tells is the memory after."""
    x = stream(spec, length=6, heads=1, key_dim=3)
    one = Told(spec, x, spec.parameters(x.key_dim, x.value_dim, 1))
    one.run()
    reading = reader.optimizer.reading(letters(reader))
    assert reading is not None
    for t in range(1, 7):
        moment, before = one.moment(t), one.past["memory"][t - 1]

        def loss(memory: Tensor, moment: Any = moment) -> Tensor:
            return reading.loss.value(moment.having("memory", memory))

        after = before - reading.size.value(moment) * torch.func.grad(loss)(before)
        wanted = one.past["memory"][t]
        assert (after - wanted).norm() <= 1e-9 * (1 + wanted.norm())


@pytest.mark.parametrize("spec", READ)
def test_every_reading_is_the_same_step(spec: ttr.Spec) -> None:
    reads_as(spec, spec)
    assert spec.optimizer.reading(letters(spec)).sentence in ttr.describe(spec).words


def test_the_reading_of_another_residual_is_caught() -> None:
    decayed, undecayed = (
        ttr.Spec.parse(f"Gate | Linear | SGD(residual={r})") for r in ("decayed", "undecayed")
    )
    with pytest.raises(AssertionError):
        reads_as(decayed, undecayed)


def test_where_no_reading_holds_none_is_told() -> None:
    for optimizer in ("Momentum", "DiagonalImplicit", "MultiStep", "RLS", "MiniBatch"):
        assert "L2 penalty" not in ttr.describe(f"Gate | Linear | {optimizer}").words
    assert "L2 penalty" not in ttr.describe("ChannelGate | Linear | SGD").words
