"""A task whose metric has another name, in one file, works from the command line to the Map."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import given

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("ttr_core", "experiments_db", "pages", ".streamlit", "docs/images")

TASKS = {
    "compass": '''"""A toy: say in which direction the first token of a sequence points."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from ttr_core.lab.metric import Metric
from ttr_core.lab.tasks import Batch, TrainedTask
from ttr_core.space.option import option


@dataclass(frozen=True)
class Compass(TrainedTask):
    """Name the direction that the first token of a sequence named.

    Args:
        seq_len: T, in tokens.
        vocab_size: directions.
    """

    name: ClassVar[str] = "compass"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("distance", "lower", 0.0, math.pi, "rad", "Angle between answer and direction."),
        Metric("loss", "lower", 0.0, None, "nats", "Cross-entropy of the directions."),
    )

    seq_len: int = option(8, "Length of a sequence in tokens.", low=2, high=4096)
    vocab_size: int = option(8, "Directions.", low=4, high=64)

    def check(self):
        """Every direction is valid."""

    def sample(self, batch_size, generator, device="cpu"):
        shape = (batch_size, self.seq_len)
        tokens = torch.randint(0, self.vocab_size, shape, generator=generator, device=device)
        last = torch.full((batch_size, 1), self.seq_len - 1, device=device)
        return Batch(tokens, last, tokens[:, :1], {"direction": tokens[:, :1]})

    def loss(self, model, batch):
        logits = model(batch.tokens, batch.positions)
        return F.cross_entropy(logits.flatten(0, 1), batch.labels[:, 0])

    def measure(self, model, batch):
        logits = model(batch.tokens, batch.positions)
        each = F.cross_entropy(logits.flatten(0, 1), batch.labels[:, 0], reduction="none")
        turned = 2 * math.pi / self.vocab_size * (logits.argmax(-1) - batch.labels)
        distance = torch.remainder(turned + math.pi, 2 * math.pi) - math.pi
        return {"distance": distance.abs(), "loss": each[:, None]}
''',
    "plumb": '''"""A toy: how far from the newest value a layer answers; no setting `sequences`."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ttr_core import solve
from ttr_core.lab.metric import Metric
from ttr_core.lab.tasks import EvaluatedTask, Evaluation
from ttr_core.lab.tasks.constants import Constants
from ttr_core.space.option import option


@dataclass(frozen=True)
class Plumb(EvaluatedTask):
    """Answer with the newest value.

    Args:
        seq_len: T, in tokens.
        dim: size of keys and values.
    """

    name: ClassVar[str] = "plumb"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("distance", "lower", 0.0, 3.15, "rad", "Angle between answer and newest value."),
    )

    seq_len: int = option(8, "Tokens.", low=2, high=4096)
    dim: int = option(4, "Size of keys and values.", low=2, high=64)

    def check(self):
        """Every size is valid."""

    def evaluate(self, spec, seed=0, device="cpu", progress=lambda done, total: None):
        source = torch.Generator().manual_seed(seed)
        q, k, v = torch.randn(3, 1, 1, self.seq_len, self.dim, generator=source).unbind(0)
        y = solve(spec, Constants.fresh(spec).stream(q, k, v))
        angle = torch.cosine_similarity(y, v, dim=-1).clamp(-1, 1).acos()[0, 0]
        return Evaluation({"distance": angle.mean().item()}, {"distance": angle.tolist()}, {})
''',
}

TRAINED = ["steps=4", "batch_size=2", "eval_every=2", "eval_examples=4", "d_model=8"]
SPECS = ("Gate | Linear | SGD", "Uniform | Linear | Hebbian", "Gate | Linear | Hebbian")
MAP = """
import json
import pandas as pd
from streamlit.testing.v1 import AppTest
from experiments_db.store import open_store
from experiments_db.read import cells
from pages._map import chart, heat, space
from pages._map.matrix import laid_out
from pages._shared import units
from ttr_core.lab import metrics
store = open_store()
for row in cells.task_settings(store).itertuples():
    setting = space.Setting(row.task, row.setting, row.protocol, row.frame)
    shown = space.Shown("optimizer", "distance", setting, False)
    table = space.table(store, shown)
    tried = table[table["n"] > 0].set_index("spec")["best"]
    found = cells.cells(store, row.setting, row.protocol, frame=row.frame)
    assert len(tried) and found["best"].is_monotonic_increasing, found
    layout, _ = laid_out(table, "optimizer", False)
    scale = heat.chart(chart._look(table, shown, layout))["layer"][0]["encoding"]["color"]["scale"]
    assert scale["reverse"] and scale["type"] == "linear" and scale["domain"][0] == 0, scale
app = AppTest.from_file("app.py", default_timeout=120).run()
app.switch_page("pages/map.py").run()
app.selectbox(key="map.setting").select_index(1).run()
assert not app.exception, app.exception
assert "least distance of" in " ".join(c.value for c in app.caption)
app.switch_page("pages/runs.py").run()
assert not app.exception, app.exception
table = app.dataframe[0].value
assert table["distance"].notna().all() and "accuracy" not in table, list(table)
assert units.printed(metrics()["distance"]) == "%.4g rad"
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with two tasks more, each one file."""
    folder = tmp_path_factory.mktemp("metric")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)  # what is compiled stays valid
    for file in (*ROOT.glob("*.py"), ROOT / "pyproject.toml"):
        shutil.copy(file, folder)
    for name, code in TASKS.items():
        (folder / f"ttr_core/lab/tasks/{name}.py").write_text(code)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_metric_of_another_name_goes_all_the_way(copy: Path, task: str) -> None:
    sets = [word for key in (TRAINED if task == "compass" else []) for word in ("--set", key)]
    asked = [["run", "--spec", spec, "--task", task, *sets] for spec in SPECS[:2]]
    plan = {"specs": SPECS, "tasks": [{"name": task}], "seeds": [0, 1]}
    if task == "compass":
        pairs = dict(key.split("=") for key in TRAINED)
        plan["model"] = {"d_model": int(pairs.pop("d_model"))}
        plan["train"] = {**{key: int(x) for key, x in pairs.items()}, "lr": [0.001, 0.01]}
    (copy / "plan.json").write_text(json.dumps(plan))
    database, found = copy / f"{task}.duckdb", copy / f"{task}.csv"
    first = f"distance <= {math.pi} AND spec = '{SPECS[0]}'"
    *printed, grouped, groups, _, _, _, _, _ = given(
        copy, database,
        *(words for one in asked for words in ([*one, "--json"], one)),
        ["runs", "--group", "--json", "--where", first],
        ["runs", "--group"],
        ["sweep", "plan.json", "--output", str(found)],
        *(["runs", "--output", f"{task}-runs{s}"] for s in (".csv", ".parquet", ".json", ".md")),
    )  # fmt: skip
    assert len(printed) == 2 * len(asked)
    for document, told in zip(map(json.loads, printed[::2]), printed[1::2], strict=True):
        value = document["metrics"]["distance"]
        assert document["status"] == "finished" and 0 <= value <= 3.15
        assert "accuracy" not in document["metrics"]
        assert f"distance {value:.4g} rad" in told
    (group,) = json.loads(grouped)
    assert group["distance_n"] == 1 and group["accuracy_mean"] is None
    assert "rad" in groups
    rows = list(csv.DictReader(found.read_text().splitlines()))
    assert len(rows) == 3 and all(0 <= float(row["distance"]) <= 3.15 for row in rows)
    assert "accuracy" not in rows[0] and "distance_std" in rows[0]
    exported = json.loads((copy / f"{task}-runs.json").read_text())
    assert all(0 <= row["distance"] <= 3.15 for row in exported)

    environment = {**os.environ, "TTR_DB": str(database), "PYTHONPATH": str(copy)}
    call = [sys.executable, "-c", MAP]
    done = subprocess.run(call, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-3000:]
