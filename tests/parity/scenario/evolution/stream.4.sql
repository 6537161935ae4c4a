ALTER TABLE evolving ADD COLUMN d numeric(10,2) NOT NULL DEFAULT 7.5;
INSERT INTO evolving (id, a) VALUES (5, 'five');
DELETE FROM evolving WHERE id = 1;
