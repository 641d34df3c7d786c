-- What lists and groups ask of every run stands in columns of its own: a curve or a config is
-- long, and reading a hundred thousand of them for one number each would take seconds.

ALTER TABLE runs ADD COLUMN config_group VARCHAR;
UPDATE runs SET config_group = md5(json_merge_patch(config, '{"seed": null}')::VARCHAR);
COMMENT ON COLUMN runs.config_group IS
    'Fingerprint of config without its seed; runs that share it differ in nothing else.';

CREATE TABLE configs (
    config_group VARCHAR NOT NULL,
    config JSON NOT NULL
);
INSERT INTO configs
SELECT config_group, any_value(json_merge_patch(config, '{"seed": null}'))
FROM runs GROUP BY config_group;
COMMENT ON TABLE configs IS 'One row per configuration but for the seed; never changed.';
COMMENT ON COLUMN configs.config_group IS 'The fingerprint that runs have.';
COMMENT ON COLUMN configs.config IS 'The config of those runs, without the seed.';

ALTER TABLE results ADD COLUMN last DOUBLE;
ALTER TABLE results ADD COLUMN best DOUBLE;
ALTER TABLE results ADD COLUMN best_step BIGINT;
CREATE TEMP TABLE summaries AS
WITH curve AS (
    SELECT
        run_id,
        name = 'accuracy' AS rises,
        steps,
        "values",
        list_filter("values", lambda x: isfinite(x)) AS finite
    FROM curves
    WHERE name IN ('accuracy', 'error')
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY name) = 1
)
SELECT
    run_id,
    "values"[-1] AS last,
    CASE WHEN rises THEN list_max(finite) ELSE list_min(finite) END AS best,
    steps[list_position("values", best)] AS best_step
FROM curve;
UPDATE results SET last = summaries.last, best = summaries.best, best_step = summaries.best_step
FROM summaries WHERE summaries.run_id = results.run_id;
DROP TABLE summaries;
COMMENT ON COLUMN results.last IS
    'Last value of the curve of the accuracy or, without one, of the error.';
COMMENT ON COLUMN results.best IS 'Best value of that curve: the largest accuracy, the smallest error.';
COMMENT ON COLUMN results.best_step IS
    'Where that curve reached it first: optimizer step, or position in the sequence.';

DROP VIEW run_rows;
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
    results.last,
    results.best,
    results.best_step,
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
    runs.config_hash,
    runs.config_group
FROM runs
LEFT JOIN results ON results.run_id = runs.run_id
LEFT JOIN live ON live.run_id = runs.run_id
LEFT JOIN marks ON marks.run_id = runs.run_id
LEFT JOIN (
    SELECT tags.run_id, list(tags.tag ORDER BY tags.tag) AS tags FROM tags GROUP BY tags.run_id
) AS labels ON labels.run_id = runs.run_id;
COMMENT ON VIEW run_rows IS
    'One row per run. A status of running is what the store knows; a dead driver makes it interrupted.';
