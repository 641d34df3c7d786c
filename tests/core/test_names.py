"""What cells are called: a name needs a paper, and a lack of one a date."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

import ttr_core as ttr
from ttr_core.layers.gates import GATES
from ttr_core.layers.published import AS_OF, ELSEWHERE, Elsewhere
from ttr_core.words import STANDINGS, called
from ttr_core.words.names import ABSENT
from ttr_core.words.neighbors import chosen

ROOT = Path(__file__).resolve().parents[2]
LAYERS = [cell for cell in ttr.grid() if cell.verdict != "undefined"]


def test_the_catalog_has_a_date() -> None:
    assert isinstance(AS_OF, date) and date(2026, 11, 25) <= AS_OF
    assert max(entry.paper.year for entry in ttr.catalog.values()) <= AS_OF.year
    assert date.fromisoformat(ABSENT.rsplit(" ", 1)[-1]) == AS_OF


def test_no_lack_of_a_name_is_taken_for_a_discovery() -> None:
    files = [ROOT / "app.py", ROOT / "README.md", ROOT / "CHANGELOG.md"]
    for folder, kinds in (("ttr_core", ".py"), ("experiments_db", ".py .sql"), ("pages", ".py")):
        files += [p for kind in kinds.split() for p in (ROOT / folder).rglob(f"*{kind}")]
    files += (ROOT / "docs").glob("*.md")
    word = re.compile("un" + "published", re.IGNORECASE)
    assert not [str(p) for p in files if word.search(p.read_text(encoding="utf-8"))]


def test_every_layer_of_the_grid_has_a_standing() -> None:
    for cell in LAYERS:
        assert cell.standing in STANDINGS
        assert bool(cell.known_as) == (cell.standing != ABSENT)
        assert (cell.standing == "published") == bool(cell.published)
    assert not any(c.standing or c.known_as for c in ttr.grid() if c.verdict == "undefined")


def test_what_equals_a_published_cell_says_so() -> None:
    named = {cell.spec for cell in LAYERS if cell.published}
    for cell in LAYERS:
        if named & {*cell.same_as} and not cell.published:
            assert cell.standing == "equivalent to a published one"
            assert cell.known_as[0] in {n for o in cell.same_as for n in ttr.cell(o).known_as}
    assert ttr.cell("Gate | Linear | OneStep").standing == "equivalent to a published one"


@pytest.mark.parametrize("one", ELSEWHERE, ids=lambda one: one.name)
def test_what_was_published_elsewhere_is_named_with_its_paper(one: Elsewhere) -> None:
    paper, cell = one.paper, ttr.cell(one.cell)
    assert paper.title and paper.authors and 1950 < paper.year <= AS_OF.year and one.beyond
    assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", paper.url)
    assert cell.spec == one.cell and one.name in cell.known_as
    assert one in cell.elsewhere and cell.standing in ("published", "published elsewhere")
    kept = cell.to_dict()["elsewhere"]
    assert all({"title", "authors", "year", "url"} == set(other["paper"]) for other in kept)


def test_a_layer_that_got_an_entry_is_elsewhere_no_more() -> None:
    entries = {(e.paper.url, chosen(e.spec)) for e in ttr.catalog.values()}
    assert not entries & {(o.paper.url, chosen(ttr.Spec.parse(o.cell))) for o in ELSEWHERE}
    names = {"".join(filter(str.isalnum, name)) for name in ttr.catalog}
    assert not names & {"".join(filter(str.isalnum, one.name.lower())) for one in ELSEWHERE}


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("ChannelGate | Linear | SGD", "kda"),
        ("Gate * Importance | Linear | Exact", "mesanet"),
        ("Gate | Linear | NLMS(share=token)", "kaczmarz-linear-attention"),
        ("Gate | Linear | MultiStep(n=3)", "gated-deltaproduct"),
        ("Gate | Linear | Momentum(push_by=token, link=twice_sigmoid)", "momentum-deltanet"),
        ("Uniform | Kernel | SGD", "the memory of LUCID"),
        ("Decay * ExpKernel(scale=2) | Constant | Exact", "alibi"),
        ("Window(size=64) * ExpKernel | Constant | Exact", "sliding-window-attention"),
    ],
)
def test_known_layers_are_known(cell: str, name: str) -> None:
    assert ttr.cell(cell).known_as[0] == name
    assert ttr.describe(cell).standing.title == name


def test_in_another_frame_a_layer_made_by_its_frame_is_a_cell() -> None:
    tied = {name for name, entry in ttr.catalog.items() if entry.tied}
    assert {"mamba", "mamba2", "hgrn2", "gateloop", "lru"} <= tied
    assert all(GATES[ttr.catalog[name].frame.gates].name != "dense" for name in tied)
    for name in ttr.catalog:
        for frame in ttr.FRAMES:
            expected = f"cell of {name}" if name in tied and frame != "published" else name
            assert called(name, frame) == expected
        assert called(name, "published") == name
    for cell in LAYERS:
        assert not tied & {*cell.known_as}


GLA = ("gla", "cell of hgrn2", "cell of gated-slot-attention")


def test_a_whole_layer_names_its_cell_before_one_that_its_frame_makes() -> None:
    assert ttr.cell("ChannelGate | Linear | Hebbian").known_as == GLA
    assert ttr.cell("Gate | Linear | Hebbian").known_as == ("gated retention", "cell of gateloop")
