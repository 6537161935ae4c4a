-- Schemas as received and where they are used, owned by the room `registry`.

CREATE TABLE schema_text (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,   -- ids are in records: never given out twice
    checksum INTEGER NOT NULL,                    -- CRC32-C of the text, to find it again
    text     TEXT NOT NULL
) STRICT;

CREATE INDEX schema_text_by_checksum ON schema_text (checksum);

CREATE TABLE subject_version (
    subject TEXT NOT NULL,
    version INTEGER NOT NULL,
    schema  INTEGER NOT NULL REFERENCES schema_text (id),
    PRIMARY KEY (subject, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX subject_version_by_schema ON subject_version (schema);

-- Compatibility levels; the empty subject stands for all that have none of their own.
CREATE TABLE registry_level (
    subject TEXT PRIMARY KEY,
    level   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
