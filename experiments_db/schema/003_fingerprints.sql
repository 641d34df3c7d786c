-- What decides a run is less than its config: settings that its task does not use do not, nor do
-- settings that were added later and stand at their default. What does is its fingerprint, which
-- store/computed.py takes from the config of every run; config_hash becomes its hash.

ALTER TABLE runs ADD COLUMN series VARCHAR;
COMMENT ON COLUMN runs.series IS
    'Hash of the fingerprint without the seed; runs that share it are repetitions over seeds.';
COMMENT ON COLUMN runs.config_hash IS
    'Hash of the fingerprint, the part of config that decides the run; repetitions share it.';
COMMENT ON COLUMN runs.config_group IS
    'Fingerprint of config without its seed; runs that share it were asked for in the same way.';

CREATE TABLE series (
    series VARCHAR NOT NULL,
    fingerprint JSON NOT NULL,
    parts VARCHAR[] NOT NULL
);
COMMENT ON TABLE series IS 'One row per fingerprint but for the seed; never changed.';
COMMENT ON COLUMN series.series IS 'The hash that runs have.';
COMMENT ON COLUMN series.fingerprint IS 'What decides those runs, without the seed.';
COMMENT ON COLUMN series.parts IS
    'What of the program took part, with its revision: optimizer/SGD@1. A run with a part of an '
    'earlier revision than the program has is superseded.';

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
    runs.config_group,
    runs.series,
    coalesce(series.parts, []) AS parts
FROM runs
LEFT JOIN results ON results.run_id = runs.run_id
LEFT JOIN live ON live.run_id = runs.run_id
LEFT JOIN marks ON marks.run_id = runs.run_id
LEFT JOIN series ON series.series = runs.series
LEFT JOIN (
    SELECT tags.run_id, list(tags.tag ORDER BY tags.tag) AS tags FROM tags GROUP BY tags.run_id
) AS labels ON labels.run_id = runs.run_id;
COMMENT ON VIEW run_rows IS
    'One row per run. A status of running is what the store knows; a dead driver makes it interrupted.';
