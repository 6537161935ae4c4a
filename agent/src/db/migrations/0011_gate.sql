-- Owner: gate. Records that were refused, with their bytes.
CREATE TABLE quarantine (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    topic          TEXT NOT NULL,
    partition      INTEGER NOT NULL,
    record_offset  INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    detail         TEXT NOT NULL,
    key            BLOB,
    value          BLOB,
    refused_at_us  INTEGER NOT NULL,
    UNIQUE (partition, record_offset, detail)
) STRICT;
