-- The log of record batches, owned by the room `buffer`.

-- File-wide values: cluster id, next producer id.
CREATE TABLE buffer_meta (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE topic (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    uuid BLOB NOT NULL UNIQUE        -- Produce 13 and Fetch 13 name topics by it: never changes
) STRICT;

CREATE TABLE topic_partition (
    id           INTEGER PRIMARY KEY,
    topic        INTEGER NOT NULL REFERENCES topic (id),
    idx          INTEGER NOT NULL,
    log_start    INTEGER NOT NULL DEFAULT 0,
    -- As of the last time it was written: the batches behind it count on top. After everything was
    -- trimmed it is the only place that knows the next offset.
    next_offset  INTEGER NOT NULL DEFAULT 0,
    bytes        INTEGER NOT NULL DEFAULT 0,    -- of the batches below next_offset
    UNIQUE (topic, idx)
) STRICT;

-- place = partition id << 44 | base offset: clustered, no second index. The small columns stand
-- before the blob, so that scans never touch overflow pages.
CREATE TABLE log_batch (
    place       INTEGER PRIMARY KEY,
    last_offset INTEGER NOT NULL,
    max_time_ms INTEGER NOT NULL,
    arrived_ms  INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    records     BLOB NOT NULL
) STRICT;

-- Idempotent producers: the last five batches each, written with the batch they let in.
CREATE TABLE producer (
    producer  INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    recent    BLOB NOT NULL,
    seen_ms   INTEGER NOT NULL,
    PRIMARY KEY (producer, partition)
) STRICT, WITHOUT ROWID;
