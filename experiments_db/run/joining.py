"""How this process joins a Ray cluster, and what is said where it cannot."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray

from ttr_core import RequestError

KNOCK_SECONDS = 3.0
"""How long a cluster may take to answer at all."""

OWN = {
    "RAY_worker_niceness": "0",  # else Ray runs workers at 15, behind everything else
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""How a Ray of our own is started, where the environment does not say otherwise."""

OWN_MEMORY = 100 * 2**20
"""Bytes for objects in a Ray of our own: messages are small."""

ONCE = {"RAY_gcs_server_port_wait_time_s": "1"}
"""Ray asks a head that does not answer 20 times, up to 40 s each; so it asks once."""

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
FRAME_BYTES, KIND_AT, SETTINGS_KIND = 9, 3, 4
"""HTTP/2 (RFC 9113, section 3.4): both sides begin with a frame of their settings, and Ray's head,
which speaks gRPC, sends it at once; what sends anything else or nothing is no head."""

WORDS = ("auto", "local")
PLACE = re.compile(r"[^\s:/]+:\d{1,5}")


def joined(address: str | None) -> str:
    """Joins a cluster, or starts a Ray of our own, and returns its address.

    Args:
        address: ``HOST:PORT``, ``auto`` for the cluster that this machine is a node of, ``local``
            for a Ray of our own; None for what RAY_ADDRESS says, or ``local``.

    Raises:
        RequestError: the address is none.
        ConnectionError: nobody answers there, or not to this process.
    """
    asked = (os.environ.get("RAY_ADDRESS") or "local") if address is None else address
    if asked not in WORDS and not PLACE.fullmatch(asked):
        raise RequestError(
            f"--address {asked!r} is no place of a Ray cluster: give HOST:PORT of its head, or "
            "auto on one of its nodes."
        )
    if asked == "local":
        for name, value in OWN.items():
            os.environ.setdefault(name, value)
    elif asked != "auto":
        _knock(asked)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    own = {"include_dashboard": False, "object_store_memory": OWN_MEMORY}
    try:
        if asked == "local":
            ray.init(address=asked, **quiet, **own)
        else:
            with _defaults(ONCE):
                ray.init(address=asked, **quiet)
    except Exception as error:  # Ray raises a plain Exception where its own start takes too long
        ray.shutdown()  # what has got half-way holds a node of the cluster
        raise ConnectionError(_sentence(asked, error)) from error
    return asked


@contextmanager
def _defaults(settings: Mapping[str, str]) -> Iterator[None]:
    """Sets what the environment does not say, for the duration of the block."""
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _knock(address: str) -> None:
    """Asks whether a head of Ray listens, since Ray itself would ask for many minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), KNOCK_SECONDS) as line:
            answer = SETTINGS_KIND if _encrypted() else _greeted(line)
    except (OSError, OverflowError) as error:
        raise ConnectionError(
            f"No Ray cluster answers at {address} ({error}). {_beginning(address)}"
        ) from error
    if answer != SETTINGS_KIND:
        raise ConnectionError(f"What answers at {address} is no Ray cluster. {_beginning(address)}")


def _greeted(line: socket.socket) -> int | None:
    """Greets a server as gRPC does; returns of what kind its first frame is, if one comes."""
    line.settimeout(KNOCK_SECONDS)
    head = b""
    try:
        line.sendall(GREETING)
        while len(head) < FRAME_BYTES and (more := line.recv(FRAME_BYTES - len(head))):
            head += more
    except OSError:  # silence, or a line that is cut
        return None
    return head[KIND_AT] if len(head) == FRAME_BYTES else None


def _encrypted() -> bool:
    """Returns whether the cluster speaks TLS, which is not spoken here: Ray has to find out."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def _beginning(address: str) -> str:
    """Returns how a cluster is started at an address."""
    _, _, port = address.rpartition(":")
    return (
        f"On its head: ray start --head --port={port}; then on this machine: "
        f"ray start --address={address}"
    )


def _sentence(asked: str, error: Exception) -> str:
    """Returns why Ray refuses, in words, and what to do."""
    text = " ".join(str(error.__cause__ or error).split())
    if "ersion mismatch" in text:
        return (
            f"The cluster at {asked} has other versions of Ray or Python than this process. {text}"
        )
    if isinstance(error, ray.exceptions.AuthenticationError) or "oken" in text:
        return (
            f"The cluster at {asked} asks for its token: export RAY_AUTH_MODE=token, and have the "
            f"same token in ~/.ray/auth_token (or RAY_AUTH_TOKEN_PATH) on every machine. {text}"
        )
    if "onnect to GCS" in text:
        place = asked if asked != "auto" else "the address that `ray start` left here"
        return f"What answers at {place} is no Ray cluster, or hangs. {_beginning(asked)}"
    if asked == "local":
        return f"Ray could not be started on this machine: {text}"
    if asked == "auto":
        return f"No Ray runs on this machine: ray start --address=HOST:PORT first. {text}"
    return f"This machine is no node of the cluster: ray start --address={asked} first. {text}"
