-- Owner: feature. A view may stand twice for a while: a changed definition is built beside the one that is served.
CREATE TABLE feature_view_version (
    -- Never given out twice: others name a view by it.
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL,
    version       INTEGER NOT NULL,
    -- 0: is being built; 1: follows the rows; 2: its values are served until its successor is built.
    state         INTEGER NOT NULL,
    definition    TEXT NOT NULL,
    expired_to_us INTEGER NOT NULL,
    revision      INTEGER NOT NULL DEFAULT 0,
    placed_chunk  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (name, version)
) STRICT;
INSERT INTO feature_view_version (id, name, version, state, definition, expired_to_us, revision, placed_chunk)
    SELECT id, name, 1, definition != '', definition, expired_to_us, revision, placed_chunk FROM feature_view;
DROP TABLE feature_view;
ALTER TABLE feature_view_version RENAME TO feature_view;
