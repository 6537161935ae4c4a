-- Owner: feature. Views as the file knows them, and the rows that their windows still need.
CREATE TABLE feature_view (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    definition    TEXT NOT NULL,
    expired_to_us INTEGER NOT NULL
) STRICT;

CREATE TABLE feature_row (
    view    INTEGER NOT NULL,
    entity  BLOB NOT NULL,
    time_us INTEGER NOT NULL,
    key     BLOB NOT NULL,
    columns BLOB NOT NULL,
    PRIMARY KEY (view, entity, time_us, key)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX feature_row_key ON feature_row (view, key);
CREATE INDEX feature_row_time ON feature_row (view, time_us);
