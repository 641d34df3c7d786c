"""Weights of a run: written by its worker, read again, bounded, removed with the run."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from experiments_db.cli import waiting
from experiments_db.run import outcomes, worker
from experiments_db.run.request import request
from experiments_db.store import Outcome, Store, weights
from ttr_core import RequestError
from ttr_core.lab import Experiment, looked_at

pytestmark = pytest.mark.usefixtures("prompt")
SETS = {"pairs": 2, "seq_len": 16, "vocab_size": 64, "d_model": 16, "steps": 3, "eval_examples": 4}


def tiny(**more: Any) -> Experiment:
    sets = {key: str(value) for key, value in {**SETS, **more}.items()}
    return request(layer="deltanet", task="mqar", sets=sets, device="cpu")


def worked(experiment: Experiment, target: Path | None) -> list[dict[str, Any]]:
    """Returns what a worker says of an experiment, in this process."""
    out = io.StringIO()
    runner = worker.Runner(worker.Wire(out), io.StringIO())
    asked = {"config": experiment.config(), **({"weights": str(target)} if target else {})}
    runner.run("job-1", asked)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_worker_keeps_what_it_trained_and_only_when_asked(tmp_path: Path) -> None:
    target = weights.file_of(tmp_path / "runs.duckdb", "some-run")
    assert "weights" not in [message["event"] for message in worked(tiny(), None)]
    assert not target.parent.exists()
    said = {message["event"]: message for message in worked(tiny(), target)}
    assert said["finished"]["status"] == "finished" and said["weights"]["said"] == ""
    assert [file.name for file in target.parent.iterdir()] == ["some-run.safetensors"]
    view = looked_at(tiny(), load_file(target))
    assert len(view.tokens) == 16 and len(view.asked) == 2
    (drawn,) = view.maps
    assert drawn.shape == (16, 16) and drawn.isfinite().all()
    assert torch.equal(drawn, drawn.tril()) and drawn.abs().max() > 0
    for position, label, source in zip(view.asked, view.labels, view.sources(), strict=True):
        assert source is not None and source < position and view.tokens[source] == label
    more = looked_at(tiny(), load_file(target), 1)
    assert more.tokens != view.tokens


def test_what_a_trained_model_answers_is_read_from_its_weights(tmp_path: Path) -> None:
    target = tmp_path / "runs.weights" / "one.safetensors"
    worked(tiny(steps=80, lr=0.03), target)
    seen = [looked_at(tiny(), load_file(target), index) for index in range(8)]
    right = [a == b for view in seen for a, b in zip(view.answers, view.labels, strict=True)]
    fresh = load_file(target)
    fresh["embedding"] = torch.randn_like(fresh["embedding"])
    lost = [looked_at(tiny(), fresh, index) for index in range(8)]
    wrong = [a == b for view in lost for a, b in zip(view.answers, view.labels, strict=True)]
    assert sum(right) > sum(wrong) + 4


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "runs.weights" / "one.safetensors"
    worked(tiny(), target)
    with pytest.raises(RequestError, match="not of this model"):
        looked_at(tiny(d_model=32), load_file(target))
    with pytest.raises(RequestError, match="not of this model"):
        looked_at(tiny(), {})


def test_a_run_whose_weights_were_not_kept_says_how_to_get_them(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"labels": False, "weights": True}
    job = SimpleNamespace(run_id=None, existing="one", status="existing")
    waiting.left_as_it_is(store, cast(Any, job), asked)
    assert "--fresh runs it again and keeps them" in capsys.readouterr().err
    untrained = SimpleNamespace(run_id="two", existing=None, status="finished")
    waiting.left_as_it_is(store, cast(Any, untrained), asked)
    assert "nothing was trained" in capsys.readouterr().err
    kept = weights.file_of(store.path, "one")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(b"some")
    waiting.left_as_it_is(store, cast(Any, job), asked)
    assert capsys.readouterr().err == ""


def test_too_much_is_said_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "runs.weights" / "one.safetensors"
    monkeypatch.setattr(weights, "MOST_BYTES", 100)
    said = {message["event"]: message for message in worked(tiny(), target)}
    assert "at most 100 are kept" in said["weights"]["said"] and not target.exists()
    assert said["finished"]["status"] == "finished"
    monkeypatch.undo()
    monkeypatch.setattr(weights, "MOST_IN_ALL", 100)
    assert "delete runs" in (weights.refusal(target, 200) or "")
    assert weights.refusal(target, 50) is None


def test_a_deleted_run_takes_its_weights_with_it(store: Store) -> None:
    run = outcomes.new_run(tiny(), tiny().config(), ())
    with store.driver() as driver:
        kept, gone = (str(store.claim(driver, run, fresh=True).run_id) for _ in range(2))
        for one in (kept, gone):
            store.finish(one, Outcome("finished", {"accuracy": 0.5}))
            file = weights.file_of(store.path, one)
            file.parent.mkdir(exist_ok=True)
            save_file({"x": torch.zeros(2)}, file)
    store.delete([gone])
    assert weights.kept_bytes(store.path, gone) is None
    assert (weights.kept_bytes(store.path, kept) or 0) > 0
