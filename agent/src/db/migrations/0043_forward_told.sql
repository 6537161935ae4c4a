-- Owner: forward. How far a transaction that the centre acknowledged told its group; 0 at least once. A group that says
-- less has lost it.
ALTER TABLE forward_cursor ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
