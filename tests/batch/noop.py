"""What runs cost beside their training: many runs that do nothing, by either executor.

    python -m tests.batch.noop --runs 2000 --jobs 8 --executor local

``--executor none`` has workers without processes, for what the driver costs beside a thousand of
them; its runs take ``--seconds`` and report every second. Ray is started by this very
process: run it in a network of its own (docs/cluster.md).
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from experiments_db.run.process import LocalExecutor
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import open_store
from tests.batch.conftest import FAKE_WORKER, FakeExperiment
from tests.batch.stand_in import StandIns


def measured(executor: str, runs: int, jobs: int, each: float = 0.0) -> dict[str, float | str]:
    """Makes a store of runs that do nothing and returns what that took."""
    with tempfile.TemporaryDirectory() as place:
        store = open_store(Path(place) / "runs.duckdb")
        if executor == "ray":
            from experiments_db.run.cluster import RayExecutor

            crew = RayExecutor("local", "cpu", print, FAKE_WORKER)
        elif executor == "none":
            crew = StandIns(each, int(each))
        else:
            crew = LocalExecutor(FAKE_WORKER)
        with Supervisor(store, jobs, crew) as supervisor:
            supervisor.start(FakeExperiment(seed=-1)).wait()  # workers are there
            began, cpu = time.monotonic(), time.process_time()
            running: list = []
            for seed in range(runs):
                running.append(supervisor.start(FakeExperiment(seed=seed)))
                if len(running) >= 2 * jobs:
                    running.pop(0).wait()
            ends = [job.wait() for job in running]
            seconds, driver = time.monotonic() - began, time.process_time() - cpu
        crew.close()
        assert all(ends)
        size = sum(
            file.stat().st_size for file in Path(place).glob("runs.duckdb*") if file.is_file()
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "executor": executor, "runs": runs, "jobs": jobs, "runs_per_second": runs / seconds,
        "driver_cpu_ms_per_run": 1000 * driver / runs, "driver_cpu_share": driver / seconds,
        "store_kb_per_run": size / runs / 1024,
        "driver_mb": peak,
    }  # fmt: skip


def main() -> None:
    """Prints one line of JSON."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--runs", type=int, default=10_000)
    asked.add_argument("--jobs", type=int, default=8)
    asked.add_argument("--executor", default="local", choices=("local", "ray", "none"))
    asked.add_argument("--seconds", type=float, default=0.0)
    given = asked.parse_args()
    print(json.dumps(measured(given.executor, given.runs, given.jobs, given.seconds)))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
