-- Owner: pipeline. How far each partition of the log has been processed; moves in the same transaction
-- as everything that the processing did.
CREATE TABLE pipeline_cursor (
    partition   INTEGER PRIMARY KEY,
    next_offset INTEGER NOT NULL
) STRICT;
