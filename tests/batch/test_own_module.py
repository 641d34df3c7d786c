"""A user's own module: trained by the same protocol, in a worker alone, under limits."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from experiments_db.cli import app
from experiments_db.read import listing, queries
from experiments_db.read.trained_views import own_layer
from experiments_db.run.brought import brought, too_much
from experiments_db.run.request import config_hash, request
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Store, open_store
from experiments_db.sweeps import Pace
from experiments_db.sweeps.estimate import kind
from ttr_core import RequestError
from ttr_core.lab import Experiment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "own_module.py"
SMALL = {
    "pairs": 2, "seq_len": 16, "vocab_size": 64, "d_model": 8, "steps": 20, "lr": 0.01,
    "batch_size": 4, "eval_examples": 8,
}  # fmt: skip
HEAD = """
import os, time, torch
from torch import nn

open({trace!r}, "a").write(str(os.getpid()) + "\\n")

class Base(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.map = nn.Linear(d_model, d_model)

class Good(Base):
    def forward(self, x):
        return self.map(x).cumsum(1)
"""
TRIED = {
    "shape": ("return x[:, :1]", r"returned torch.float32 of shape \(2, 1, 8\)"),
    "type": ("return x.double()", r"returned torch.float64"),
    "tuple": ("return x, x", r"returned tuple"),
    "nan": ("return x / 0 * 0", r"not finite .* at token 0"),
    "ahead": ("return x + x.mean(1, keepdim=True)", r"looks ahead"),
    "in chunks": (
        "return x + x.unflatten(1, (-1, 8)).mean(2).repeat_interleave(8, 1)",
        r"looks ahead",
    ),
    "raises": ("raise KeyError('oh')", r"raised KeyError: 'oh' \(line \d+ of own.py\)"),
    "memory": ("return x + sum(len(bytearray(2**26)) for _ in [bytearray(2**33)])", r"--memory"),
    "tensor": ("return x + torch.zeros(2**34)", r"more than the 1 GiB .*--memory"),
}
"""What the trial of a fresh module finds."""

BAD = {
    "shape": TRIED["shape"],
    "memory in training": (
        "return x + (torch.zeros(2**34) if torch.is_grad_enabled() else 0)",
        r"asked for more than the 1 GiB .* holds \(--memory 1\): allow more \(--memory 2\), or .*"
        r"lower train\.batch_size",
    ),
    "raises in training": (
        "return self.map(x) if not torch.is_grad_enabled() else x[1000]",
        r"raised IndexError: .* \(line \d+ of own.py\)",
    ),
    "sleeps": ("time.sleep(1000)", r"no sign of life for 1 s"),
    "spins": ("while True: pass", r"no sign of life for 1 s"),
    "exits": ("os._exit(3)", r"ended its worker\. .*exit code 3"),
}
"""How a run ends, by the whole way: from the command's side to a worker and the store."""

TRIAL = """
import json, sys
from experiments_db.run.brought import admitted, brought, confined
from experiments_db.run.request import request

for file in sys.argv[2:]:
    own = brought(f"{file}:Bad", memory=1.0)
    asked = request(module=own.name, sets=json.loads(sys.argv[1]))
    try:
        with confined(own.order(), "cpu"):
            admitted(own.order(), asked)
        print(json.dumps("admitted"))
    except Exception as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""


def written(folder: Path, body: str = "return self.map(x)") -> Path:
    """Writes a file with a module `Good`, and a module `Bad` of this body."""
    file = folder / "own.py"
    more = f"\nclass Bad(Base):\n    def forward(self, x):\n        {body}\n"
    file.write_text(HEAD.format(trace=str(folder / "trace")) + more)
    return file


def ran(store: Store, file: Path, cls: str, patience: float = 60.0) -> Any:
    own = brought(f"{file}:{cls}", memory=1.0, patience=patience)
    with Supervisor(store) as supervisor:
        job = supervisor.start(request(module=own.name, sets=SMALL), own=own)
        assert job.wait(240)
    return job


@pytest.mark.slow
def test_a_trial_finds_what_is_wrong_with_a_module(tmp_path: Path) -> None:
    """All in one process, since what it costs to load torch is paid once."""
    folders = {fault: tmp_path / fault.replace(" ", "_") for fault in (*TRIED, "good")}
    for fault, folder in folders.items():
        folder.mkdir()
        written(folder, TRIED.get(fault, ("return self.map(x)", ""))[0])
    files = [str(folder / "own.py") for folder in folders.values()]
    call = [sys.executable, "-c", TRIAL, json.dumps(SMALL), *files]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=ROOT)
    told = dict(zip(folders, map(json.loads, done.stdout.splitlines()), strict=True))
    assert told.pop("good") == "admitted"
    for fault, said in told.items():
        assert re.search(TRIED[fault][1], said), (fault, said)
        assert said.startswith("RequestError: module:Bad@"), (fault, said)


@pytest.mark.slow
@pytest.mark.parametrize("fault", BAD)
def test_a_bad_module_fails_with_its_own_error(store: Store, tmp_path: Path, fault: str) -> None:
    body, said = BAD[fault]
    hangs = "no sign of life" in said
    job = ran(store, written(tmp_path, body), "Bad", patience=1.0 if hangs else 60.0)
    assert job.status == "failed"
    row = queries.run(store, job.run_id)
    assert row is not None and row["status"] == "failed"
    with pytest.raises(RequestError, match=said):  # match with its own words where it differs
        raise RequestError(row["message"])
    assert "module:Bad@" in row["message"]


FORKS = """os.fork(); os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000")
        open(__file__ + ".pids", "a").write(f"{os.getpid()}\\n")
        return self.map(x)"""


@pytest.mark.slow
def test_a_module_that_forks_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    """Its copies neither speak for it nor fork again, and what it starts goes with its worker."""
    file = written(tmp_path, FORKS)
    job = ran(store, file, "Bad")
    assert job.status == "finished", job.message
    pids = {int(line) for line in Path(f"{file}.pids").read_text().split()}
    assert len(pids) > 30, "a copy at each call"
    assert [p for p in psutil.process_iter() if session_of(p) in pids] == []


def session_of(process: psutil.Process) -> int:
    """Returns the leader of a living process's session, as a worker is; 0 where it has gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE:  # its parent has not asked how it ended
            return os.getsid(process.pid)
    return 0


def test_a_worker_that_was_ended_is_told_with_the_limit_that_it_met(tmp_path: Path) -> None:
    own = brought(f"{written(tmp_path)}:Good", memory=3.0)
    ended = "The worker process ended (killed by SIG{}). Its last lines:\nterminate called: {}"
    aborted = own.explained(ended.format("ABRT", "std::bad_alloc"))
    assert "more than the 3 GiB" in aborted and "(--memory 3): allow more (--memory 6)" in aborted
    killed = own.explained(ended.format("KILL", ""))
    assert "memory is used up" in killed and "(--memory 3): allow less" in killed
    assert "--memory" not in own.explained(ended.format("SEGV", ""))
    assert "its GPU has free" in too_much(own.order(), "cuda")


def test_a_module_is_estimated_by_runs_of_itself_alone(tmp_path: Path) -> None:
    file = written(tmp_path)
    own, layer = (
        request(module=brought(f"{file}:Good").name, sets=SMALL),
        request(layer="gla", sets=SMALL),
    )
    pace = Pace([(own.config(), 100.0)])
    assert pace.seconds(kind(layer.config())) is None, "a module says nothing of a layer"
    assert Pace([(layer.config(), 1.0)]).seconds(kind(own.config())) is None
    twice = request(module=own.model.layers[0], sets={**SMALL, "steps": 40})
    once, more = kind(own.config()), kind(twice.config())
    step = 100 / once.steps
    assert pace.seconds(once) == pytest.approx(step * (once.steps + once.ends))
    assert pace.seconds(more) == pytest.approx(step * (2 * once.steps + more.ends))
    assert pace.knows(more)
    bad = request(module=brought(f"{file}:Bad").name, sets=SMALL)
    file.write_text(file.read_text() + "# another content\n")
    other = request(module=brought(f"{file}:Good").name, sets=SMALL)
    for one in (bad, other):
        assert pace.seconds(kind(one.config())) is None and not pace.knows(kind(one.config()))


def test_a_file_that_does_not_import_fails_in_its_worker(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("import nothing_of_this_name\n\nclass Good: ...\n")
    job = ran(store, file, "Good")
    assert job.status == "failed"
    assert "ModuleNotFoundError" in job.error and "(line 1 of own.py)" in job.error


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "class Good: ...\ndef Goot(): ...\n",
            "Unknown class of own.py 'Goot'. Did you mean 'Good'",
        ),
        ("import torch\n", "own.py defines no class 'Goot' and no other"),
        ("class Good(\n", "own.py is no Python: .*line 1"),
    ],
)
def test_a_class_that_is_not_there_is_answered_before_anything_is_stored(
    tmp_path: Path, source: str, said: str
) -> None:
    (tmp_path / "own.py").write_text(source)
    with pytest.raises(RequestError, match=said):
        brought(f"{tmp_path / 'own.py'}:Goot")


@pytest.mark.parametrize(
    "source",
    [
        "if True:\n    class Goot: ...\n",
        "from torch.nn import Linear as Goot\n",
        "from torch.nn import *\n",
        "Goot = type('Goot', (), {})\n",
        "Other, Goot = 1, 2\n",
        "globals()['Goot'] = int\n",
    ],
)
def test_a_class_that_a_file_may_have_is_left_to_its_worker(tmp_path: Path, source: str) -> None:
    (tmp_path / "own.py").write_text(source)
    own = brought(f"{tmp_path / 'own.py'}:Goot")
    assert own is not None and own.name.startswith("module:Goot@")


@pytest.mark.slow
def test_it_is_trained_stored_and_told_and_runs_in_no_other_process(
    store: Store, tmp_path: Path
) -> None:
    file = written(tmp_path)
    job = ran(store, file, "Good")
    assert job.status == "finished", job.message
    row = queries.run(store, job.run_id)
    assert row is not None
    assert row["layer"] is None and row["spec"].startswith("module:Good@")
    assert row["state_size"] is None and row["parameters"] > 8 * 8
    ids = {int(line) for line in (tmp_path / "trace").read_text().split()}
    assert os.getpid() not in ids and len(ids) == 1
    assert not queries.curves(store, [job.run_id]).empty
    groups = listing.groups(store, None, False)
    assert list(groups["spec"]) == [row["spec"]]
    own = own_layer(store, job.run_id)
    assert own is not None and own.linear_in == "inputs" and own.nearest == ()
    assert own.view is not None and "linear in the inputs" in own.sentence


@pytest.mark.slow
def test_the_example_names_its_nearest_and_has_a_map(store: Store) -> None:
    job = ran(store, EXAMPLE, "Leaky")
    assert job.status == "finished", job.message
    own = own_layer(store, job.run_id)
    assert own is not None and own.linear_in == "values of read(q, k, v)" and own.exact
    assert own.nearest[0][0] in ("gated-deltanet", "kda") and own.nearest[0][1] < 0.05
    assert "gated-deltanet 0.0" in own.sentence


@pytest.mark.slow
def test_the_same_module_is_the_same_run_and_another_content_another(
    store: Store, tmp_path: Path
) -> None:
    file = written(tmp_path)
    first, again = ran(store, file, "Good"), ran(store, file, "Good")
    assert again.status == "existing" and again.existing == first.run_id
    file.write_text(file.read_text() + "# another content\n")
    other = ran(store, file, "Good")
    assert other.status == "finished" and other.run_id != first.run_id


def test_a_class_that_is_called_as_a_published_layer_is_none(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("class gla: pass\n")
    own = request(module=brought(f"{file}:gla").name, sets=SMALL)
    published = request(layer="gla", sets=SMALL)
    assert own.layer is None and own.model.layers != published.model.layers
    assert config_hash(own.config()) != config_hash(published.config())
    assert Experiment.from_config(own.config()) == own


@pytest.mark.slow
def test_a_stored_name_alone_runs_nothing(store: Store, tmp_path: Path) -> None:
    """What pages, plans and imported stores can say is the name; no file comes with it."""
    file = written(tmp_path)
    asked = request(module=brought(f"{file}:Good").name, sets=SMALL)
    with Supervisor(store) as supervisor:
        job = supervisor.start(asked)
        assert job.wait(120)
    assert job.status == "failed" and "its file is not given here" in job.error
    assert not (tmp_path / "trace").exists()
    with pytest.raises(RequestError, match="Unknown layer"):
        request(layer="gla", sets={"model.layers": asked.model.layers[0]})
    with pytest.raises(RequestError, match="Unknown layer"):
        request(layer=asked.model.layers[0])


@pytest.mark.slow
def test_a_file_that_changes_before_it_is_run_is_refused(store: Store, tmp_path: Path) -> None:
    file = written(tmp_path)
    own = brought(f"{file}:Good")
    file.write_text("raise SystemExit\n")
    with Supervisor(store) as supervisor:
        job = supervisor.start(request(module=own.name, sets=SMALL), own=own)
        assert job.wait(120)
    assert job.status == "failed" and "has changed since" in job.error


def test_a_store_that_is_only_shown_runs_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path)
    monkeypatch.setenv("TTR_READONLY", "1")
    store = open_store(tmp_path / "runs.duckdb")
    own = brought(f"{file}:Good")
    with Supervisor(store) as supervisor:
        job = supervisor.start(request(module=own.name, sets=SMALL), own=own)
        assert job.wait(10)
    assert job.status == "failed" and "TTR_READONLY" in job.error
    assert not (tmp_path / "trace").exists()


@pytest.mark.slow
def test_its_worker_takes_no_other_run(store: Store, tmp_path: Path) -> None:
    own = brought(f"{written(tmp_path)}:Good")
    with Supervisor(store) as supervisor:
        first = supervisor.start(request(module=own.name, sets=SMALL), own=own)
        assert first.wait(120)
        second = supervisor.start(request(layer="deltanet", sets=SMALL))
        assert second.wait(120)
    assert (first.status, second.status) == ("finished", "finished")
    assert (tmp_path / "trace").read_text().count("\n") == 1


WRONG = {
    "no colon": (["--module", "own.py"], "FILE:Class"),
    "no file": (["--module", "nothing.py:Mine"], "cannot be read"),
    "no class": (["--module", "own.py:not a name"], "no name of a class"),
    "two": (["--module", "own.py:Good", "--layer", "gla"], "both were given"),
    "frame": (["--module", "own.py:Good", "--frame", "paper"], "brings its own frame"),
    "option": (["--module", "own.py:Good", "--set", "layer.ridge=1"], "no setting of layer at all"),
    "task": (["--module", "own.py:Good", "--task", "regression"], "a module is code"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_answered_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: None, case: str
) -> None:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    arguments, said = WRONG[case]
    done = CliRunner().invoke(app, ["run", *arguments, "--db", str(tmp_path / "runs.duckdb")])
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (tmp_path / "trace").exists()


@pytest.mark.slow
def test_the_command_runs_an_exported_layer(tmp_path: Path) -> None:
    """What `ttr export` writes keeps to the contract."""
    file, db = tmp_path / "layer.py", tmp_path / "runs.duckdb"
    batch = [sys.executable, "-m", "experiments_db"]
    export = [*batch, "export", "linear-attention", "--output", str(file)]
    subprocess.run(export, check=True, capture_output=True)
    sets = [f"--set={name}={value}" for name, value in SMALL.items()]
    run = [*batch, "run", "--module", f"{file}:Layer", *sets, "--db", str(db), "--json"]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["status"] == "finished" and found["spec"].startswith("module:Layer@")
    assert "linear neither" in done.stderr
