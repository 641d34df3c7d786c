"""Workers on the nodes of a Ray cluster, or of a Ray that is started on this machine alone.

Ray brings a process to a node, carries messages and notices what is gone; it decides nothing. Each
worker is a process of `experiments_db.run.worker` that an actor of its own keeps on its node
(`experiments_db.run.node`), so that a worker which fails by itself is told from one that went with
its host.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

import ttr_core

from ..installation import PROJECT
from . import node
from .executor import WOKEN, WorkerEnded, WorkerLost
from .joining import joined

log = logging.getLogger(__name__)

LISTEN_SECONDS = 2.0
"""A worker that says nothing is asked again after so long: its host is known to be there."""

REACH_SECONDS = 30.0
"""A host that has not answered for so long is lost."""

TOLD_SECONDS = 15.0
"""Seconds of waiting for room in the cluster before somebody is told."""

STARTS = 3
"""Hosts that may go while a worker starts, one after another, before that is an error."""

NODE_ID = "ray.io/node-id"


class RayWorker:
    """A worker on a node, as its driver sees it.

    Args:
        host: the actor that keeps it.
        account: what the actor told when the worker began.
    """

    def __init__(self, host: Any, account: Mapping[str, Any]) -> None:
        self._host, self.node = host, str(account["node"])
        self.environment: Mapping[str, Any] = {
            **account["ready"]["environment"], "executor": "ray", "node": self.node,
        }  # fmt: skip
        self._messages: queue.SimpleQueue[dict[str, Any] | RuntimeError] = queue.SimpleQueue()
        self._gone, self._heard = threading.Event(), time.monotonic()
        self.over_limit = False
        self._ear = threading.Thread(target=self._listen, name="ray-out", daemon=True)
        self._ear.start()

    @property
    def alive(self) -> bool:
        return not self._gone.is_set()

    def silence(self) -> float:
        return time.monotonic() - self._heard

    def send(self, message: Mapping[str, Any]) -> None:
        self._asked(self._host.send.remote(dict(message)), REACH_SECONDS)

    def receive(self, timeout: float) -> dict[str, Any] | None:
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(message, RuntimeError):
            self._messages.put(message)
            raise message
        return None if message is WOKEN else message

    def wake(self) -> None:
        self._messages.put(WOKEN)

    def kill(self) -> str:
        said = ""
        if not self._gone.is_set():
            with contextlib.suppress(WorkerLost, WorkerEnded):
                said = str(self._asked(self._host.kill.remote(), LISTEN_SECONDS))
        self.close()
        return said

    def close(self) -> None:
        self._gone.set()
        ray.kill(self._host, no_restart=True)
        self._ear.join(timeout=LISTEN_SECONDS)

    def _listen(self) -> None:
        """Asks the host for messages until the worker is gone, one way or another."""
        while not self._gone.is_set():
            try:
                said = self._asked(self._host.receive.remote(LISTEN_SECONDS), REACH_SECONDS)
            except (WorkerEnded, WorkerLost) as gone:
                self._end(gone)
                return
            self._heard = time.monotonic() - said["silent"]
            for message in said["messages"]:
                self._messages.put(message)
            self.over_limit = said["over_limit"]
            if said["killed"]:
                self._end(WorkerLost(f"The worker on {self.node} was killed: {said['ended']}"))
            elif said["ended"] is not None:
                self._end(WorkerEnded(said["ended"]))

    def _end(self, how: RuntimeError) -> None:
        self._gone.set()
        self._messages.put(how)

    def _asked(self, reply: Any, seconds: float) -> Any:
        """Returns what the host replies."""
        try:
            return ray.get(reply, timeout=seconds)
        except GetTimeoutError:
            raise WorkerLost(f"Node {self.node} has not answered for {seconds:g} s.") from None
        except RayTaskError as error:  # of our own code
            raise WorkerEnded(f"The host on {self.node} failed: {error}") from error
        except RayError as error:
            raise WorkerLost(f"The worker on {self.node} was lost: {_first(error)}") from error


class RayExecutor:
    """Workers on the nodes of a cluster.

    Args:
        address: ``HOST:PORT`` of its head; ``auto`` for the cluster that this machine is a node of;
            ``local``, or None where RAY_ADDRESS names none, for a Ray of our own on this machine.
        device: ``cuda`` gives each worker a GPU of its node, ``cpu`` a processor.
        say: hears what a user should know meanwhile.
        command: how a node starts a worker; by default as this package does it there.

    Raises:
        RequestError: the address is none.
        ConnectionError: there is no cluster, or this process cannot join it.
    """

    def __init__(
        self,
        address: str | None,
        device: str,
        say: Callable[[str], None],
        command: Sequence[str] | None = None,
    ) -> None:
        self.address = joined(address)
        self._gpus, self._say, self._command = int(device == "cuda"), say, command
        self._unfit: dict[str, str] = {}  # node id -> what it lacks
        self._lock, self._told = threading.Lock(), False
        ray.cloudpickle.register_pickle_by_value(node)
        self._hosts = ray.remote(node.Host)

    def spawn(self, stopping: Callable[[], bool]) -> RayWorker:
        lost = 0
        while True:
            host = self._hosts.options(**self._place()).remote(self._command)
            try:
                account = self._account(host, stopping)
            except RayError as error:
                log.warning("a worker was lost while it started: %s", _first(error))
                lost += 1
                if lost == STARTS:
                    raise OSError(
                        f"{STARTS} workers were lost as they began: {_first(error)}"
                    ) from error
                continue
            if (why := _unfit(account)) is None:
                return RayWorker(host, account)
            ray.kill(host)
            self._avoid(str(account["node_id"]), why)

    def _place(self) -> dict[str, Any]:
        """Returns what a host needs: a processor, perhaps a GPU, and none of the unfit nodes."""
        needs = {"num_cpus": 1, "num_gpus": self._gpus, "max_restarts": 0, "max_concurrency": 4}
        with self._lock:
            unfit = ",".join(self._unfit)
        return {**needs, "label_selector": {NODE_ID: f"!in({unfit})"}} if unfit else needs

    def _account(self, host: Any, stopping: Callable[[], bool]) -> Mapping[str, Any]:
        """Waits until a host has room and its worker is ready, and returns what it tells."""
        began, reply = time.monotonic(), host.begin.remote()
        while not ray.wait([reply], timeout=0.5)[0]:
            if stopping():
                ray.kill(host)
                raise OSError("The program is closing.")
            if (why := self._hopeless()) is not None:
                ray.kill(host)
                raise OSError(why)
            if time.monotonic() - began > TOLD_SECONDS:
                self._tell_waiting()
        account: Mapping[str, Any] = ray.get(reply)
        return account

    def _avoid(self, node_id: str, why: str) -> None:
        """Notes that a node cannot run a worker, and says so once."""
        with self._lock:
            new = node_id not in self._unfit
            self._unfit[node_id] = why
        if new:
            self._say(f"{why} It is not used.")

    def _hopeless(self) -> str | None:
        """Returns what is wrong where no node that is left can run a worker, or None."""
        with self._lock:
            unfit = dict(self._unfit)
        if not unfit or {one["NodeID"] for one in ray.nodes() if one["Alive"]} - {*unfit}:
            return None
        return [*unfit.values()][-1]

    def _tell_waiting(self) -> None:
        """Says once that the cluster has no room."""
        with self._lock:
            told, self._told = self._told, True
        if not told:
            what = "GPU" if self._gpus else "CPU"
            there, free = (
                resources().get(what, 0)
                for resources in (ray.cluster_resources, ray.available_resources)
            )
            self._say(
                f"Waiting for room in the cluster: of its {there:g} {what}s {free:g} are free."
            )

    def slots(self, device: str) -> int:
        resources = ray.cluster_resources()
        return max(1, int(resources.get("GPU" if device == "cuda" else "CPU", 0)))

    def gpus(self) -> int | None:
        return None

    def kill_all(self) -> None:
        """Ray ends the actors of a driver that is gone, which this one is about to be."""

    def close(self) -> None:
        ray.shutdown()


def _unfit(account: Mapping[str, Any]) -> str | None:
    """Returns why a node cannot run workers of ours, or None."""
    where, wanted = account["node"], f"pip install '{PROJECT}[ray]=={ttr_core.__version__}'"
    if "lacking" in account:
        return f"Node {where} lacks {account['lacking']}: {wanted} there."
    if "ended" in account:
        return f"On node {where} a worker ends as it begins. {account['ended']}"
    version = account["ready"]["version"]
    if version != ttr_core.__version__:
        here = f"this process {ttr_core.__version__}"
        return f"Node {where} has version {version} of {PROJECT}, {here}: {wanted} there."
    return None


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
