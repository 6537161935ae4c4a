-- Owner: buffer. When the youngest batch that was ever trimmed had arrived; 0 if none was. Whoever
-- reads the log from its start knows by it how far back it reaches.
ALTER TABLE topic_partition ADD COLUMN trimmed_ms INTEGER NOT NULL DEFAULT 0;
