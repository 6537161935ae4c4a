-- Owner: feature. Keys lie many to a run, as rows do to a chunk: a key that rises costs a hundredth of a row.
-- What the views held is built anew from the log: their definitions are no longer the stored ones.
DELETE FROM feature_chunk;
DELETE FROM feature_place;
DELETE FROM feature_placed;
UPDATE feature_view SET definition = '', revision = revision + 1;

DROP TABLE feature_key;
CREATE TABLE feature_key (
    view    INTEGER NOT NULL,
    -- No key of the run is smaller, none of an earlier run as great.
    first   BLOB NOT NULL,
    keys    BLOB NOT NULL,
    PRIMARY KEY (view, first)
) STRICT, WITHOUT ROWID;
