"""What docs/sweeps.md says of kept runs is what they come to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "sweeps.md").read_text(encoding="utf-8")
RUNS = pd.read_parquet(DOCS / "evidence/learning.parquet")
WORDS = pd.read_parquet(DOCS / "evidence/vocabulary.parquet")
NAMES = ("softmax-attention", "mesa-layer", "mamba2", "linear-attention", "deltanet",
         "gated-deltanet", "gla", "based")  # fmt: skip


def cells(start: str) -> list[list[str]]:
    """The cells of each row that starts with a pattern."""
    return [
        found.strip("| ").split(" | ") for found in re.findall(rf"^\| {start}.*\|$", TEXT, re.M)
    ]


def spent(runs: pd.DataFrame) -> float:
    """Seconds by the clock, times the processor's share of the training that was kept."""
    metrics = [json.loads(text) if isinstance(text, str) else text for text in runs["metrics"]]
    share = [found["cpu_seconds"] / found["train_seconds"] for found in metrics]
    return float((runs["seconds"] * share).sum())


def test_the_costs_of_the_learning_table_are_those_of_its_runs() -> None:
    rows = cells("(?:published|standard) \\|")
    groups = {(str(f), str(int(n))): runs for (f, n), runs in RUNS.groupby(["frame", "task.pairs"])}
    assert {(frame, pairs) for frame, pairs, *_ in rows} == set(groups)
    for frame, pairs, layers, *seconds in rows:
        runs = groups[frame, pairs]
        assert runs["layer"].nunique() == int(layers)
        assert by_device(runs) == pytest.approx(whole(seconds), abs=0.51)
    (total,) = cells("all \\|")
    assert by_device(RUNS) == pytest.approx(whole(total[-2:]), abs=0.51)
    assert f"{len(RUNS)} runs" in TEXT
    fed = RUNS[RUNS["device"] == "cuda"]
    assert fed.groupby(["layer", "frame"]).ngroups == 7 and set(fed["task.pairs"]) == {8}


def by_device(runs: pd.DataFrame) -> list[float]:
    """Processor seconds of runs on a processor, and of those on a GPU."""
    return [spent(runs[runs["device"] == device]) for device in ("cpu", "cuda")]


def whole(said: list[str]) -> list[float]:
    return [float(text.replace(",", "")) for text in said]


def test_what_is_learned_does_not_depend_on_the_device() -> None:
    said = " ".join((DOCS / "gpu.md").read_text(encoding="utf-8").split())
    there = pd.read_parquet(DOCS / "evidence/learning_on_gpu.parquet").groupby("layer")
    here = RUNS[(RUNS["frame"] == "published") & (RUNS["task.pairs"] == 8)].groupby("layer")
    apart = (there["accuracy"].median() - here["accuracy"].median()).dropna().abs()
    assert len(apart) == 3 and f"{there.size().sum()} runs) the medians" in said
    assert "differ by .003 at most" in said and apart.max() <= 0.003
    rates = pd.DataFrame({"there": there["lr"].first(), "here": here["lr"].first()}).dropna()
    assert list(rates.index[rates["there"] != rates["here"]]) == ["omeganet"]


def test_the_table_of_two_vocabularies_is_that_of_its_runs() -> None:
    by_seed = WORDS.set_index(["task.vocab_size", "seed", "layer"]).sort_index()
    ranks = {}
    for size, *said, _ in cells("(?:256|8192) \\|"):
        rows = by_seed.loc[(int(size), 0)].loc[list(NAMES)]
        told = [(float(cell.split()[0]), cell.endswith(" r")) for cell in said]
        assert [accuracy for accuracy, _ in told] == pytest.approx(list(rows["accuracy"]), abs=6e-4)
        assert [rising for _, rising in told] == [bool(x) for x in rows["still_rising"]]
        ranks[size] = rows["accuracy"].rank()
    found = ranks["256"].corr(ranks["8192"])
    assert f"correlation of the eight is {f'{found:.2f}'.removeprefix('0')} " in TEXT
    first, second = (by_seed.loc[(256, seed)]["accuracy"] for seed in (0, 1))
    both = first.loc[second.index].rank().corr(second.rank())
    assert len(second) == 6 and f"correlate by {f'{both:.2f}'.removeprefix('0')} " in TEXT


def test_what_the_search_of_gates_says_is_what_its_runs_read() -> None:
    said = " ".join((DOCS / "search.md").read_text(encoding="utf-8").split())
    files = [DOCS / f"evidence/search_{name}.parquet" for name in ("overwrite", "gates")]
    runs = pd.concat([pd.read_parquet(file) for file in files])
    fresh = runs[(runs["seed"].between(100, 111)) & (runs["train.steps"] == 1200)]
    fresh = fresh[(fresh["model.frame"] == "paper") & (fresh["model.key_dim"] == 4)]
    read = fresh.groupby("spec")["accuracy"].apply(sorted)
    gates, other = (
        read["ChannelGate | Linear | EraseWrite"],
        read["Importance | Linear | Preconditioned"],
    )
    assert [f"{x:.2f}" for x in gates[:2]] == ["0.65", "0.67"] and "and .65 and .67 on two" in said
    assert min(gates[2:]) >= 0.895 and max(gates) < 0.925 and len(gates) == 12
    assert other[0] >= 0.695 and other[-1] < 0.785 and "lie within .70 and .78" in said
    rows = re.findall(
        r"\| `([\w* ]+)` \| (\.\d+)(?: \([\w-]+\))? \| (?:(\.\d+) \([\w-]+\))? ?\|",
        said.partition("## Which weights the two gates want")[2].partition("## ")[0],
    )
    assert len(rows) == 6
    last = runs[(runs["train.steps"] == 3000) & runs["seed"].between(300, 311)]
    finals = last.groupby(["model.frame", "spec"])["accuracy"]
    for frame in ("paper", "standard"):
        mine, other = (
            finals.mean()[frame, f"{weights} | Linear | EraseWrite"]
            for weights in ("Uniform", "ChannelGate")
        )
        told = f"{mine:.3f} against {other:.3f}, {mine - other:.3f}"
        assert told.replace("0.", ".") in said and finals.count()[frame].eq(12).all()
    chosen = runs[(runs["seed"] < 3) & runs["train.steps"].isin([1200, 3000])].copy()
    chosen = chosen[(chosen["model.frame"] == "paper") & (chosen["model.key_dim"] == 4)]
    metrics = chosen["metrics"].map(
        lambda text: json.loads(text) if isinstance(text, str) else text
    )
    chosen["validation"] = metrics.map(lambda one: one["validation_accuracy"])
    means = chosen.drop_duplicates(["train.steps", "spec", "lr", "seed"]).groupby(
        ["train.steps", "spec", "lr"]
    )["validation"]
    best = means.mean()[1200].drop(0.005, level="lr", errors="ignore").groupby("spec").max()
    later = means.mean()[3000].groupby("spec").max()
    for weights, two, one in rows:
        assert float(two) == pytest.approx(best[f"{weights} | Linear | EraseWrite"], abs=6e-4)
        if one:
            assert float(one) == pytest.approx(best[f"{weights} | Linear | SGD"], abs=6e-4)
        told = f"{later[f'{weights} | Linear | EraseWrite']:.3f}".replace("0.", ".")
        name = "gated-deltanet-2" if weights == "ChannelGate" else f"`{weights}`"
        assert f"{told} for {name}" in said.partition("Since steps lacked")[2]


def test_why_cells_do_not_begin_in_a_search_is_what_their_runs_do() -> None:
    said = " ".join((DOCS / "search.md").read_text(encoding="utf-8").split())
    runs = pd.read_parquet(DOCS / "evidence/search_starts.parquet")
    assert f"frame `paper`; {len(runs)} runs" in said
    short = runs[runs["train.steps"] == 600].set_index(["spec", "seed"])
    cell = "ChannelGate | Linear | SGD"
    lives = {seed: json.loads(short.loc[(cell, seed), "tables"])["memory"][0] for seed in (0, 1)}
    assert f"{short.loc[(cell, 0), 'accuracy']:.2f}" == "0.15" and "with .15 after 600" in said
    assert f"{lives[0]['half_life_median']:.2f}" == "0.65" and "half-life of .65" in said
    assert f"{short.loc[(cell, 1), 'accuracy']:.2f}" == "0.80" and "reads .80, as" in said
    assert lives[1]["half_life_low"] >= 270_000 and "(270 000 tokens and more)" in said
    long = runs[runs["train.steps"] == 3000].set_index(["layer", "train.lr"])["accuracy"]
    assert [f"{long['rwkv7', rate]:.2f}" for rate in (0.015, 0.003)] == ["0.46", "0.17"]
    assert ".46 after 3 000 steps at .015, .17 at .003" in said
    assert (long["kda"] < 0.17).all() and len(long["kda"]) == 2
    keys = runs[runs["model.key_dim"] == 2].set_index(["layer", "seed", "train.lr"]).sort_index()
    read = keys["accuracy"]
    assert f"reads {span(read['gated-deltanet'])} after 3 000" in said
    assert f"momentum-deltanet {span(read['momentum-deltanet'])}:" in said
    kept = {
        (seed, rate): json.loads(keys.loc[("momentum-deltanet", seed, rate), "tables"])["memory"][0]
        for seed in (0, 1)
        for rate in (0.003, 0.015)
    }
    lives = {place: row["half_life_median"] for place, row in kept.items()}
    assert [round(lives[0, rate]) for rate in (0.003, 0.015)] == [58, 23]
    assert "half-lives of 58 and 23 tokens" in said and "(268 tokens and more)" in said
    assert round(min(lives[1, 0.003], lives[1, 0.015])) == 268
    beside = runs[runs["spec"].str.startswith("Gate * Importance")]["accuracy"]
    assert len(beside) == 4 and f"all four read {span(beside)}" in said


def span(values: pd.Series) -> str:
    """The least and the largest of shares, as the documents write them."""
    return f"{values.min():.2f} to {values.max():.2f}".replace("0.", ".")


def test_what_is_said_of_ridges_is_what_their_runs_read() -> None:
    said = " ".join((DOCS / "search.md").read_text(encoding="utf-8").split())
    said = said.partition("## Which ridge exact fits want")[2].partition("## ")[0]
    runs = pd.read_parquet(DOCS / "evidence/search_ridge.parquet")
    quick = runs[(runs["spec"] == "Importance | Linear | Implicit") & (runs["seed"] >= 440)]
    rises = quick["metrics"].map(lambda text: json.loads(text)["rise_at_fall"])
    means = rises.groupby(quick["model.frame"]).mean()
    assert [f"{x:.3f}" for x in means] == ["0.055", "0.060"] and "(.055 and .060 when" in said
    other = pd.read_parquet(DOCS / "evidence/search_recall.parquet")
    other = other[(other["train.steps"] == 1200) & (other["model.key_dim"] == 3)]
    other = other[(other["spec"] == "Gate * Importance | Linear | Hebbian") & (other["seed"] < 3)]
    read = other["metrics"].map(lambda text: json.loads(text)["validation_accuracy"])
    assert f"{read.groupby(other['train.lr']).mean().max():.2f}" == "0.75" and "reads .75" in said
    runs = runs[(runs["model.frame"] == "paper") & (runs["train.steps"] == 600)]
    runs = runs[(runs["train.lr"] == 0.04) & (runs["seed"] < 3) & (runs["model.key_dim"] == 3)]
    scores = runs["metrics"].map(lambda text: json.loads(text)["validation_accuracy"])
    for weights, name in (("Importance", "`Importance` reads"), ("Gate * Importance", "mesanet")):
        stands = f"{weights} | Linear | Exact"
        means = scores[runs["spec"].str.startswith(stands)].groupby(runs["spec"]).mean()
        drawn = means.drop(stands)
        ridges = [float(spec.partition("ridge=")[2].rstrip(")")) for spec in drawn.index]
        assert len(drawn) == 6 and f"{min(ridges):.2f} {max(ridges):.2f}" == "0.05 0.73"
        assert f"{name} {drawn.min():.3f} to {drawn.max():.3f}".replace("0.", ".") in said
        assert f"{means[stands]:.3f}".replace("0.", ".") in said.partition("as it stands")[2]


def test_what_the_search_of_curvature_says_is_what_its_runs_read() -> None:
    said = " ".join((DOCS / "search.md").read_text(encoding="utf-8").split())
    said = said.partition("## Which weights curvature wants")[2].partition("## ")[0]
    runs = pd.read_parquet(DOCS / "evidence/search_curvature.parquet")
    runs = runs[runs["model.key_dim"] == 4]
    kept = runs["metrics"].map(json.loads)
    runs = runs.assign(validation=kept.map(lambda one: one.get("validation_accuracy")))
    chosen = runs[(runs["seed"] < 3) & (runs["model.frame"] == "paper")]
    means = chosen.groupby(["train.steps", "spec", "train.lr"])["validation"].mean()
    rows = re.findall(r"\| `([\w* ]+)` \| (dropped )?[a-z 1,20]*(\.\d{3})[^|]*\|", said)
    assert len(rows) == 6
    for weights, dropped, told in rows:
        scores = means[1200 if dropped else 3000, f"{weights} | Linear | Preconditioned"]
        assert f"{scores.drop(0.1, errors='ignore').max():.3f}".lstrip("0") == told
    others = re.findall(r"(\.\d{3}) \([\w-]+(?:'s cell)?, `(\w+)`\)", said)
    at = means[3000].groupby("spec").agg(set)
    assert len(others) == 6
    for told, optimizer in others:
        found = {f"{x:.3f}" for spec, xs in at.items() if spec.endswith(optimizer) for x in xs}
        assert f"0{told}" in found, (told, optimizer)
    mamba, mine = (
        means[3000, f"{spec}"] for spec in ("ChannelGate * Importance | Linear | Hebbian",
                                            "Importance | Linear | Preconditioned")
    )  # fmt: skip
    assert "reads .88 at .04" in said and f"{mamba[0.04]:.2f} {mamba[0.1]:.2f}" == "0.88 0.95"
    assert "finalist .92 and .94" in said and f"{mine[0.04]:.2f} {mine[0.1]:.2f}" == "0.92 0.94"
    ends = runs[runs["seed"].between(400, 411)]
    rises = kept[ends.index].map(lambda one: one["rise_at_fall"])
    rises = rises.groupby([ends["model.frame"], ends["spec"]]).mean()["paper"]
    assert sorted(f"{x:.3f}" for x in rises) == ["0.014", "0.016"] and "(.016, .014)" in said
    fresh = runs[runs["seed"].between(400, 411)].groupby(["model.frame", "spec"])["accuracy"]
    spread = {at: sorted(scores) for at, scores in fresh}
    assert all(len(scores) == 12 for scores in spread.values()) and len(spread) == 4
    mine = "Importance | Linear | Preconditioned"
    for frame, rival, low, rest, own in (
        ("paper", "ChannelGate * Importance", "one .62", ".91 to .96", "within .89 and .96"),
        ("standard", "Gate * Importance", "one seed of .44", ".86 to .94", "beside .83 to .90"),
    ):
        one, *others = spread[frame, f"{rival} | Linear | Hebbian"]
        ours = spread[frame, mine]
        assert low.endswith(f"{one:.2f}".lstrip("0")) and low in said
        assert rest == f"{span(pd.Series(others))}" and rest in said
        assert own.partition(" ")[2].replace("and", "to") == span(pd.Series(ours))
        assert own in said
