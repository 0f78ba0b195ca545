-- +goose Up
-- Not part of packed, as gpu_bytes is not.
ALTER TABLE jobs ADD COLUMN cpu_seconds REAL NOT NULL DEFAULT 0;

-- What jobs used, by the hour and device. It outlives the jobs.
CREATE TABLE ledger (
    hour           INTEGER NOT NULL, -- its beginning
    device         TEXT    NOT NULL,
    job            INTEGER NOT NULL, -- in jobs or removed_jobs
    device_seconds REAL    NOT NULL,
    wall_seconds   REAL    NOT NULL,
    cpu_seconds    REAL    NOT NULL,
    energy_joules  REAL,             -- NULL where the device does not say
    PRIMARY KEY (hour, device, job)
) STRICT, WITHOUT ROWID;

-- What devices did, by the hour.
CREATE TABLE device_ledger (
    hour          INTEGER NOT NULL,
    device        TEXT    NOT NULL,
    busy_seconds  REAL    NOT NULL,
    energy_joules REAL,             -- NULL where the device does not say
    idle_joules   REAL,             -- of energy_joules, what no job used
    PRIMARY KEY (hour, device)
) STRICT, WITHOUT ROWID;

-- What the ledger has to know of jobs that were removed.
CREATE TABLE removed_jobs (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    labels     TEXT,             -- JSON object of strings; NULL: none
    peak_bytes INTEGER NOT NULL,
    removed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX removed_jobs_removed_at ON removed_jobs (removed_at);
