-- +goose Up
-- Times are microseconds since 1970, 0 for none. Text that is JSON says so.
-- Small columns only: a progress report rewrites the row many times, so the
-- specification, which never changes, has a table of its own.
CREATE TABLE jobs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    node           TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    owner          TEXT    NOT NULL,
    state          TEXT    NOT NULL
        CHECK (state IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')),
    want_device    TEXT    NOT NULL,
    device         TEXT    NOT NULL DEFAULT '',
    priority       INTEGER NOT NULL,
    held           INTEGER NOT NULL,
    retries        INTEGER NOT NULL,
    retries_used   INTEGER NOT NULL DEFAULT 0,
    timeout        REAL    NOT NULL,
    attempt        INTEGER NOT NULL DEFAULT 0,
    next_attempt   INTEGER NOT NULL DEFAULT 0, -- the next start counts as a new attempt
    faults         INTEGER NOT NULL DEFAULT 0,
    has_checkpoint INTEGER NOT NULL DEFAULT 0,
    memory_bytes   INTEGER NOT NULL,
    data_bytes     INTEGER NOT NULL,
    data_hash      TEXT    NOT NULL,
    not_before     INTEGER NOT NULL,
    submitted_at   INTEGER NOT NULL,
    queued_at      INTEGER NOT NULL,
    running_since  INTEGER NOT NULL DEFAULT 0, -- wall_seconds is counted up to here
    started_at     INTEGER NOT NULL DEFAULT 0,
    finished_at    INTEGER NOT NULL DEFAULT 0,
    epoch          INTEGER NOT NULL DEFAULT 0,
    epochs         INTEGER NOT NULL,
    step           INTEGER NOT NULL DEFAULT 0,
    steps          INTEGER NOT NULL,
    device_seconds REAL    NOT NULL DEFAULT 0,
    wall_seconds   REAL    NOT NULL DEFAULT 0,
    peak_bytes     INTEGER NOT NULL DEFAULT 0,
    energy_joules  REAL,                       -- NULL where the device does not say
    labels         TEXT,                       -- JSON object of strings; NULL: none
    after          TEXT,                       -- JSON array of ids; NULL: none
    metrics        TEXT,                       -- JSON object of numbers; NULL: none
    error          TEXT,                       -- JSON object; NULL: none
    -- All of the above in one text, which is what weft reads: getting forty
    -- columns out of SQLite takes five times as long. Fields end with the unit
    -- separator, which no number and no JSON contains. Field order is known to
    -- row.go as well.
    packed         TEXT    NOT NULL GENERATED ALWAYS AS (
        priority || char(31) || held || char(31) || retries || char(31) || retries_used || char(31)
        || format('%!.17g', timeout) || char(31)
        || attempt || char(31) || next_attempt || char(31) || faults || char(31) || has_checkpoint || char(31)
        || memory_bytes || char(31) || data_bytes || char(31)
        || not_before || char(31) || submitted_at || char(31) || queued_at || char(31) || running_since || char(31)
        || started_at || char(31) || finished_at || char(31)
        || epoch || char(31) || epochs || char(31) || step || char(31) || steps || char(31)
        || format('%!.17g', device_seconds) || char(31) || format('%!.17g', wall_seconds) || char(31)
        || peak_bytes || char(31) || iif(energy_joules IS NULL, '', format('%!.17g', energy_joules)) || char(31)
        || json_quote(node) || char(31) || json_quote(name) || char(31) || json_quote(kind) || char(31)
        || json_quote(owner) || char(31) || json_quote(state) || char(31) || json_quote(want_device) || char(31)
        || json_quote(device) || char(31) || json_quote(data_hash) || char(31)
        || coalesce(labels, '') || char(31) || coalesce(after, '') || char(31)
        || coalesce(metrics, '') || char(31) || coalesce(error, '') || char(31)
    ) STORED
) STRICT;

CREATE INDEX jobs_state ON jobs (state);
CREATE INDEX jobs_owner ON jobs (owner);

CREATE TABLE specs (
    job  INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    spec TEXT NOT NULL -- JSON
) STRICT;

-- jobs.after the other way round: who waits for a job.
CREATE TABLE dependencies (
    needs INTEGER NOT NULL, -- may have been deleted since
    job   INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (needs, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_job ON dependencies (job);

CREATE TABLE epochs (
    job     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    epoch   INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    metrics TEXT    NOT NULL, -- JSON object of numbers
    PRIMARY KEY (job, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    job     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at      INTEGER NOT NULL,
    type    TEXT    NOT NULL,
    state   TEXT    NOT NULL,
    message TEXT    NOT NULL,
    epoch   TEXT -- JSON, of events of type epoch
) STRICT;
CREATE INDEX events_job ON events (job);

CREATE TABLE idempotency_keys (
    owner       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    jobs        TEXT    NOT NULL, -- JSON array of ids
    at          INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_at ON idempotency_keys (at);

-- What owners used. It outlives their jobs: removing a job gives nothing back.
CREATE TABLE owners (
    name           TEXT PRIMARY KEY,
    device_seconds REAL    NOT NULL,
    share          REAL    NOT NULL, -- the same, halved with every half-life, as of share_at
    share_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
