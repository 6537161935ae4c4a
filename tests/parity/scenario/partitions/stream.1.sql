INSERT INTO log VALUES ('2023-06-06', 2, 'c'), ('2024-06-06', 5, 'd'); UPDATE log SET v = 'x' WHERE id = 2; UPDATE log SET at = '2023-07-07' WHERE id = 5; DELETE FROM log WHERE id = 1;
TRUNCATE log_23; TRUNCATE log;
