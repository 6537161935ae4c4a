CREATE TABLE t (id int PRIMARY KEY, a text, b int); CREATE TABLE quiet (id int PRIMARY KEY, v text);
INSERT INTO t VALUES (1, 'one', 1); INSERT INTO quiet VALUES (1, 'q');
