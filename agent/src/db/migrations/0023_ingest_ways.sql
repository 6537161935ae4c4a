-- Owner: ingest (push). Requests that are stored, by the name that their sender gave them, so that a
-- retry is recognised; written in the transaction that appends them.
CREATE TABLE push_request (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    checksum INTEGER NOT NULL,   -- CRC32-C of topic and body: another body under the same name is a mistake
    answer   TEXT NOT NULL,
    at_ms    INTEGER NOT NULL
) STRICT;

-- Owner: ingest (file). How far each file is in the log; moves in the transaction that appends its rows.
CREATE TABLE file_position (
    topic    TEXT NOT NULL,
    path     TEXT NOT NULL,
    identity TEXT NOT NULL,      -- length and checksum of its head: another file may take its name
    place    INTEGER NOT NULL,   -- bytes for texts, rows for Parquet
    row      INTEGER NOT NULL,   -- rows read, bad ones included
    bad      INTEGER NOT NULL,
    done     INTEGER NOT NULL,
    size     INTEGER NOT NULL,   -- of the file, when it was done
    PRIMARY KEY (topic, path)
) STRICT, WITHOUT ROWID;
