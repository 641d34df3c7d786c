"""How this process joins a Ray cluster, and what is said where it cannot."""

from __future__ import annotations

import logging
import os
import re
import socket
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
        ray.init(address=asked, **quiet, **(own if asked == "local" else {}))
    except (RuntimeError, OSError, ValueError, ray.exceptions.RayError) as error:
        ray.shutdown()  # what has got half-way holds a node of the cluster
        raise ConnectionError(_sentence(asked, error)) from error
    return asked


def _knock(address: str) -> None:
    """Asks whether anybody listens, since Ray itself asks for a minute."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(
            f"No Ray cluster answers at {address} ({error}). On its head: ray start --head "
            f"--port={port}; then on this machine: ray start --address={address}"
        ) from error


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
    if asked == "local":
        return f"Ray could not be started on this machine: {text}"
    if asked == "auto":
        return f"No Ray runs on this machine: ray start --address=HOST:PORT first. {text}"
    return f"This machine is no node of the cluster: ray start --address={asked} first. {text}"
