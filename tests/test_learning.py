"""What the layers learn: a file of results becomes a section, and none of its text does."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

import ttr_core as ttr
from ttr_core.lab import MQAR, RATES, TrainConfig
from ttr_core.tools import documents, learning
from ttr_core.words import defining

ROOT = Path(__file__).resolve().parent.parent
FIRST, SECOND, THIRD, *OTHERS = ttr.catalog
ROW = {
    "layer": FIRST, "task": "mqar", "seeds": "1", "diverged": "0", "lr": "0.01", "lr_low": "0.003",
    "lr_high": "0.03", "rates_good": "3", "rates_tried": "3", "lrs_tried": "[0.003, 0.01, 0.03]",
    "accuracy": "0.9", "accuracy_median": "0.98765", "accuracy_min": "0.5", "accuracy_max": "0.99",
    "still_rising": "1", "steps_to_90": "140.0", "cpu_seconds_to_90": "12.4",
    "packed_state_size": "8256",
    "state_size": "16384", "cpu_seconds": "1234.56", "task.pairs": "32",
    "task.seq_len": "128", "task.vocab_size": "4096", "task.power": "0.5", "model.frame": "paper",
    "model.d_model": "48", "model.kv_heads": "", "train.steps": "400", "train.batch_size": "16",
    "train.eval_examples": "64", "train.target": "", "train.protocol": "quick",
}  # fmt: skip
HOSTILE = ("=1+1", "'=1+1", "[x](https://example.org)", "a | b\n\n# c", "<b>", f"{FIRST}2", "")


def written(folder: Path, *rows: dict[str, str]) -> Path:
    file = folder / learning.FILE
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, ROW, quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        writer.writerows({**ROW, **row} for row in rows)
    return file


def section(file: Path) -> str:
    return "\n\n".join(learning.section(file))


def table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_every_cell_shows_as_its_column_says(tmp_path: Path) -> None:
    page = section(written(tmp_path, {}))
    (row,) = table(page)
    assert learning.SUPERSEDED not in page
    assert row == [
        f"[{FIRST}](#{FIRST})", "98.77", "50 to 99", "1", "140", "12", "0.01",
        "0.003 to 0.03 (3 of 3)", "16,384", "8,256", "1,235",
    ]  # fmt: skip
    assert len(row) == len(learning.head(MQAR.main()))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"lr_low": "0.01", "lr_high": "0.01", "rates_good": "1"}, (6, "0.01", "0.01 (1 of 3)")),
        ({"lr_low": "", "lr_high": "", "rates_good": "0"}, (6, "–", "–")),
        ({"rates_good": "", "rates_tried": ""}, (6, "0.01", "–")),
        ({"accuracy": "", "accuracy_median": "", "diverged": "1"}, (1, "diverged")),
        ({"accuracy": "", "accuracy_median": ""}, (1, "–")),
        ({"accuracy_median": ""}, (1, "90")),
        ({"accuracy_median": "1.5"}, (1, "–")),
        ({"accuracy_median": "0"}, (1, "0")),
        ({"accuracy_min": ""}, (2, "–")),
        ({"accuracy_max": "1.5"}, (2, "–")),
        ({"still_rising": ""}, (3, "–")),
        ({"steps_to_90": "", "cpu_seconds_to_90": "nan"}, (4, "–", "–")),
        ({"lr": "nan"}, (6, "–")),
        ({"state_size": "inf", "cpu_seconds": "-3"}, (8, "–", "8,256", "–")),
    ],
)
def test_what_is_missing_or_no_number_is_a_dash(
    tmp_path: Path, given: dict[str, str], shown: tuple[Any, ...]
) -> None:
    (row,) = table(section(written(tmp_path, given)))
    start, *cells = shown
    assert row[start : start + len(cells)] == cells


def test_the_best_stand_first_then_the_names(tmp_path: Path) -> None:
    names = sorted(OTHERS[:3])
    reached = {names[2]: "0.5", names[0]: "", FIRST: "1.0", names[1]: "0.5", SECOND: "0.75"}
    rows = [
        {"layer": name, "accuracy": accuracy, "accuracy_median": ""}
        for name, accuracy in reached.items()
    ]
    shown = [
        re.findall(r"\[(.+?)\]", row[0])[0] for row in table(section(written(tmp_path, *rows)))
    ]
    assert shown == [FIRST, SECOND, names[1], names[2], names[0]]


def test_layers_without_a_row_are_named_and_strangers_are_left_out(tmp_path: Path) -> None:
    strangers = [{"layer": name} for name in HOSTILE]
    text = section(written(tmp_path, *strangers, {"layer": SECOND}, {"layer": THIRD}))
    assert [row[0] for row in table(text)] == sorted(f"[{n}](#{n})" for n in (SECOND, THIRD))
    first = defining(ttr.catalog)
    asked = [name for name in ttr.catalog if first[name] == name]
    done = len({SECOND, THIRD} & {*asked})
    start = f"Measured so far: {done} of {len(asked)} layers. Without a result: "
    (missing,) = re.findall(f"^{start}(.+)\\.$", text, flags=re.M)
    named = re.findall(r"\[(.+?)\]\(#\1\)", missing)
    assert named == [name for name in asked if name not in (SECOND, THIRD)]
    own = section(written(tmp_path, {"layer": SECOND, "model.frame": "published"}))
    assert f"Measured so far: 1 of {len(ttr.catalog)} layers" in own
    every = section(written(tmp_path, *({"layer": name} for name in ttr.catalog)))
    assert "Without a result" not in every and len(table(every)) == len(ttr.catalog)


@pytest.mark.parametrize("column", ROW)
@pytest.mark.parametrize("cell", ["=1+1", "[x](y)", "a | b\n\n# c", "1e999", "²"])
def test_no_text_of_the_file_reaches_the_page(tmp_path: Path, column: str, cell: str) -> None:
    text = section(written(tmp_path, {"layer": SECOND}, {"layer": FIRST, column: cell}))
    allowed = section(written(tmp_path, {"layer": SECOND}, {"layer": FIRST}))
    for part in ("=1+1", "[x](y)", "a | b", "# c", "999", "²"):
        assert part not in text
    assert set(re.findall(r"\]\((.+?)\)", text)) <= {
        *re.findall(r"\]\((.+?)\)", allowed), *(f"#{name}" for name in (FIRST, SECOND)),
    }  # fmt: skip
    rows = table(text)
    assert rows and all(len(row) == len(learning.head(MQAR.main())) for row in rows)


def test_the_setting_is_that_of_the_file(tmp_path: Path) -> None:
    text = section(written(tmp_path, {}))
    for told in (
        "`pairs=32`", "`seq_len=128`", "`vocab_size=4096`", "`power=0.5`", "`d_model=48`",
        "`paper` frame", "`steps=400`", "`batch_size=16`", "`target=none`", MQAR.summary(),
        "1 seed;", "learning rates 0.003, 0.01, 0.03",
    ):  # fmt: skip
        assert told in text, told
    assert "rebound" not in text, "what is as always is not told"


def test_rows_of_another_setting_are_a_table_of_their_own(tmp_path: Path) -> None:
    rows = (
        {"layer": SECOND, "accuracy_median": "0.5"},
        {"layer": FIRST, "task.pairs": "4"},
        {"layer": THIRD, "task": "mqra"},
        {"layer": SECOND, "accuracy_median": "0.9"},
        {"layer": THIRD, "model.frame": "standard"},
    )
    text = section(written(tmp_path, *rows))
    parts = text.split("### ")
    assert len(parts) == 4 and text.count("- **Task**") == 3
    shown = [table(part) for part in parts[1:]]
    assert [[row[0] for row in part] for part in shown] == [
        [f"[{name}](#{name})"] for name in (SECOND, FIRST, THIRD)
    ]
    assert shown[0][0][1] == "50", "of two rows of a layer the first counts"
    assert (
        "`pairs=4`" in parts[2].splitlines()[0] and "`standard` frame" in parts[3].splitlines()[0]
    )


def test_a_table_tells_what_another_layer_stands_for_and_where_seeds_are_missing(
    tmp_path: Path,
) -> None:
    rows = ({"layer": "gla", "seeds": "3"}, {"layer": "deltanet", "seeds": "1"})
    text = section(written(tmp_path, *rows))
    assert "an earlier one: [hgrn2](#hgrn2) (gla)" in text
    assert "Fewer than 3 seeds so far: [deltanet](#deltanet)." in text
    own = section(written(tmp_path, *({**row, "model.frame": "published"} for row in rows)))
    assert "an earlier one" not in own


def test_what_ends_short_has_its_cause_told_or_is_said_to_lack_one(tmp_path: Path) -> None:
    limited = next(name for name, entry in ttr.catalog.items() if entry.limit)
    short_from = ttr.catalog[limited].short_from
    free = [name for name, entry in ttr.catalog.items() if not entry.limit][:3]
    ends = dict(zip((limited, *free), ("0.9499", "0.9499", "0.95", ""), strict=True))
    page = section(
        written(
            tmp_path, *({"layer": n, "accuracy": x, "accuracy_median": x} for n, x in ends.items())
        )
    )
    assert f"[{limited}](#{limited})**: {learning.md.plain(ttr.catalog[limited].limit)}" in page
    (lacking,) = [line for line in page.splitlines() if "not isolated" in line]
    assert [n for n in ends if f"[{n}]" in lacking] == [free[0], free[2]]
    fewer = {"layer": limited, "accuracy_median": "0.9", "task.pairs": str(short_from - 1)}
    assert ttr.catalog[limited].limit[:20] not in section(written(tmp_path, fewer))
    higher = written(tmp_path, {"layer": limited, "accuracy_median": "0.96"})
    assert ttr.catalog[limited].limit[:20] not in section(higher)


def test_what_is_reduced_is_told_and_nothing_else(tmp_path: Path) -> None:
    default = TrainConfig()
    text = section(written(tmp_path, {}))
    (reduced,) = re.findall(r"^- \*\*Reduced\*\*: (.+)$", text, flags=re.M)
    for told in (
        "1 seed instead of 3 or more", f"3 learning rates instead of {len(RATES)}",
        f"`steps=400` instead of {default.steps}",
        f"`batch_size=16` instead of {default.batch_size}",
        f"`eval_examples=64` instead of {default.eval_examples}",
    ):  # fmt: skip
        assert told in reduced
    assert "beyond" not in reduced
    beyond = section(written(tmp_path, {"train.target": "0.9"}))
    assert "no training beyond a target of 0.9" in beyond
    whole = {
        "seeds": "3", "lrs_tried": str(list(RATES)), "train.steps": "600", "train.batch_size": "32",
        "train.eval_examples": "128", "train.protocol": "standard",
    }  # fmt: skip
    assert "Reduced" not in section(written(tmp_path, whole))


@pytest.mark.parametrize("rows", [None, (), ({"layer": "=1+1"},)])
def test_without_results_the_section_says_how_to_get_them(
    tmp_path: Path, rows: tuple[dict[str, str], ...] | None
) -> None:
    file = tmp_path / learning.FILE if rows is None else written(tmp_path, *rows)
    text = section(file)
    assert "--output docs/learning.csv" in text and "|" not in text
    (plan,) = re.findall(r"batch\.py sweep (\S+)", text)
    assert (ROOT / plan).exists()


def test_a_file_that_is_no_table_gives_no_rows(tmp_path: Path) -> None:
    file = tmp_path / learning.FILE
    for data in (b"", b"\xff\xfe\x00|", b"layer\n" + FIRST.encode(), b"layer,task\nx\n,,,,,\n"):
        file.write_bytes(data)
        assert "No results" in section(file)


def test_the_page_has_the_section_of_the_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "FOLDER", tmp_path)
    written(tmp_path, {})
    text = documents.catalog_page()
    assert "98.77" in text and "No results" not in text
    assert text.index("## What they learn") < text.index(f"## {FIRST}\n")
