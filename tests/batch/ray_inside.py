"""Ray, started for real: `test_ray.py` runs this file in a network of its own, never elsewhere.

Ray listens on every interface and asks outside for its address, whatever it is told.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from experiments_db.read import queries
from experiments_db.run import joining
from experiments_db.run.cluster import RayExecutor, RayWorker
from experiments_db.run.hearing import OVER_LIMIT
from experiments_db.run.jobs import Job
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Store, open_store
from tests.processes import descendants

ROOT = Path(__file__).resolve().parents[2]
WAIT = 90
ASKED_ONCE = 60
"""Seconds that Ray needs to find out that something else answers, at most, when it asks once."""
PLAN = """
specs: ["Uniform | Linear | SGD", "Gate | Linear | Hebbian"]
tasks: {name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}
model: {d_model: 16, depth: 1}
train: {steps: %s, target: none, lr: 0.01}
seeds: {from: 0, to: 1}
"""

pytestmark = pytest.mark.usefixtures("prompt")


def until(met: Callable[[], Any], seconds: float = WAIT) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def ended(job: Job) -> Job:
    assert job.wait(WAIT), job.snapshot()
    return job


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster whose only node has two processors and says that it has two GPUs."""
    assert [*psutil.net_if_addrs()] == ["lo"], "this file is run by test_ray.py alone"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 2})
    yield made
    ray.shutdown()
    made.shutdown()


class Crew:
    """Executors and Supervisors of a test, with stand-in workers."""

    def __init__(self, address: str, store: Store, command: tuple[str, ...]) -> None:
        self._address, self._store, self._command = address, store, command
        self._made: list[Any] = []
        self.said: list[str] = []

    def executor(self, device: str = "cpu") -> RayExecutor:
        made = RayExecutor(self._address, device, self.said.append, self._command)
        self._made.append(made)
        return made

    def supervisor(self, workers: int = 2, **settings: Any) -> Supervisor:
        made = Supervisor(self._store, workers, self.executor(), heartbeat=0.2, **settings)
        self._made.append(made)
        return made

    def close(self) -> None:
        for made in reversed(self._made):
            made.close()


@pytest.fixture
def crew(cluster: Cluster, store: Store, fake_command: Any) -> Iterator[Crew]:
    made = Crew(cluster.address, store, fake_command)
    yield made
    made.close()


def workers(said: str = "fake_worker.py") -> list[int]:
    """Returns the processes of this test's clusters whose command says something."""
    return descendants(os.getpid(), said)


# ---- what is as it is with processes of this machine


def test_runs_end_as_they_do_here(crew: Crew, store: Store, fake: Any) -> None:
    made = crew.supervisor()
    ends = {
        "ok": ("finished", ""), "diverge": ("diverged", ""), "die": ("failed", "last words"),
        "error": ("failed", "ZeroDivisionError"), "request": ("failed", "division by zero"),
    }  # fmt: skip
    jobs = {behave: made.start(fake(behave, seed=seed)) for seed, behave in enumerate(ends)}
    for behave, (status, said) in ends.items():
        job = ended(jobs[behave])
        assert (job.status, job.lost) == (status, 0), "one that fails by itself is not begun anew"
        assert said in (job.message or "")
    row = queries.run(store, str(jobs["ok"].run_id))
    assert row and row["environment"]["executor"] == "ray" and row["environment"]["node"]
    assert (row["accuracy"], row["steps"], row["parameters"]) == (0.5, 3, 10)


@pytest.mark.parametrize("behave", ["ok", "stubborn"])
def test_cancel(crew: Crew, store: Store, fake: Any, behave: str) -> None:
    made = crew.supervisor(1, grace=0.5)
    job = made.start(fake(behave, steps=5000))
    until(lambda: job.progress if behave == "ok" else job.status == "running")
    job.cancel()
    asked = time.monotonic()
    assert ended(job).status == "cancelled" and time.monotonic() - asked < 10
    assert list(queries.runs(store)["status"]) == ["cancelled"]
    assert ended(made.start(fake(seed=1))).status == "finished"


def test_a_silent_worker_is_killed(crew: Crew, fake: Any) -> None:
    job = ended(crew.supervisor(1, silence=3.0).start(fake("silent")))
    assert job.status == "failed" and "silent for 3 s" in str(job.message)
    assert "going quiet" in str(job.message), "its last lines travel, too"


def test_the_same_plan_gives_the_same_runs(tmp_path: Path) -> None:
    """For real, by the command line: by Ray of our own and by processes of this machine."""
    plan, rows, printed = tmp_path / "plan.yaml", {}, {}
    plan.write_text(PLAN % 8)
    for executor in ("ray", "local"):
        db = tmp_path / f"{executor}.duckdb"
        call = [sys.executable, "batch.py", "sweep", str(plan), "--executor", executor, "--jobs"]
        done = subprocess.run(
            [*call, "2", "--json", "--db", str(db)], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        printed[executor] = json.loads(done.stdout)
        found = queries.runs(open_store(db))
        rows[executor] = {row["config_hash"]: row for row in found.to_dict(orient="records")}
        curves = {
            row["config_hash"]: queries.curves(open_store(db), [row["run_id"]])
            for row in rows[executor].values()
        }
        rows[executor + " curves"] = {
            key: curve.drop(columns="run_id").to_dict() for key, curve in curves.items()
        }
    assert len(rows["ray"]) == 4 and rows["ray"].keys() == rows["local"].keys()
    for key, row in rows["ray"].items():
        other = rows["local"][key]
        assert (row["accuracy"], row["loss"]) == (other["accuracy"], other["loss"])
    assert rows["ray curves"] == rows["local curves"]
    assert printed["ray"]["finished"] == printed["local"]["finished"] == 4


def test_the_atlas_is_measured_alike(tmp_path: Path) -> None:
    found = {}
    for executor in ("ray", "local"):
        db = tmp_path / f"{executor}.duckdb"
        call = [sys.executable, "batch.py", "atlas", "--probe", "spectrum", "--cells", "deltanet"]
        call += ["--executor", executor, "--db", str(db), "--json"]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[executor] = {
            (row["config_hash"], row["status"]): {
                name: value
                for name, value in json.loads(row["metrics"]).items()
                if "seconds" not in name
            }
            for row in queries.runs(open_store(db)).to_dict(orient="records")
        }
    assert found["ray"] == found["local"] and len(found["ray"]) > 1


def test_a_run_that_takes_too_long_says_so(crew: Crew, fake: Any) -> None:
    job = ended(crew.supervisor(1).start(fake("busy"), limit=5.0))
    assert (job.status, job.lost) == ("failed", 0)
    assert str(job.message).startswith(f"{OVER_LIMIT} 5 ")


# ---- what is lost


def test_killed_workers_and_hosts_cost_no_run(crew: Crew, store: Store, fake: Any) -> None:
    made = crew.supervisor()
    jobs = [made.start(fake(steps=150, seed=seed)) for seed in range(4)]
    until(lambda: len([job for job in jobs if job.progress]) == 2)
    os.kill(workers()[0], signal.SIGKILL)
    os.kill(workers("ray::Host")[-1], signal.SIGKILL)
    assert [ended(job).status for job in jobs] == ["finished"] * 4
    assert sum(job.lost for job in jobs) >= 1
    rows = queries.runs(store)
    assert list(rows["status"]) == ["finished"] * 4 and rows["config_hash"].nunique() == 4


def test_a_node_that_joins_takes_runs_and_one_that_leaves_loses_none(
    cluster: Cluster, crew: Crew, store: Store, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments_db.run.cluster.TOLD_SECONDS", 1.0)
    made = crew.supervisor(3)
    jobs = [made.start(fake(steps=800, seed=seed)) for seed in range(3)]
    until(lambda: sum(job.status == "running" for job in jobs) == 2)
    waiting = next(job for job in jobs if job.status == "queued")
    until(lambda: any("Waiting for room" in said for said in crew.said))
    other = cluster.add_node(num_cpus=1)
    until(lambda: waiting.progress)
    cluster.remove_node(other, allow_graceful=False)
    assert [ended(job).status for job in jobs] == ["finished"] * 3
    assert waiting.lost == 1 and sum(job.lost for job in jobs) == 1
    rows = queries.runs(store)
    assert list(rows["status"]) == ["finished"] * 3 and rows["config_hash"].nunique() == 3


def test_no_worker_outlives_its_driver(cluster: Cluster, tmp_path: Path, fake_command: Any) -> None:
    code = f"""
import time
from experiments_db.run.cluster import RayExecutor
worker = RayExecutor({cluster.address!r}, "cpu", print, {fake_command!r}).spawn(lambda: False)
print("here", flush=True)
time.sleep(1000)
"""
    driver = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout and driver.stdout.readline() == "here\n" and workers()
    driver.kill()
    driver.communicate()
    until(lambda: not workers())


def test_ctrl_c_in_a_terminal_stops_in_order(tmp_path: Path) -> None:
    plan, db = tmp_path / "plan.yaml", tmp_path / "runs.duckdb"
    plan.write_text(PLAN % 100_000)
    call = [sys.executable, "batch.py", "sweep", str(plan), "--executor", "ray", "--jobs", "1"]
    sweep = subprocess.Popen(
        [*call, "--json", "--db", str(db)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    until(lambda: db.exists() and "running" in list(queries.runs(open_store(db))["status"]))
    os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does: all of its processes get it
    document = json.loads(sweep.communicate(timeout=WAIT)[0])
    assert sweep.returncode == 130 and document["cancelled"] == 1
    assert list(queries.runs(open_store(db))["status"]) == ["cancelled"]
    until(lambda: not workers("experiments_db.run.worker"))


# ---- devices


def test_each_worker_has_a_gpu_of_its_own(crew: Crew) -> None:
    executor = crew.executor("cuda")
    assert executor.slots("cuda") == 2 and executor.gpus() is None
    both: list[RayWorker] = [executor.spawn(lambda: False) for _ in range(2)]
    assert {worker.environment["gpus"] for worker in both} == {"0", "1"}
    for worker in both:
        worker.close()


# ---- what is wrong, in words


BARE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "experiments_db":
            raise ModuleNotFoundError("not here", name="experiments_db")
sys.meta_path.insert(0, Nothing())
"""


def test_a_node_without_the_package_is_named_and_passed_over(
    cluster: Cluster, crew: Crew, tmp_path: Path, fake: Any
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BARE)  # the driver's own path goes before any other
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
        bare = cluster.add_node(num_cpus=1)
    made = crew.supervisor(3)
    jobs = [made.start(fake(seed=seed)) for seed in range(3)]
    assert [ended(job).status for job in jobs] == ["finished"] * 3
    said = until(lambda: [text for text in crew.said if "lacks" in text])
    cluster.remove_node(bare, allow_graceful=False)
    assert (
        len(said) == 1 and "lacks experiments_db: pip install 'test-time-regression[ray]" in said[0]
    )


def test_another_version_on_every_node_fails_in_words(
    crew: Crew, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttr_core.__version__", "9.9.9")
    job = ended(crew.supervisor(1).start(fake()))
    assert job.status == "failed" and job.run_id is None
    assert "of test-time-regression, this process 9.9.9: pip install" in str(job.message)


def test_another_version_of_ray_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__version__", "2.1.0")
    with pytest.raises(ConnectionError, match=r"other versions of Ray or Python.*2\.1\.0"):
        joining.joined(cluster.address)


def test_no_cluster_is_told_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=r"answers at 127\.0\.0\.1:1 .*ray start"):
        joining.joined("127.0.0.1:1")
    assert time.monotonic() - began < joining.KNOCK_SECONDS + 1


Answer = Callable[[socket.socket], None]


def silent(line: socket.socket) -> None:
    """Says nothing, as a database may that waits for its client."""


def hangs_up(line: socket.socket) -> None:
    line.close()


def web(line: socket.socket) -> None:
    line.recv(100)
    line.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def another_of_grpc(line: socket.socket) -> None:
    line.sendall(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))


@contextmanager
def listening(answer: Answer) -> Iterator[str]:
    """Something that is no Ray listens at the address that this gives."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as lines:

        def serve() -> None:
            with suppress(OSError):  # closed
                while True:
                    answer(lines.enter_context(server.accept()[0]))

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (silent, joining.KNOCK_SECONDS + 1),
        (hangs_up, 1),
        (web, 1),
        (another_of_grpc, ASKED_ONCE),
    ],
)
def test_what_is_no_ray_is_told_in_time(answer: Answer, seconds: float) -> None:
    began = time.monotonic()
    with listening(answer) as address, pytest.raises(ConnectionError) as told:
        joining.joined(address)
    assert time.monotonic() - began < seconds
    said = str(told.value)
    assert said.startswith(f"What answers at {address} is no Ray cluster"), said
    assert f"ray start --address={address}" in said and "Traceback" not in said


def test_no_ray_on_this_machine_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", Nobody())
    with pytest.raises(ConnectionError, match="No Ray runs on this machine: ray start"):
        joining.joined("auto")


class Nobody:
    """What looks for a Ray among the processes of this machine, and finds none."""

    def __call__(self) -> set[str]:
        return set()

    def cache_clear(self) -> None:
        pass
