-- Owner: store. The latest values of each view per entity.
CREATE TABLE store_value (
    view        INTEGER NOT NULL,
    entity      BLOB NOT NULL,
    as_of_ns    INTEGER NOT NULL,
    vals        BLOB NOT NULL,
    PRIMARY KEY (view, entity)
) STRICT, WITHOUT ROWID;
