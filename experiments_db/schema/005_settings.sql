-- What results are asked by (the task's settings, the model's sizes, the training) stands in columns of
-- its own: taking it out of the fingerprints of twenty thousand series takes half a second a question.

ALTER TABLE series ADD COLUMN setting VARCHAR;
ALTER TABLE series ADD COLUMN sizes VARCHAR;
ALTER TABLE series ADD COLUMN frames VARCHAR;
ALTER TABLE series ADD COLUMN training VARCHAR;
ALTER TABLE series ADD COLUMN rate VARCHAR;
UPDATE series SET
    setting = json_extract(fingerprint, '$.task')::VARCHAR,
    sizes = json_merge_patch(json_extract(fingerprint, '$.model'),
        '{"layers": null, "frame": null}')::VARCHAR,
    frames = json_extract(fingerprint, '$.frames')::VARCHAR,
    training = json_merge_patch(json_extract(fingerprint, '$.train'), '{"lr": null}')::VARCHAR,
    rate = json_extract_string(fingerprint, '$.train.lr');
COMMENT ON COLUMN series.setting IS 'The task with its settings, JSON text.';
COMMENT ON COLUMN series.sizes IS 'The model but for its layers and frame, JSON text; missing without one.';
COMMENT ON COLUMN series.frames IS 'Surroundings of each layer, JSON text; missing without a model.';
COMMENT ON COLUMN series.training IS
    'Settings of the training but for its rate, JSON text; missing where none is done.';
COMMENT ON COLUMN series.rate IS 'Peak learning rate, or auto; missing where none is used.';
