ALTER TABLE evolving ADD COLUMN c timestamptz;
INSERT INTO evolving VALUES (3, 'three', 3, '2020-01-01+00');
