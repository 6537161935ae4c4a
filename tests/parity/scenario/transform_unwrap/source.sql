CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'dd', opt int, at timestamptz NOT NULL DEFAULT '2020-01-01+00', kind text); ALTER TABLE t REPLICA IDENTITY FULL;
CREATE TABLE plain (id int PRIMARY KEY, v text NOT NULL DEFAULT 'x');
