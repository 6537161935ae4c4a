-- Owner: forward. The next offset to bring to a central cluster; all before it is durable there. Another
-- cluster has nothing of it.
CREATE TABLE forward_cursor (
    cluster     TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (cluster, partition)
) STRICT, WITHOUT ROWID;

-- Which cluster the configured brokers were when they were last reached, to know before they answer.
CREATE TABLE forward_target (
    brokers TEXT NOT NULL PRIMARY KEY,
    cluster TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a local schema id is called in a central registry. Another registry has other ids.
CREATE TABLE forward_schema (
    registry TEXT NOT NULL,
    subject  TEXT NOT NULL,
    local    INTEGER NOT NULL,
    central  INTEGER NOT NULL,
    PRIMARY KEY (registry, subject, local)
) STRICT, WITHOUT ROWID;
