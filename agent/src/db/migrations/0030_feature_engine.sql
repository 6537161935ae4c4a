-- Owner: feature. Rows lie many to a chunk; beside them a row's place by its key, and an entity's places.
-- What the views held is built anew from the log: their definitions are no longer the stored ones.
DROP TABLE feature_row;

UPDATE feature_view SET definition = '';
-- Counts the transactions that changed the view's rows: memory that missed one is thrown away.
ALTER TABLE feature_view ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
-- The last chunk whose rows are in feature_place.
ALTER TABLE feature_view ADD COLUMN placed_chunk INTEGER NOT NULL DEFAULT 0;

CREATE TABLE feature_chunk (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    view        INTEGER NOT NULL,
    first_us    INTEGER NOT NULL,
    last_us     INTEGER NOT NULL,
    alive       INTEGER NOT NULL,
    rows        BLOB NOT NULL
) STRICT;
CREATE INDEX feature_chunk_time ON feature_chunk (view, last_us, first_us);

CREATE TABLE feature_key (
    view    INTEGER NOT NULL,
    key     BLOB NOT NULL,
    chunk   INTEGER NOT NULL,
    slot    INTEGER NOT NULL,
    PRIMARY KEY (view, key)
) STRICT, WITHOUT ROWID;

-- Written many entities at once, under the number of the last chunk that is covered.
CREATE TABLE feature_place (
    view    INTEGER NOT NULL,
    entity  BLOB NOT NULL,
    last    INTEGER NOT NULL,
    places  BLOB NOT NULL,
    PRIMARY KEY (view, entity, last)
) STRICT, WITHOUT ROWID;
CREATE INDEX feature_place_last ON feature_place (view, last);

-- Until when the rows of such a writing can be in a window.
CREATE TABLE feature_placed (
    view    INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    PRIMARY KEY (view, last)
) STRICT, WITHOUT ROWID;
