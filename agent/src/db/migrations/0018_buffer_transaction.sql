-- Owner: buffer. Producers with a transactional id, and what their open transactions hold.

CREATE TABLE transactional_id (
    name        TEXT PRIMARY KEY,
    producer    INTEGER NOT NULL UNIQUE,
    epoch       INTEGER NOT NULL,
    -- The epoch from which the present one was reached without another process: whoever has it may
    -- ask again for the present one. -1: nobody.
    former      INTEGER NOT NULL DEFAULT -1,
    timeout_ms  INTEGER NOT NULL,
    state       INTEGER NOT NULL,    -- 0 new, 1 open, 2 committed, 3 aborted
    began_ms    INTEGER NOT NULL,    -- of the open transaction
    seen_ms     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX transactional_id_open ON transactional_id (began_ms) WHERE state = 1;

-- Batches of open transactions, in the order of arrival; moved into log_batch by the commit.
CREATE TABLE staged_batch (
    id          INTEGER PRIMARY KEY,
    producer    INTEGER NOT NULL,
    partition   INTEGER NOT NULL,
    last_delta  INTEGER NOT NULL,
    max_time_ms INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    records     BLOB NOT NULL
) STRICT;

CREATE INDEX staged_batch_producer ON staged_batch (producer, id, bytes);

-- Whether the topic was made with cleanup.policy=compact: its batches are never trimmed for their age.
ALTER TABLE topic ADD COLUMN compact INTEGER NOT NULL DEFAULT 0;
