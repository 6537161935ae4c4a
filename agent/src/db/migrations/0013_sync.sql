-- Owner: sync. What the central store has not confirmed: only the latest values per entity, in the
-- order of their change. A newer one takes a new sequence, so that confirming the old does not drop it.
CREATE TABLE sync_outbox (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    view      INTEGER NOT NULL,
    entity    BLOB NOT NULL,
    as_of_ns  INTEGER NOT NULL,
    vals      BLOB NOT NULL,
    UNIQUE (view, entity) ON CONFLICT REPLACE
) STRICT;

-- The store that the outbox was filled for; another one needs everything again.
CREATE TABLE sync_target (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    target   TEXT NOT NULL
) STRICT;
