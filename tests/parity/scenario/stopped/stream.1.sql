INSERT INTO t VALUES (2, 'two', 2); INSERT INTO quiet VALUES (2, 'r');
