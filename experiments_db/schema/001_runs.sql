-- Rows are only ever added: how a run ended is a row of its own, not an update of the first one,
-- because an update makes DuckDB rewrite a column's whole row group. No foreign keys and no
-- indexes: they would block later ALTERs, and the store's lock already serializes writers.

CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    applied_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE schema_version IS 'One row per migration applied.';
COMMENT ON COLUMN schema_version.version IS 'Number of the migration, from 1.';
COMMENT ON COLUMN schema_version.name IS 'File name of the migration.';
COMMENT ON COLUMN schema_version.applied_at IS 'When it was applied, UTC.';

CREATE TABLE runs (
    run_id VARCHAR NOT NULL,
    config_hash VARCHAR NOT NULL,
    layer VARCHAR,
    spec VARCHAR NOT NULL,
    frame VARCHAR NOT NULL,
    task VARCHAR NOT NULL,
    seed BIGINT NOT NULL,
    device VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    config JSON NOT NULL,
    environment JSON NOT NULL,
    versions JSON NOT NULL,
    driver VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    pid INTEGER NOT NULL,
    started_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE runs IS 'One row per run, written when it starts and never changed.';
COMMENT ON COLUMN runs.run_id IS 'Name of the run: UTC start time, then random letters; sorts by time.';
COMMENT ON COLUMN runs.config_hash IS 'Fingerprint of config; repetitions share it.';
COMMENT ON COLUMN runs.layer IS 'Name of the published layer, or NULL for a bare spec.';
COMMENT ON COLUMN runs.spec IS 'Text of the spec, as asked.';
COMMENT ON COLUMN runs.frame IS 'standard, paper or published.';
COMMENT ON COLUMN runs.task IS 'Name of the task; its settings stand in config.';
COMMENT ON COLUMN runs.seed IS 'Seed of every generator.';
COMMENT ON COLUMN runs.device IS 'Resolved device: cpu or cuda.';
COMMENT ON COLUMN runs.protocol IS 'Protocol of comparison; results of different ones are not pooled.';
COMMENT ON COLUMN runs.config IS 'Everything that defines the run: task, model, train, seed, device.';
COMMENT ON COLUMN runs.environment IS 'Facts about the machine and its software.';
COMMENT ON COLUMN runs.versions IS 'Versions of python, duckdb, torch and the project.';
COMMENT ON COLUMN runs.driver IS 'Process that runs it: host:pid:start.';
COMMENT ON COLUMN runs.host IS 'Host of the driver.';
COMMENT ON COLUMN runs.pid IS 'Process id of the driver.';
COMMENT ON COLUMN runs.started_at IS 'When the run was claimed, UTC.';

CREATE TABLE results (
    run_id VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    accuracy DOUBLE,
    error DOUBLE,
    loss DOUBLE,
    metrics JSON NOT NULL,
    accuracy_by JSON NOT NULL,
    tables JSON NOT NULL,
    steps BIGINT,
    seconds DOUBLE,
    seconds_to_target DOUBLE,
    parameters BIGINT,
    state_size BIGINT,
    lr DOUBLE,
    lrs_tried JSON NOT NULL,
    message VARCHAR,
    finished_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE results IS 'One row per run that ended, written at its end and never changed.';
COMMENT ON COLUMN results.run_id IS 'The run.';
COMMENT ON COLUMN results.status IS 'finished, diverged, failed or cancelled.';
COMMENT ON COLUMN results.accuracy IS 'Test accuracy, 0 to 1.';
COMMENT ON COLUMN results.error IS 'Error of a regression task, in the task''s own unit.';
COMMENT ON COLUMN results.loss IS 'Last training loss, nats per prediction.';
COMMENT ON COLUMN results.metrics IS 'Every metric by name; null where it is not a finite number.';
COMMENT ON COLUMN results.accuracy_by IS 'Accuracy by group, 0 to 1.';
COMMENT ON COLUMN results.tables IS 'Tables of the task by name: lists of rows.';
COMMENT ON COLUMN results.steps IS 'Optimizer steps taken.';
COMMENT ON COLUMN results.seconds IS 'Wall-clock seconds of work.';
COMMENT ON COLUMN results.seconds_to_target IS 'Wall-clock seconds until the target accuracy.';
COMMENT ON COLUMN results.parameters IS 'Number of trained parameters.';
COMMENT ON COLUMN results.state_size IS 'Floats of state in total, at the run''s own sizes.';
COMMENT ON COLUMN results.lr IS 'Peak learning rate used.';
COMMENT ON COLUMN results.lrs_tried IS 'Learning rates that the search tried, with what they reached.';
COMMENT ON COLUMN results.message IS 'The error and the worker''s last lines, or what there is to say.';
COMMENT ON COLUMN results.finished_at IS 'When the result was stored, UTC.';

CREATE TABLE curves (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    steps BIGINT[] NOT NULL,
    "values" DOUBLE[] NOT NULL
);
COMMENT ON TABLE curves IS 'One row per curve of a run that ended, thinned to a bounded number of points.';
COMMENT ON COLUMN curves.run_id IS 'The run.';
COMMENT ON COLUMN curves.name IS 'What is plotted: train_loss, accuracy, error, ...';
COMMENT ON COLUMN curves.steps IS 'Optimizer step, or position in the sequence, of each point.';
COMMENT ON COLUMN curves."values" IS 'Value of each point, in the unit of the metric of that name.';

CREATE TABLE live (
    run_id VARCHAR NOT NULL,
    driver VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    beat_at TIMESTAMP NOT NULL,
    step BIGINT NOT NULL,
    steps BIGINT,
    loss DOUBLE,
    accuracy DOUBLE,
    curve_steps BIGINT[] NOT NULL,
    curve_values DOUBLE[] NOT NULL
);
COMMENT ON TABLE live IS 'One row per run that has not ended; the only table that is updated often.';
COMMENT ON COLUMN live.run_id IS 'The run.';
COMMENT ON COLUMN live.driver IS 'Process that runs it.';
COMMENT ON COLUMN live.host IS 'Host of the driver.';
COMMENT ON COLUMN live.beat_at IS 'When its driver last gave a sign of life, UTC by its own clock.';
COMMENT ON COLUMN live.step IS 'Optimizer steps taken.';
COMMENT ON COLUMN live.steps IS 'Optimizer steps planned.';
COMMENT ON COLUMN live.loss IS 'Last training loss, nats per prediction.';
COMMENT ON COLUMN live.accuracy IS 'Last validation accuracy, 0 to 1.';
COMMENT ON COLUMN live.curve_steps IS 'Steps of the training loss so far, thinned.';
COMMENT ON COLUMN live.curve_values IS 'Values of the training loss so far, thinned.';

CREATE TABLE marks (
    run_id VARCHAR NOT NULL,
    note VARCHAR NOT NULL DEFAULT '',
    starred BOOLEAN NOT NULL DEFAULT false,
    archived BOOLEAN NOT NULL DEFAULT false
);
COMMENT ON TABLE marks IS 'What people say about a run; only runs that anything was said about.';
COMMENT ON COLUMN marks.run_id IS 'The run.';
COMMENT ON COLUMN marks.note IS 'Free text.';
COMMENT ON COLUMN marks.starred IS 'Whether somebody starred it.';
COMMENT ON COLUMN marks.archived IS 'Whether it is put away; it can be brought back.';

CREATE TABLE tags (
    run_id VARCHAR NOT NULL,
    tag VARCHAR NOT NULL
);
COMMENT ON TABLE tags IS 'One row per run and tag.';
COMMENT ON COLUMN tags.run_id IS 'The run.';
COMMENT ON COLUMN tags.tag IS 'The tag.';

CREATE VIEW run_rows AS
SELECT
    runs.run_id,
    CASE
        WHEN results.status IS NOT NULL THEN results.status
        WHEN live.run_id IS NOT NULL THEN 'running'
        ELSE 'interrupted'
    END AS status,
    runs.layer,
    runs.spec,
    runs.frame,
    runs.task,
    runs.seed,
    runs.device,
    runs.protocol,
    coalesce(results.accuracy, live.accuracy) AS accuracy,
    results.error,
    coalesce(results.loss, live.loss) AS loss,
    coalesce(results.steps, live.step) AS steps,
    live.steps AS steps_planned,
    results.seconds,
    results.seconds_to_target,
    results.parameters,
    results.state_size,
    results.lr,
    results.lrs_tried,
    results.metrics,
    results.accuracy_by,
    results.message,
    runs.started_at,
    results.finished_at,
    live.beat_at,
    coalesce(labels.tags, []) AS tags,
    coalesce(marks.note, '') AS note,
    coalesce(marks.starred, false) AS starred,
    coalesce(marks.archived, false) AS archived,
    runs.host,
    runs.pid,
    runs.driver,
    runs.versions,
    runs.environment,
    runs.config,
    runs.config_hash
FROM runs
LEFT JOIN results ON results.run_id = runs.run_id
LEFT JOIN live ON live.run_id = runs.run_id
LEFT JOIN marks ON marks.run_id = runs.run_id
LEFT JOIN (
    SELECT tags.run_id, list(tags.tag ORDER BY tags.tag) AS tags FROM tags GROUP BY tags.run_id
) AS labels ON labels.run_id = runs.run_id;
COMMENT ON VIEW run_rows IS
    'One row per run. A status of running is what the store knows; a dead driver makes it interrupted.';
