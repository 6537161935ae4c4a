-- Owner: sync. Several stores read one outbox, each with its own cursor. A row goes once all are past it.
DROP TABLE sync_target;

-- `identity`: which store it is; another one under the same name needs everything again.
CREATE TABLE sync_target (
    name      TEXT PRIMARY KEY,
    identity  TEXT NOT NULL,
    confirmed INTEGER NOT NULL
) STRICT;

-- What a store will not take, with its reason: the newest such values per entity. Gone once the store
-- takes newer ones, or a person has them tried again.
CREATE TABLE sync_refused (
    target     TEXT NOT NULL,
    view       INTEGER NOT NULL,
    entity     BLOB NOT NULL,
    as_of_ns   INTEGER NOT NULL,
    vals       BLOB NOT NULL,
    reason     TEXT NOT NULL,
    refused_ms INTEGER NOT NULL,
    PRIMARY KEY (target, view, entity)
) STRICT, WITHOUT ROWID;
