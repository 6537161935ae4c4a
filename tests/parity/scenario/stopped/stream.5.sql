INSERT INTO t (id, a2, b) VALUES (5, 'five', 5); INSERT INTO fresh VALUES (1, 'f'); DELETE FROM quiet WHERE id = 1; DELETE FROM t WHERE id = 1;
