"""The script that tests and times the layers on a GPU works where there is none."""

from __future__ import annotations

import pytest

from ttr_core.tools import gpu


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_the_script_prints_its_three_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "TRAINED", ("deltanet",))
    monkeypatch.setattr(gpu, "STEPS", 2)
    assert gpu.main(["--device", "cpu", "--small", "--layers", "deltanet,lru"]) == 0
    said = capsys.readouterr().out
    assert said.count("|---") == 4 + 6 + 4 and "missed" not in said
    assert all(f"| {name} |" in said for name in ("deltanet", "lru"))


def test_a_layer_that_misses_the_tolerance_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "TOLERANCE", 0.0)
    assert gpu._print_errors(["deltanet"], "cpu", 9, compiled=False) == 1
    assert "**missed**" in capsys.readouterr().out


def test_an_unknown_layer_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cpu", "--layers", "deltanett"])
    assert "Did you mean 'deltanet'" in capsys.readouterr().err
