CREATE TABLE evolving (id int PRIMARY KEY, a text, b int);
INSERT INTO evolving VALUES (1, 'one', 1);
