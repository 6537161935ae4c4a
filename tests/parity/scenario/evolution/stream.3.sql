ALTER TABLE evolving DROP COLUMN b;
INSERT INTO evolving VALUES (4, 'four', NULL);
UPDATE evolving SET a = 'FOUR' WHERE id = 4;
