CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a, v text NOT NULL DEFAULT 'd'); CREATE TABLE c (x int, y text);
CREATE TABLE idx (id int NOT NULL, code text NOT NULL, v text, UNIQUE (code)); ALTER TABLE idx REPLICA IDENTITY USING INDEX idx_code_key;
CREATE TABLE nothing (id int PRIMARY KEY, v text); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE child (extra text) INHERITS (parent); ALTER TABLE child ADD PRIMARY KEY (id);
CREATE TABLE beat (id int PRIMARY KEY, n int);
INSERT INTO a VALUES (1, 'one'); INSERT INTO idx VALUES (1, 'x', 'v');
SELECT pg_replication_origin_create('elsewhere');
