-- +goose Up
-- What devices' sensors said, summed up by the minute.
CREATE TABLE samples (
    device  TEXT    NOT NULL,
    at      INTEGER NOT NULL, -- of the first one
    samples INTEGER NOT NULL, -- how many
    mean    TEXT    NOT NULL, -- JSON array of numbers and nulls, see samples.go
    max     TEXT    NOT NULL, -- JSON array of numbers and nulls, see samples.go
    PRIMARY KEY (device, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX samples_at ON samples (at);
