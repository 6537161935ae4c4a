BEGIN; INSERT INTO a VALUES (2, 'two'); INSERT INTO b VALUES (1, 2); UPDATE a SET v = 'TWO' WHERE id = 2; INSERT INTO c VALUES (1, 'y'); COMMIT;
UPDATE idx SET v = 'w' WHERE id = 1; UPDATE idx SET code = 'z' WHERE id = 1; DELETE FROM idx;
INSERT INTO nothing VALUES (1, 'v'); INSERT INTO child VALUES (1, 'v', 'e'); INSERT INTO parent VALUES (2, 'p'); UPDATE parent SET v = 'q'; DELETE FROM parent;
BEGIN; TRUNCATE b, a, c; INSERT INTO a VALUES (7, 'after'); COMMIT;
TRUNCATE a CASCADE; INSERT INTO a VALUES (8, 'eight'); UPDATE a SET id = 9; DELETE FROM a;
