"""A store of many runs, as large as years of sweeps would make it, within seconds.

Rows are made by SQL in the shape that the program writes them: the same configurations, the same
columns, curves of the length that a default training has. What only the program can make (claims,
results, heartbeats) goes through the program: `through_the_program`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd

from experiments_db.run import outcomes, request
from experiments_db.store import Driver, NewRun, Outcome, Store
from experiments_db.store.series import TOLD, series_of

LAYERS = ("gla", "deltanet", "retnet", "mesa-layer", "linear-attention", "softmax-attention")
SPECS = (
    "Uniform | Linear | Hebbian", "Decay | Linear | Hebbian", "Gate | Linear | SGD",
    "Uniform | Linear | Exact", "Gate | Linear | Exact", "Uniform | Linear(map=elu1) | Hebbian",
    "Decay | Linear | SGD", "Gate * ExpKernel | Constant | Exact", "Uniform | Linear | NLMS",
    "ChannelGate | Linear | Hebbian",
)  # fmt: skip
PAIRS, WIDTHS, DEPTHS = (4, 8, 16, 32), (32, 64), (1, 2)
POINTS, LOOKS = 120, 30
"""Points of the loss and of the accuracy that 600 steps leave behind."""

RUNS = """
CREATE TEMP TABLE made AS
SELECT
    i,
    strftime(TIMESTAMP '2026-01-01' + to_seconds(i * 60), '%Y%m%d-%H%M%S-000-')
        || printf('%06x', i) AS run_id,
    TIMESTAMP '2026-01-01' + to_seconds(i * 60) AS started_at,
    i // $kinds % 5 AS seed,
    0.001 + i // (5 * $kinds) / 10000 AS rate,
    hash(i) / 18446744073709551615 AS luck,
    replace(asked.config, '"lr": 0.01', '"lr": ' || rate) AS rated,
    replace(asked.decides, '"lr": 0.01', '"lr": ' || rate) AS fingerprint,
    md5(json_merge_patch(rated, '{"seed": null}')::VARCHAR) AS config_group,
    asked.* EXCLUDE (place, config, decides)
FROM range($count) AS numbers(i)
JOIN asked ON asked.place = i % $kinds
ORDER BY i;

INSERT INTO runs BY NAME
SELECT run_id, md5(i::VARCHAR) AS config_hash, config_group AS series, layer, spec, frame, task,
    seed, device, protocol, replace(rated, '"seed": 0', '"seed": ' || seed) AS config, config_group,
    environment, versions,
    'elsewhere:1:20260101T000000' AS driver, 'elsewhere' AS host, 1 AS pid, started_at
FROM made ORDER BY i;

INSERT INTO configs
SELECT config_group, any_value(json_merge_patch(rated, '{"seed": null}')) FROM made
GROUP BY config_group;

INSERT INTO series BY NAME
SELECT *, $told FROM (
    SELECT config_group AS series, any_value(fingerprint) AS fingerprint, any_value(parts) AS parts
    FROM made GROUP BY config_group
);

INSERT INTO results BY NAME
SELECT run_id,
    CASE WHEN i % 50 = 7 THEN 'failed' WHEN i % 50 = 8 THEN 'diverged' ELSE 'finished' END
        AS status,
    luck AS accuracy, 3 * (1 - luck) AS loss, luck AS last, luck AS best, 600 AS best_step,
    json_object('accuracy', luck, 'loss', 3 * (1 - luck), 'validation_accuracy', luck) AS metrics,
    json_object('gap', json_object('2-3', luck, '4-7', luck, '8-15', luck * luck)) AS accuracy_by,
    json_object('lengths', [json_object('seq_len', 64, 'pairs', 4, 'accuracy', luck)]) AS tables,
    600 AS steps, 20 + luck AS seconds, NULL AS seconds_to_target, 600000 AS parameters,
    4096 AS state_size, rate AS lr, 'null' AS lrs_tried,
    CASE WHEN i % 50 = 7 THEN 'The worker process ended (killed by SIGKILL).' END AS message,
    started_at + to_seconds(20) AS finished_at
FROM made WHERE i % 50 != 9 ORDER BY i;

INSERT INTO curves BY NAME
SELECT run_id, 'train_loss' AS name, [5 * (j + 1) FOR j IN range($points)] AS steps,
    [9 * exp(-j * (0.01 + luck / 30)) + (hash(i * 1000 + j) % 1000000) / 9e6
     FOR j IN range($points)] AS "values"
FROM made WHERE i % 50 != 9
UNION ALL
SELECT run_id, 'accuracy', [20 * (j + 1) FOR j IN range($looks)],
    [round(luck * j / $looks * 128) / 128 FOR j IN range($looks)]
FROM made WHERE i % 50 != 9;

INSERT INTO tags
SELECT run_id, 'sweep-' || i // 1000 FROM made UNION ALL
SELECT run_id, 'kept' FROM made WHERE i % 20 = 0;

INSERT INTO marks BY NAME
SELECT run_id, CASE WHEN i % 200 = 0 THEN 'look again at ' || i ELSE '' END AS note,
    i % 100 = 0 AS starred, i % 50 = 25 AS archived
FROM made WHERE i % 25 = 0 ORDER BY i;

DROP TABLE made;
"""


def experiments() -> Iterator[tuple[NewRun, dict[str, Any]]]:
    """Yields every configuration asked for, as the program itself builds it."""
    layers = [{"layer": name} for name in LAYERS] + [{"spec": text} for text in SPECS]
    for layer, pairs, width, depth in itertools.product(layers, PAIRS, WIDTHS, DEPTHS):
        sets = {"pairs": pairs, "seq_len": max(64, 4 * pairs), "d_model": width, "depth": depth}
        experiment = request.request(**layer, sets=sets, device="cpu")  # type: ignore[arg-type]
        config = experiment.config()
        yield outcomes.new_run(experiment, config, ()), config


def fill(store: Store, count: int) -> None:
    """Adds ``count`` runs to a store by SQL."""
    asked = pd.DataFrame(
        {
            "place": place,
            "layer": run.layer,
            "spec": run.spec,
            "frame": run.frame,
            "task": run.task,
            "device": run.device,
            "protocol": run.protocol,
            "config": json.dumps(config),
            "decides": series_of(json.dumps(config))[0].fingerprint,
            "parts": list(series_of(json.dumps(config))[0].parts),
            "environment": json.dumps(run.environment),
            "versions": json.dumps({"python": "3.11.7", "duckdb": "1.5.6", "torch": "2.13.0"}),
        }
        for place, (run, config) in enumerate(experiments())
    )
    with store.open(write=True) as connection:
        connection.register("asked", asked)
        for statement in filter(str.strip, RUNS.replace("$told", TOLD).split(";\n")):
            names = {"count": count, "kinds": len(asked), "points": POINTS, "looks": LOOKS}
            used = {name: value for name, value in names.items() if f"${name}" in statement}
            connection.execute(statement, used)


def through_the_program(store: Store, driver: Driver, count: int, threads: int = 100) -> None:
    """Adds ``count`` runs to a store the way that a driver does."""
    asked = list(itertools.islice(itertools.cycle(experiments_of_a_run()), count))

    def one(number: int) -> None:
        run = asked[number]
        claim = store.claim(driver, NewRun(**{**vars(run), "config_hash": f"program-{number}"}))
        store.finish(str(claim.run_id), ended(number))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(count)))


def experiments_of_a_run() -> list[NewRun]:
    """Returns the configurations as new runs."""
    return [run for run, _ in experiments()]


def ended(number: int) -> Outcome:
    """Returns a plausible result."""
    accuracy = (number * 7919 % 1000) / 1000
    loss = [[5 * (j + 1), 9.0 / (1 + j) + (number * j % 97) / 1000] for j in range(POINTS)]
    looks = [[20 * (j + 1), accuracy * j / LOOKS] for j in range(LOOKS)]
    return Outcome(
        "finished",
        {"accuracy": accuracy, "loss": 1 - accuracy},
        {"gap": {"2-3": accuracy, "4-7": accuracy}},
        {"train_loss": loss, "accuracy": looks},
        {"lengths": [{"seq_len": 64, "pairs": 4, "accuracy": accuracy}]},
        steps=600, seconds=20.0, parameters=600_000, state_size=4096, lr=0.01,
    )  # fmt: skip
