"""A worker that speaks the protocol but behaves as its job's config says. No torch, no waiting."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

CORE = Path(__file__).resolve().parents[2] / "ttr_core/__init__.py"
VERSION = re.findall(r'^__version__ = "(.*)"', CORE.read_text(), re.MULTILINE)[0]
ENVIRONMENT = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}

cancelled: set[str] = set()
jobs: list[dict[str, Any]] = []
arrived = threading.Semaphore(0)


def send(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def listen() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "cancel" in message:
            cancelled.add(message["cancel"])
        else:
            jobs.append(message)
            arrived.release()
    os._exit(0)


def accuracy(config: dict[str, Any]) -> float:
    """How well a run does: the sum of what FAKE_SCORES has for parts of its spec, and some luck."""
    told = json.loads(os.environ.get("FAKE_SCORES", "{}"))
    if not told:
        return 0.5
    luck = 0.001 * (7 * int(config["seed"]) % 5)
    return float(sum(score for part, score in told.items() if part in config["spec"])) + luck


def finished(job: str, status: str, step: int, config: dict[str, Any]) -> None:
    reached = accuracy(config)
    told = {"validation_accuracy": reached, "still_rising": 0.0, "rise_at_fall": 0.0}
    more = told if "FAKE_SCORES" in os.environ else {}
    send(
        job=job, event="finished", status=status,
        metrics={"accuracy": reached, "loss": 1.0, **more},
        accuracy_by={}, steps=step, seconds=0.1, seconds_to_target=None, parameters=10,
        state_size=4, lr=0.1, lrs_tried=[0.1], curves={"train_loss": [[1, 1.0]]}, tables={},
        message="",
    )  # fmt: skip


def run(job: str, behave: str, steps: int, config: dict[str, Any]) -> object:
    if behave == "print":
        print("not a message")
    if behave == "die":
        print("last words", file=sys.stderr, flush=True)
        os._exit(3)
    if behave == "busy":
        os.kill(os.getpid(), signal.SIGXCPU)
    if behave in ("error", "request"):
        kind = "ZeroDivisionError" if behave == "error" else "RequestError"
        send(job=job, event="failed", type=kind, message="division by zero", traceback="line 1")
        if behave == "error":
            os._exit(1)
        return None
    if behave in ("silent", "stubborn"):
        print("going quiet", file=sys.stderr, flush=True)
        while True:
            time.sleep(0.1)
            if behave == "stubborn":
                send(event="beat")
    send(job=job, event="started", parameters=10, state_size=4, flops_per_token=1.0, steps=steps)
    for step in range(1, steps + 1):
        send(
            job=job, event="progress", step=step, steps=steps, loss=1.0 / step, lr=0.1,
            tokens_per_second=1.0, seconds=0.02 * step,
        )  # fmt: skip
        time.sleep(0.02 if steps > 3 else 0)
        if job in cancelled:
            return finished(job, "cancelled", step, config)
    send(job=job, event="evaluated", step=steps, metrics={"loss": 1.0, "accuracy": 0.5})
    return finished(job, "diverged" if behave == "diverge" else "finished", steps, config)


if __name__ == "__main__":
    threading.Thread(target=listen, daemon=True).start()
    send(event="ready", pid=os.getpid(), version=VERSION, environment=ENVIRONMENT)
    while True:
        arrived.acquire()
        request = jobs.pop(0)
        config = request["config"]
        steps = int(os.environ.get("FAKE_STEPS") or config.get("steps") or config["train"]["steps"])
        by_seed = json.loads(os.environ.get("FAKE_BY_SEED", "{}"))
        by_spec = json.loads(os.environ.get("FAKE_BY_SPEC", "{}"))
        given = by_seed.get(str(config["seed"])) or by_spec.get(config["spec"].split(" ")[0])
        behave = config.get("behave") or given or "ok"
        run(request["job"], behave, steps, config)
