-- Owner: feature. What views with look-ups keep beside their windows' rows.

-- The latest row of a looked-up table, by its key: the columns that the view reads.
CREATE TABLE feature_lookup (
    view    INTEGER NOT NULL,
    -- Which of the view's look-ups.
    lookup  INTEGER NOT NULL,
    key     BLOB NOT NULL,
    -- The same values as a row that refers to them has them.
    joins   BLOB NOT NULL,
    columns BLOB NOT NULL,
    PRIMARY KEY (view, lookup, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX feature_lookup_joins ON feature_lookup (view, lookup, joins);

-- The view's own rows as they came, as long as they can be in a window, whether its condition holds or not.
CREATE TABLE feature_joined (
    view    INTEGER NOT NULL,
    key     BLOB NOT NULL,
    time_us INTEGER NOT NULL,
    row     BLOB NOT NULL,
    PRIMARY KEY (view, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX feature_joined_time ON feature_joined (view, time_us);

-- Which of them refer to which looked-up row.
CREATE TABLE feature_reference (
    view    INTEGER NOT NULL,
    lookup  INTEGER NOT NULL,
    joins   BLOB NOT NULL,
    key     BLOB NOT NULL,
    PRIMARY KEY (view, lookup, joins, key)
) STRICT, WITHOUT ROWID;
