-- +goose Up
-- What a job reserves on a GPU, 0 when it cannot run on one. Of jobs from before
-- there were GPUs the host's figure is near enough: a device that has not the
-- memory gives the job back. The column is not part of packed, which would take
-- copying the table; row.go appends it.
ALTER TABLE jobs ADD COLUMN gpu_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET gpu_bytes = memory_bytes;
