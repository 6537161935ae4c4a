-- Owner: store. Values lie many to a block, in the order of entities: a block is written once for all of its
-- entities that a transaction changed. What stands in store_value is brought over at the start.
CREATE TABLE store_block (
    view    INTEGER NOT NULL,
    -- A greater one is newer; 0 is all that is not of late.
    run     INTEGER NOT NULL,
    -- No entity of the block is smaller, none of an earlier block of the run as great.
    first   BLOB NOT NULL,
    entries BLOB NOT NULL,
    PRIMARY KEY (view, run, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE store_view (
    view      INTEGER PRIMARY KEY,
    -- No value of the view is newer.
    latest_ns INTEGER NOT NULL,
    -- The run that is written, and its blocks.
    newest    INTEGER NOT NULL,
    blocks    INTEGER NOT NULL,
    -- The oldest run but 0, and whether there is a run 0.
    oldest    INTEGER NOT NULL,
    rest      INTEGER NOT NULL,
    -- The newest run of those that are being brought to run 0, and up to which entity they were.
    moving    INTEGER,
    moved     BLOB
) STRICT;
