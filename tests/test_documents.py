"""The pages made from the code are the ones in docs/, whole and well formed."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import types
from functools import partial
from pathlib import Path

import pytest

import ttr_core as ttr
from ttr_core.space.ingredient import REGISTRY
from ttr_core.space.spec import AXES, triples
from ttr_core.tools import documents
from ttr_core.words import markdown

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("catalog.md", "ingredients.md")
TEXT = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in PAGES}


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", text, flags=re.M)


@pytest.mark.parametrize("seed", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_files_are_what_the_code_writes(seed: str) -> None:
    """In a process of its own: other tests may register ingredients in this one."""
    done = subprocess.run(
        [sys.executable, "-m", "ttr_core.tools.documents", "--check"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_check_names_the_stale_file_and_write_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(documents, "FOLDER", tmp_path)
    monkeypatch.setattr(documents, "pages", lambda: {"a.md": "new\n", "b.md": "same\n"})
    (tmp_path / "a.md").write_text("old\n")
    (tmp_path / "b.md").write_text("same\n")
    assert documents.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "docs/a.md" in said and "docs/b.md" not in said
    assert documents.main(["--write"]) == 0
    assert documents.main(["--check"]) == 0


def test_every_published_layer_has_its_row_section_and_paper() -> None:
    text = TEXT["catalog.md"]
    assert set(ttr.catalog) <= set(headings(text))
    for name, entry in ttr.catalog.items():
        assert re.search(rf"^\| \[{re.escape(name)}\]", text, flags=re.M), name
        assert f"]({entry.paper.url})" in text, name


def test_the_family_tree_holds_every_layer_once_one_step_below_what_it_is_a_move_from() -> None:
    tree = TEXT["catalog.md"].split("## Family tree")[1].split("\n## ")[0]
    above: list[str] = []
    found = []
    for indent, name in re.findall(r"^( *)- \[([^\]]+)\]\(#\2\) \(", tree, flags=re.M):
        above[len(indent) // 2 :] = [name]
        assert above[-2:-1] == [p for p in (ttr.catalog[name].parent,) if p], name
        found.append(name)
    assert sorted(found) == sorted(ttr.catalog)


def test_every_ingredient_of_every_family_has_its_section() -> None:
    ours = {
        cls.name
        for family in REGISTRY.values()
        for cls in family.values()
        if cls.__module__.startswith("ttr_core.")
    }
    assert ours - set(headings(TEXT["ingredients.md"])) == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_are_https_and_anchors_exist(page: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", TEXT[page])
    outer = [target for target in targets if "://" in target]
    assert [target for target in outer if not target.startswith("https://")] == []
    anchors = {target for target in targets if target.startswith("#")}
    assert anchors <= {f"#{title.lower().replace(' ', '-')}" for title in headings(TEXT[page])}


@pytest.mark.parametrize("page", PAGES)
def test_rows_are_as_wide_as_their_head_and_fences_close(page: str) -> None:
    blocks = TEXT[page].split("\n\n")
    for table in (block for block in blocks if block.startswith("| ")):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table
    fences = re.findall(r"^```.*$", TEXT[page], flags=re.M)
    assert fences == ["```math", "```"] * (len(fences) // 2)
    assert "$$" not in TEXT[page]


def test_a_point_is_a_layer_unless_it_holds_a_misfit_and_every_objection_is_told() -> None:
    misfits = documents._misfits()
    for spec in triples():
        at = {(axis, getattr(spec, axis)) for axis in AXES}
        told = {s for key, sentences in misfits.items() if set(key) <= at for s in sentences}
        assert told >= set(spec.objections()), str(spec)
        assert bool(told) == bool(spec.objections()), str(spec)


def test_a_reason_hidden_behind_another_is_told_of_the_pair_it_is_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step refuses kernels first, and local functions only where it has no kernel."""

    def objections(weights: str, function: str, optimizer: str) -> tuple[str, ...]:
        if optimizer == "step" and weights == "kernel":
            return ("step refuses kernel",)
        return ("step refuses local",) if (function, optimizer) == ("local", "step") else ()

    points = itertools.product(("even", "gate", "kernel"), ("flat", "local"), ("exact", "step"))
    made = [
        types.SimpleNamespace(
            **dict(zip(AXES, point, strict=True)), objections=partial(objections, *point)
        )
        for point in points
    ]
    monkeypatch.setattr(documents, "triples", lambda: made)
    assert documents._misfits() == {
        (("function", "local"), ("optimizer", "step")): ("step refuses local",),
        (("weights", "kernel"), ("optimizer", "step")): ("step refuses kernel",),
    }


def test_combinations_that_share_a_side_stand_together() -> None:
    pairs = [("A", "X"), ("A", "Y"), ("B", "X"), ("B", "Y"), ("C", "X")]
    assert list(documents._grouped(pairs)) == ["`A`, `B` with `X`, `Y`", "`C` with `X`"]
    assert list(documents._grouped([("A",), ("B",)])) == ["`A`, `B`"]
    assert list(documents._grouped([("A", "B", "C")])) == ["`A | B` with `C`"]


def test_each_distinct_objection_stands_once() -> None:
    rows = TEXT["ingredients.md"].split("## What never fits")[1].split("\n\n")[2].splitlines()[2:]
    reasons = [re.split(r"(?<!\\)\|", row)[1] for row in rows]
    assert len(reasons) == len(set(reasons)) > 0


def test_a_reference_becomes_a_link() -> None:
    text = "On x (and y) (Ada, 2020) https://a.org/1 Two (Bob et al., 2021) https://b.org/2"
    found = documents._referenced(text)
    assert found == (
        "[On x (and y)](https://a.org/1) (Ada, 2020) [Two](https://b.org/2) (Bob et al., 2021)"
    )


def test_marks_are_escaped_outside_code() -> None:
    assert markdown.plain("a * b_c `d_e`") == r"a \* b\_c `d_e`"
    assert markdown.boxed("|k|") == r"\|k\|"
