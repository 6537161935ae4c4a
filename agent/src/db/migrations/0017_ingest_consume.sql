-- Owner: ingest (consume). The next offset to read of a central partition; moves in the transaction
-- that appends what was read. Another cluster has other offsets.
CREATE TABLE consume_position (
    cluster     TEXT NOT NULL,
    topic       TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (cluster, topic, partition)
) STRICT, WITHOUT ROWID;

-- What a schema id of the central registry is called here. Another registry has other ids.
CREATE TABLE consume_schema (
    registry TEXT NOT NULL,
    subject  TEXT NOT NULL,
    central  INTEGER NOT NULL,
    local    INTEGER NOT NULL,
    PRIMARY KEY (registry, subject, central)
) STRICT, WITHOUT ROWID;
