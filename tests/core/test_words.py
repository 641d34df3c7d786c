"""What is said of a spec is so: every formula and every sentence has a numeric witness."""

from __future__ import annotations

import ast
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from stories import Told
from streams import TESTED, by_default, stream, thinned

import ttr_core as ttr
from ttr_core import words
from ttr_core.space.newton import newton
from ttr_core.space.optimizers import Incremental
from ttr_core.space.spec import listed
from ttr_core.space.story import LEAST, STEP
from ttr_core.space.terms import Letter, Term
from ttr_core.words import OWNERS, formulas, marked_formulas
from ttr_core.words.equations import objective, output, read, story, update

MORE = [
    ttr.Spec.parse(text)
    for text in (
        "Decay * LearnedDecay | Linear | SGD",
        "Gate * Gate | Linear | OneStep",
        "Window(size=3) * Importance | Linear | Exact",
        "Cosine(length=3) | Linear | OneStep",
        "Whitened(scale=2.0, moment=sum) | Constant | Exact",
        "ExpKernel(scale=2.0) | Quadratic | Exact(ridge=0.5)",
        "Gate * Importance | Kernel(kernel=polynomial) | Exact(ridge=0.5)",
        "Gate | Kernel | OneStep | loss=DotProduct",
        "ExpKernel | Affine | OneStep | loss=Huber",
        "ChannelGate | Linear(map=elu1) | OneStep | loss=Lp",
        "Gate * Importance | Linear | SGD | loss=Huber(delta=0.5)",
        "Gate | Linear | Hebbian | loss=Lp(p=4.0)",
        "Gate * Importance | MLP(bias=true) | Momentum | loss=Huber",
        "Gate | Linear | Momentum(residual=decayed)",
        "Gate * Importance | Linear | NLMS(step=0.5, eps=0.1)",
        "Gate | Linear(map=elu1) | RLS(ridge=0.5, floor=0.3)",
        "Gate * Importance | Linear | MultiStep(n=3)",
        "Gate | Linear | MultiStep(n=1)",
        "Gate * Importance | MLP | MultiStep(n=3) | loss=Huber",
        "Window(size=3) * Gate * Importance | Linear | SGD",
        "Window(size=3) * LearnedDecay | Linear(map=elu1) | Momentum",
        "Window(size=2) * ChannelGate | Linear | MultiStep",
        "Window(size=3) | Kernel | NLMS",
        "Window(size=4) * Gate | MLP | ChunkMomentum(size=2, rate=0.5)",
        "Window(size=3) * Gate | Linear | RLS",
        "Gate | Linear | ChunkSGD(size=2, rate=0.5)",
        "Gate | Linear | ChunkMomentum(size=2, rate=0.5)",
        "Gate * Importance | Linear | MiniBatch(size=2)",
        "ChannelGate | Linear | MirrorDescent(scale=2.0, size=2)",
        "Gate | NormLinear | MirrorDescent(geometry=lq, size=2, rate=0.1)",
        "Gate * Importance | Linear | Hebbian | readout=Bonus",
        "Gate * Importance | MLP(expansion=1, map=elu1) | Omega(window=3, size=2, rate=0.5)",
        "Gate | Linear(map=elu1) | Omega(window=2, size=4) | loss=Huber",
        "Gate * Importance | MLP(bias=true) | ChunkMuon(window=3, size=2)",
        "Uniform | GatedMLP | LargeChunkMuon(size=2) | loss=DotProduct",
        "Gate * Importance | MLP(bias=true) | LargeChunkMuon(size=3, rate=0.5)",
        "Gate | Linear(map=elu1) | Hebbian | readout=Normalized(floor=clamp, eps=0.5)",
        "ExpKernel | Constant | OneStep | readout=Normalized(floor=abs1)",
        "Uniform | Kernel | OneStep | readout=Normalized",
    )
]
"""Settings that no cell of the grid has: numbers, losses, readouts, chunks shorter than a test."""

CELLS = [
    pytest.param(spec, marks=[] if by_default(spec) else [pytest.mark.full_grid], id=str(spec))
    for spec in TESTED
] + [pytest.param(spec, id=str(spec)) for spec in MORE]
FEW = [*thinned(TESTED), *(pytest.param(spec, id=str(spec)) for spec in MORE)]
"""Of what has no more to do with one axis than with another: each choice and solver once."""
SAME = 1e-8
FAMILIES = ("weights", "function", "optimizer", "loss", "readout", "map")


def given(spec: ttr.Spec) -> tuple[ttr.Stream, dict[str, torch.Tensor]]:
    """A generic sequence of two heads, and the spec's own tensors away from where they start."""
    x = stream(spec, length=6, heads=2, key_dim=3)
    params = {
        n: p.detach() + 0.1 * torch.randn_like(p) if p.requires_grad else p
        for n, p in spec.parameters(x.key_dim, x.value_dim, 2).items()
    }
    return x, params


def told(spec: ttr.Spec) -> Told:
    return Told(spec, *given(spec), head=1)


def close(got: torch.Tensor, wanted: torch.Tensor, tolerance: float = SAME) -> None:
    assert torch.isfinite(wanted).all()
    assert (got - wanted).norm() <= tolerance * (1 + wanted.norm()), (got, wanted)


# ---- the update and the output


def computed_as_shown(spec: ttr.Spec) -> None:
    x, params = given(spec)
    got = Told(spec, x, params, head=1).run()
    close(got, ttr.solve(spec, x, params, solver="reference")[0, 1])


@pytest.mark.parametrize("spec", CELLS)
def test_the_shown_update_and_output_are_the_layer(spec: ttr.Spec) -> None:
    computed_as_shown(spec)


# ---- the objective


def solution(one: Told, t: int) -> tuple[Any, Any]:
    """What minimizes the shown objective at token t, and what the shown update found."""
    goal, moment = one.story.objective, one.moment(t)
    start = one.past[goal.gives][0] if goal.gives in one.past else one.values["start"]
    memory = start if isinstance(start, dict) else {"S": start}
    if goal.repeats > 1 or "last" in {p.name for p in goal.term.walk() if isinstance(p, Letter)}:
        steps = next(e.right for e in one.story.update if e.name == "memory")
        first = steps.first.value(moment)
        memory = first if isinstance(first, dict) else {"S": first}
    for j in range(1, goal.repeats + 1):
        here = moment.at(j=j).having("last", memory if len(memory) > 1 else memory.get("S"))

        def cost(m: dict[str, torch.Tensor], here: Any = here) -> torch.Tensor:
            return goal.term.value(here.having(goal.free.name, m if len(m) > 1 else free(m)))

        memory = solve(one, goal.solved, cost, memory)
    return memory, found(one, goal.gives, t)


def free(memory: dict[str, torch.Tensor]) -> Any:
    return memory["S"] if set(memory) == {"S"} else memory


def solve(one: Told, how: str, cost: Any, start: dict[str, torch.Tensor]) -> Any:
    if how == STEP:
        slope = torch.func.grad(cost)(start)
        return {n: m - slope[n] for n, m in start.items()}
    return newton(cost, start, one.function.penalty if how == LEAST else None)


def found(one: Told, name: str, t: int) -> dict[str, torch.Tensor]:
    if name == "local":
        c, slopes = one.past["c"][t], one.past["M"][t]
        return {"S": torch.cat([c[None], slopes.mT])}
    if name in one.past:
        memory = one.past[name][t]
        return memory if isinstance(memory, dict) else {"S": memory}
    alpha = one.past["alpha"][t]  # coefficients of the pairs: the memory is their sum
    return {"S": one.values["phi.k"][:t].mT @ alpha}


def solves_as_shown(spec: ttr.Spec) -> None:
    one = told(spec)
    one.run()
    for t in {1, min(4, one.x.length), one.x.length}:
        got, wanted = solution(one, t)
        for name, memory in wanted.items():
            close(got[name].reshape(memory.shape), memory, 1e-6)


@pytest.mark.parametrize("spec", CELLS)
def test_the_shown_objective_is_solved_by_the_shown_update(spec: ttr.Spec) -> None:
    solves_as_shown(spec)


# ---- the LaTeX


@pytest.mark.parametrize("spec", FEW)
def test_the_latex_is_sound(spec: ttr.Spec) -> None:
    for latex in (objective(spec), update(spec), read(spec)):
        assert "$" not in latex and "{{" not in latex.replace("{{1", "").replace("{{\\", "")
        depth = 0
        for char in latex:
            depth += (char == "{") - (char == "}")
            assert depth >= 0, latex
        assert depth == 0, latex
        opened = [latex.count(rf"{size}(") for size in (r"\big", r"\Big")]
        assert opened == [latex.count(rf"{size})") for size in (r"\big", r"\Big")], latex
        assert latex.replace("(0,1]", "").count("(") == latex.count(")"), latex
        assert not re.search(r"(?<![\d.])[01] I\b|\+ 0(?![.\d])|(?<!1)0\^\\top", latex), latex


def unmarked(text: str) -> str:
    """Returns LaTeX without the marks of ingredients."""
    for start in (rf"\{owner}{{" for owner in OWNERS):
        while start in text:
            before, _, rest = text.partition(start)
            depth = list(accumulate((c == "{") - (c == "}") for c in rest))
            end = depth.index(-1)
            text = before + rest[:end] + rest[end + 1 :]
    return text


@pytest.mark.parametrize("spec", FEW)
def test_marks_change_no_formula(spec: ttr.Spec) -> None:
    marked = marked_formulas(spec)
    assert tuple(map(unmarked, marked)) == formulas(spec)
    assert r"\function{" in marked[1]


def test_marks_say_which_ingredient_a_letter_is_of() -> None:
    _, update, read = marked_formulas(ttr.Spec.parse("Gate | Linear | SGD"))
    assert update == (
        r"\function{S_t} = \weights{a_t} \function{S_{t-1}} + \optimizer{\beta_t} k_t "
        r"\big(v_t - (\weights{a_t} \function{S_{t-1}})^\top k_t\big)^\top"
    )
    assert read == r"y_t = \function{S_t}^\top q_t"
    named = {"Uniform | Linear | DiagonalImplicit": r"\optimizer{\Delta_t}",
             "ExpKernel | Constant | Exact": r"\weights{\gamma_i^{(t)}}",
             "Uniform | Linear(map=taylor2) | Hebbian": r"\function{\phi(k_t)}"}  # fmt: skip
    for text, part in named.items():
        assert part in " ".join(marked_formulas(ttr.Spec.parse(text))), text


def all_terms(spec: ttr.Spec) -> list[Term]:
    one = story(spec)
    roots = [one.objective.term, output(spec), *(e.right for e in one.update)]
    return [part for root in roots for part in root.walk()]


@pytest.mark.parametrize("spec", FEW)
def test_every_letter_has_a_value(spec: ttr.Spec) -> None:
    """A setting is shown as its number: no letter stands for one, so that none is looked up."""
    one = told(spec)
    one.run()
    known = set(one.moment(one.x.length).values)
    for part in all_terms(spec):
        if isinstance(part, Letter) and part.name not in ("memory", "dual", "last"):
            assert part.name in known, part


# ---- a corrupted story is caught


def test_a_wrong_sign_in_an_update_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from ttr_core.space.optimizers.rank_one import SGD

    right = SGD.written_gain
    monkeypatch.setattr(SGD, "written_gain", lambda self, on: -right(self, on))
    story.cache_clear()
    with pytest.raises(AssertionError):
        computed_as_shown(ttr.Spec.parse("Gate | Linear | SGD"))
    story.cache_clear()


def test_an_objective_that_is_not_solved_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from ttr_core.space.optimizers.rank_one import SGD
    from ttr_core.space.story import Criterion, Story

    def weighted(self: SGD, on: Any) -> Story:
        right = on.stepped(self.written_gain(on), on.decayed_before)
        return Story(Criterion(on.fit, on.free), right.update, right.answer)

    monkeypatch.setattr(SGD, "story", weighted)
    story.cache_clear()
    with pytest.raises((AssertionError, torch.linalg.LinAlgError)):
        solves_as_shown(ttr.Spec.parse("Gate | Linear | SGD"))
    story.cache_clear()


def test_every_optimizer_of_the_grid_is_among_the_default_cells() -> None:
    default = {p.values[0] for p in CELLS if not p.marks}
    optimizers = {type(o) for o in listed("optimizer")}
    assert optimizers <= {type(spec.optimizer) for spec in default}
    assert any(isinstance(spec.optimizer, Incremental) for spec in default)


def test_words_know_traits_and_no_choice() -> None:
    names = {c.__name__ for family in FAMILIES for c in ttr.choices(family)}
    for path in Path(words.__path__[0]).glob("*.py"):
        tree = ast.parse(path.read_text())
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        assert not used & names, f"{path.name} names {sorted(used & names)}"
        assert "isinstance" not in used or path.stem != "equations"
