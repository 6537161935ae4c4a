-- Owner: registry. Deleting, references to other subjects, and what is set per subject.

-- 1: deleted softly; the version keeps its number, and its id still gives the text.
ALTER TABLE subject_version ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;

-- What a text needs of other subjects: a JSON list of name, subject and version; empty if nothing.
ALTER TABLE schema_text ADD COLUMN needs TEXT NOT NULL DEFAULT '';

-- The same, to be found from the other end.
CREATE TABLE schema_reference (
    schema  INTEGER NOT NULL REFERENCES schema_text (id),
    subject TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (subject, version, schema)
) STRICT, WITHOUT ROWID;

-- Null: as for all subjects.
ALTER TABLE registry_level ADD COLUMN normalize INTEGER;

CREATE TABLE registry_mode (
    subject TEXT PRIMARY KEY,
    mode    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
