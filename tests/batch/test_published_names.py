"""Every layer that was planned for the catalog is there by its name, or is named missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from experiments_db.cli import app

PLANNED = {
    "nonparametric": "softmax-attention qknorm-attention local-linear-attention "
    "local-quadratic-attention kernel-regression soft skyformer",
    "exact": "mesa-layer intention sigma-intention mesanet gated-kalmanet",
    "feature maps": "linear-attention linear-attention-elu t2r-relu silu dpfp polynomial performer "
    "rfa rfa-gate cosformer hedgehog based rebased dijiang",
    "gated": "retnet gla hgrn2 gateloop lru mamba mamba2 rwkv6 mlstm",
    "online learners": "deltanet longhorn longhorn-exact kaczmarz gated-deltanet deltaproduct "
    "ttt-linear ttt-mlp titans moneta yaad memora",
    "delta family": "kda gated-deltanet-2 fg2-gdn gated-deltaproduct rwkv7 comba efla "
    "kaczmarz-linear-attention momentum-deltanet preconditioned-deltanet preconditioned-kda "
    "iso-kdn diag-kdn residual-deltanet",
    "softmax side": "forgetting-transformer alibi sliding-window-attention parallax lucid "
    "deltaformer path-attention stick-breaking sparsemax-attention memory-mosaics power-retention",
    "networks, slots, hierarchies": "lact atlas omeganet log-linear-attention "
    "gated-slot-attention mamba3",
    "baselines outside the frame": "orchid higher-order-linear-attention",
}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["layers", "--json"])
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return listed


def test_every_planned_layer_is_listed(rows: list[dict[str, Any]]) -> None:
    planned = [name for names in PLANNED.values() for name in names.split()]
    assert len(planned) == len(set(planned)) == 80
    listed = {row["name"] for row in rows}
    assert set(planned) <= listed


def test_what_a_layer_is_a_move_from_is_listed_and_leads_to_one_that_is_none(
    rows: list[dict[str, Any]],
) -> None:
    parents = {row["name"]: row["parent"] for row in rows}
    for name in parents:
        line = [name]
        while parents[line[-1]] is not None:
            line.append(parents[line[-1]])
            assert line.count(line[-1]) == 1, line
        assert line[-1] in parents
