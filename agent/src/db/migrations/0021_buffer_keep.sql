-- Owner: buffer. Batches whose bytes were no longer what had been stored, moved aside so that readers
-- go on behind them. Kept for a person to look at.
CREATE TABLE buffer_damaged (
    place       INTEGER PRIMARY KEY,            -- as in log_batch
    last_offset INTEGER NOT NULL,
    why         TEXT NOT NULL,
    bytes       INTEGER NOT NULL,
    records     BLOB NOT NULL
) STRICT;
