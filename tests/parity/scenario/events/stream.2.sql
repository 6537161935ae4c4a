SELECT pg_replication_origin_session_setup('elsewhere');
BEGIN; SELECT pg_replication_origin_xact_setup('16/B374D848', '2024-01-01 00:00:00+00'); INSERT INTO a VALUES (20, 'replicated'); COMMIT;
SELECT pg_replication_origin_session_reset(); INSERT INTO a VALUES (21, 'local');
BEGIN; SAVEPOINT s1; INSERT INTO a VALUES (22, 'gone'); ROLLBACK TO s1; INSERT INTO a VALUES (23, 'kept'); SAVEPOINT s2; INSERT INTO a VALUES (24, 'kept too'); RELEASE s2; COMMIT;
