INSERT INTO t VALUES (1, 'a', 1, '2024-01-01+00', 'k1'), (2, NULL, NULL, '2024-01-01+00', NULL); UPDATE t SET v = 'b' WHERE id = 1; UPDATE t SET opt = 5, kind = 'k2' WHERE id = 1; UPDATE t SET id = 7 WHERE id = 2; DELETE FROM t WHERE id = 1;
INSERT INTO plain VALUES (1); UPDATE plain SET v = 'y'; DELETE FROM plain; TRUNCATE t;
