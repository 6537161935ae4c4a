-- Owner: buffer. A deleted topic keeps its rows: made again under its name, it goes on at the offsets where it
-- ended, so that no offset stands for two records.
ALTER TABLE topic ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic_partition ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
-- Batches below this offset are still to be removed; 0: none. How many bytes they have.
ALTER TABLE topic_partition ADD COLUMN purge_below INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic_partition ADD COLUMN purge_bytes INTEGER NOT NULL DEFAULT 0;
