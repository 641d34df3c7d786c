"""A layer written to a file from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ttr_core as ttr
from experiments_db.cli import app


def export(*words: str) -> Any:
    return CliRunner().invoke(app, ["export", *words])


def test_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ttr_core.tools.standalone.standalone.LayerFile.text",
        lambda self: f"class Layer: d_model: int = {self.d_model}",
    )
    file = tmp_path / "layer.py"
    done = export("Linear Attention", "--output", str(file), "--d-model", "32", "--heads", "2")
    assert done.exit_code == 0 and done.stdout == ""
    assert "linear-attention is written" in done.stderr and "Its form: all tokens" in done.stderr
    text = file.read_text()
    assert "d_model: int = 32" in text
    file.write_text("mine")
    done = export("linear-attention", "--output", str(file))
    assert done.exit_code == 2 and "--overwrite" in done.stderr and file.read_text() == "mine"
    assert export("linear-attention", "--output", str(file), "--overwrite").exit_code == 0
    assert "class Layer" in file.read_text() and [*tmp_path.iterdir()] == [file]


def test_what_has_no_fast_form_says_which_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = 'class Layer: ...\n\n\nif __name__ == "__main__":\n    test()\n'
    text = "ttr_core.tools.standalone.standalone.LayerFile.text"
    monkeypatch.setattr(text, lambda self: body)
    slow = "Uniform | NormLinear | SGD"
    assert ttr.resolve(slow).sequential(ttr.Spec.parse(slow))
    file = tmp_path / "layer.py"
    done = export(slow, "--output", str(file), "--form", "fla")
    assert done.exit_code == 0 and "token by token" in done.stderr
    assert "FlaLayer" in done.stderr and "class FlaLayer" in file.read_text()


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for words, said in {
        ("kdaa", "layer.py"): "'kda'",
        ("kda", "layer.txt"): "use .py",
        ("kda", "none/layer.py"): "lies in no folder",
        ("kda", "layer.py", "--heads", "3"): "must divide",
        ("kda", "layer.py", "--form", "flaa"): "'fla'",
    }.items():
        done = export(words[0], "--output", str(tmp_path / words[1]), *words[2:])
        assert done.exit_code == 2 and said in done.stderr
    assert [*tmp_path.iterdir()] == []
