INSERT INTO t VALUES (4, 'four', 4, 4.5); UPDATE t SET b = 9 WHERE id = 1; UPDATE quiet SET v = 's' WHERE id = 1;
