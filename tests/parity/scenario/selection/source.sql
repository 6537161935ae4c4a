CREATE SCHEMA inv; CREATE SCHEMA other;
CREATE TABLE inv.people (id int PRIMARY KEY, name text, email varchar(60), phone varchar(20), secret text, ssn text, long varchar(200), ssn2 varchar(11) NOT NULL, n int);
CREATE TABLE inv.keyless (a int, b text, c text); ALTER TABLE inv.keyless REPLICA IDENTITY FULL;
CREATE TABLE inv.excluded (id int PRIMARY KEY); CREATE TABLE other.nobody (id int PRIMARY KEY);
CREATE TABLE inv."Mixed Case" (id int PRIMARY KEY, "Na-me" text, keep text);
INSERT INTO inv.people VALUES (1, 'Ann', 'ann@example.com', '555-1', 's1', '111-22-3333', repeat('é', 50), 'x', 1);
INSERT INTO inv.keyless VALUES (1, 'b', 'c'); INSERT INTO inv."Mixed Case" VALUES (1, 'x', 'y');
