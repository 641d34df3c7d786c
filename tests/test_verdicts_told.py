"""What docs/reproduce.md says of claims is what their runs, and what was shipped, come to."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from experiments_db import claims
from experiments_db.claims import Finding, Scale, Word
from experiments_db.claims.figure3 import FEWEST, MANY, SIZES, found_at

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "reproduce.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (linear-attention|mesa-layer) \| (.+?) \| (.+?) \| (.+?) \|$", TEXT, re.M)
SAID = {"": "solved", "flat": "not solved", "near": "near", "still rises": "still rises",
        "all still rise": "still rises", "all still rises": "still rises"}  # fmt: skip
SIZE = SIZES["paper"]
COLUMNS = ["task", "layer", "seed", "accuracy", "last", "still_rising", "train.lr", "model.d_model",
           "task.pairs", "task.seq_len", "task.vocab_size"]  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> pd.DataFrame:
    runs = pd.read_parquet(DOCS / "evidence/claims_paper.parquet", columns=COLUMNS)
    return runs[(runs["task"] == "mqar") & (runs["model.d_model"] == SIZE.dim)]


def told(cell: str) -> list[tuple[float, str]]:
    """Accuracies of a cell, each with what is said of it: words in brackets hold for all since."""
    if cell == "runs missing":
        return []
    parts = re.findall(r"([\d., ]+)(?:\(([a-z ]+)\))?", cell)
    assert "".join(f"{a}({b})" if b else a for a, b in parts) == cell, cell
    return [
        (float(x), SAID[word]) for numbers, word in parts for x in numbers.split(",") if x.strip()
    ]


def found(runs: pd.DataFrame, layer: str, pairs: int, words: int) -> list[tuple[float, str]]:
    """Mean accuracy over the seeds and what it says, for each length; none without all runs."""
    outcomes = []
    rate = float(SIZE.rates[layer, pairs, words])
    for length in SIZE.lengths[pairs, words]:
        own = runs[
            (runs["layer"] == layer)
            & (runs["task.pairs"] == pairs)
            & (runs["task.vocab_size"] == (words or 2 * pairs + 2))
            & (runs["task.seq_len"] == length)
            & runs["seed"].isin([int(seed) for seed in SIZE.seeds])
            & ((runs["train.lr"] - rate).abs() < 1e-9)
        ]
        if len(own) == len(SIZE.seeds):
            mean = float(own["accuracy"].mean())
            outcomes.append((mean, found_at(mean, int(own["still_rising"].sum()))))
    return outcomes


def test_the_table_of_figure_3_is_that_of_its_runs(trained: pd.DataFrame) -> None:
    asked = {(layer, words) for layer, _, words in SIZE.rates}
    assert len(ROWS) == len(asked)
    for layer, words, *cells in ROWS:
        size = FEWEST if words == "2P + 2" else int(words)
        assert (layer, size) in asked
        for pairs, cell in zip(SIZE.pairs, cells, strict=True):
            wanted, said = found(trained, layer, pairs, size), told(cell)
            assert [f"{x:.3f}" for x, _ in said] == [f"{x:.3f}" for x, _ in wanted], (layer, cell)
            assert [word for _, word in said] == [word for _, word in wanted], (layer, cell)
            assert said or cell == "runs missing"


def test_the_runs_that_chose_the_rates_are_counted(trained: pd.DataFrame) -> None:
    chosen = trained[trained["seed"] == 100]
    assert f"its {len(chosen)} runs are kept" in TEXT
    best = chosen.groupby(["layer", "task.pairs", "task.vocab_size"])["last"].idxmax()
    for (layer, pairs, words), row in best.items():
        rate = SIZE.rates[layer, pairs, MANY if words == MANY else FEWEST]
        edge = (layer, pairs, words) == ("linear-attention", 128, 258)  # the text says why
        assert edge or abs(float(rate) - chosen.loc[row, "train.lr"]) < 1e-6, (layer, pairs, words)


# --- the words of both scales ------------------------------------------------------------------

TOLD = {
    name: " ".join(said.split())
    for name, said in re.findall(r"^- `([a-z-]+)` (.+?)(?=\n- |\Z)", TEXT, re.M | re.S)
    if name in claims.CLAIMS
}


def shipped(scale: Scale) -> dict[str, Finding]:
    known = claims.shipped(scale)
    assert known is not None
    return dict(known.findings)


def named(word: Word) -> str:
    return "reduced, without a verdict" if word is Word.REDUCED else str(word)


def test_every_claim_that_two_scales_tell_differently_is_told_with_both() -> None:
    quick, paper = shipped("quick"), shipped("paper")
    for name, small in quick.items():
        large = paper.get(name)
        if large is not None and large.verdict.word == small.verdict.word:
            continue
        if name in ("mad", "mqar-gdn"):  # no verdict, or no runs
            continue
        said = TOLD[name]
        assert named(small.verdict.word) in said and f"scale quick (n = {small.n})" in said, name
        if large is None:
            assert "not settled** at scale paper, which lacks runs" in said, name


def test_the_word_in_bold_is_that_of_more_seeds_and_its_numbers_are_those_of_its_table() -> None:
    paper = shipped("paper")
    for name, said in TOLD.items():
        if name not in paper:
            continue
        one = paper[name]
        assert f"**{one.verdict.word}**" in said and f"(n = {one.n})" in said, name
        known = [*numbers(one.table), *map(float, re.findall(r"\d+\.\d+|\d+", one.verdict.said))]
        for text in re.findall(r"(?<![\d.])\.\d+|\b\d+\.\d+", said):
            digits = len(text.partition(".")[2])
            assert any(round(x, digits) == float(text) for x in known), (name, text)


def numbers(table: pd.DataFrame) -> list[float]:
    return [float(x) for x in table.to_numpy().ravel() if isinstance(x, (int, float))]


def test_a_page_names_the_other_scale_where_its_word_is_another() -> None:
    quick, paper = claims.shipped("quick"), claims.shipped("paper")
    assert quick is not None and paper is not None
    small = quick.findings["softmax-adapts"].verdict.word
    assert paper.otherwise("softmax-adapts", small) == "At scale paper (n = 10): holds in part."
    assert paper.otherwise("local-linear", small) != ""
    same = quick.findings["local-linear"].verdict.word
    assert paper.otherwise("local-linear", same) == paper.otherwise("not there", same) == ""
