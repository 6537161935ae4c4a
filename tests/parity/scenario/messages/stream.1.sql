BEGIN; INSERT INTO a VALUES (1, 'x'); SELECT pg_logical_emit_message(true, 'app', 'in a transaction'); UPDATE a SET v = 'y'; COMMIT;
SELECT pg_logical_emit_message(false, 'app', 'outside'); SELECT pg_logical_emit_message(true, 'own', '\x00ff10'::bytea); SELECT pg_logical_emit_message(true, 'hidden', 'x'); SELECT pg_logical_emit_message(true, '', '');
