-- Owner: ingest (door). How far the groups of consumers have read.
CREATE TABLE group_offset (
    name         TEXT NOT NULL,
    topic        TEXT NOT NULL,
    partition    INTEGER NOT NULL,
    next_offset  INTEGER NOT NULL,
    leader_epoch INTEGER NOT NULL,
    metadata     TEXT,
    at_ms        INTEGER NOT NULL,
    PRIMARY KEY (name, topic, partition)
) STRICT, WITHOUT ROWID;

-- Of open transactions: they become the group's with the commit.
CREATE TABLE group_offset_staged (
    producer     INTEGER NOT NULL,
    name         TEXT NOT NULL,
    topic        TEXT NOT NULL,
    partition    INTEGER NOT NULL,
    next_offset  INTEGER NOT NULL,
    leader_epoch INTEGER NOT NULL,
    metadata     TEXT,
    at_ms        INTEGER NOT NULL,
    PRIMARY KEY (producer, name, topic, partition)
) STRICT, WITHOUT ROWID;
